"""Downloads, over a real connection to a server on this machine: checked, kept, and explained where they fail."""

import hashlib
import logging
import socket

import kagglehub
import pooch
import pytest
import requests

from kdlab.datasets.downloads import fetch, fetch_kaggle

CONTENT = bytes(range(256)) * 2000  # half a megabyte
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(served, cache):
    (served.folder / "set.npz").write_bytes(CONTENT)
    return served.url + "set.npz"


def kept(cache):
    return sorted(path.name for path in (cache / "downloads").rglob("*"))


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_a_file_is_downloaded_once(url, served, cache, checksum):
    for _ in range(2):
        path = fetch(url, checksum, "mine.npz", "set")
        assert path == cache / "downloads" / "mine.npz"
        assert path.read_bytes() == CONTENT
    assert served.asked == ["/set.npz"]
    assert kept(cache) == ["mine.npz"]


def test_progress_is_shown_while_it_downloads_and_only_then(url, capsys):
    fetch(url, MD5, "mine.npz", "set")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "set.npz" in shown.err
    assert "512.0/512.0 kB" in shown.err
    fetch(url, MD5, "mine.npz", "set")
    assert capsys.readouterr() == ("", "")


def test_pooch_speaks_again_afterwards(url):
    level = pooch.get_logger().level
    fetch(url, MD5, "mine.npz", "set")
    assert pooch.get_logger().level == level != logging.WARNING


def test_another_checksum_is_refused_and_nothing_kept(url, cache):
    wrong = "md5:" + "0" * 32
    with pytest.raises(ValueError, match=f"whose checksum is not the published {wrong}, so it was not kept") as caught:
        fetch(url, wrong, "mine.npz", "set")
    assert one_line(caught).startswith(url)
    assert kept(cache) == []


def test_a_download_cut_off_is_refused_and_nothing_kept(url, served, cache):
    served.most_bytes = 1000
    with pytest.raises((OSError, ValueError), match=r"could not be downloaded|whose checksum is not") as caught:
        fetch(url, MD5, "mine.npz", "set")
    one_line(caught)
    assert kept(cache) == []
    served.most_bytes = None
    assert fetch(url, MD5, "mine.npz", "set").read_bytes() == CONTENT


def test_a_damaged_file_is_downloaded_anew(url, served, cache):
    fetch(url, MD5, "mine.npz", "set").write_bytes(CONTENT[:-1])
    assert fetch(url, MD5, "mine.npz", "set").read_bytes() == CONTENT
    assert len(served.asked) == 2


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_without_a_network_it_says_what_to_put_where_and_finds_it_there(cache):
    url = f"http://127.0.0.1:{closed_port()}/set.npz"
    with pytest.raises(OSError, match=r"^set could not be downloaded \(no connection\): download ") as caught:
        fetch(url, MD5, "mine.npz", "set")
    place = cache / "downloads" / "mine.npz"
    assert f"download {url} yourself and put it at {place}, where kdlab.load('set') finds it" in one_line(caught)
    assert kept(cache) == []
    place.write_bytes(CONTENT + b"something else")
    with pytest.raises(OSError, match=r"no connection.* \(the file there now has another checksum\)$"):
        fetch(url, MD5, "mine.npz", "set")
    place.write_bytes(CONTENT)
    assert fetch(url, MD5, "mine.npz", "set") == place


def test_a_server_that_does_not_have_it_is_named(served, cache):
    with pytest.raises(OSError, match=r"set could not be downloaded \(the server answered 404\): download ") as caught:
        fetch(served.url + "nothing.npz", MD5, "mine.npz", "set")
    one_line(caught)
    assert kept(cache) == []


def test_a_full_disk_leaves_nothing(url, cache, file_size_limit):
    file_size_limit(100_000)
    with pytest.raises(OSError, match=r"no space left in .*downloads: free some, or set KDLAB_CACHE") as caught:
        fetch(url, MD5, "mine.npz", "set")
    one_line(caught)
    assert kept(cache) == []


# --- Kaggle


def test_what_kagglehub_has_needs_no_network(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(requests.Session, "send", lambda *args, **options: pytest.fail("the network was asked"))
    there = tmp_path / "datasets" / "owner" / "set" / "versions" / "1"
    there.mkdir(parents=True)
    (there.parents[1] / "1.complete").touch()
    assert fetch_kaggle("owner/set/versions/1", "name", "a folder") == there
    with pytest.raises(pytest.fail.Exception, match="the network was asked"):
        fetch_kaggle("owner/set/versions/2", "name", "a folder")


def test_a_folder_put_there_by_hand_comes_first(cache, monkeypatch):
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle: pytest.fail("the network was asked"))
    (cache / "downloads" / "name").mkdir(parents=True)
    assert fetch_kaggle("owner/set/versions/1", "name", "a folder") == cache / "downloads" / "name"


def test_kaggle_out_of_reach_says_what_to_put_where(cache, monkeypatch):
    answer = requests.Response()
    answer.status_code = 403
    for error, why in (
        (requests.ConnectionError("Max retries exceeded"), "no connection"),
        (requests.HTTPError("Forbidden\n\nfor url", response=answer), "the server answered 403"),
    ):
        monkeypatch.setattr(kagglehub, "dataset_download", _raiser(error))
        with pytest.raises(OSError, match=rf"name could not be downloaded \({why}\)") as caught:
            fetch_kaggle("owner/set/versions/1", "name", "folders 'a' and 'b'")
        place = cache / "downloads" / "name"
        assert one_line(caught).endswith(
            f"download https://www.kaggle.com/datasets/owner/set yourself and unpack it to {place}, "
            "so that it holds folders 'a' and 'b', where kdlab.load('name') finds it"
        )


def _raiser(error):
    def fail(handle):
        raise error

    return fail
