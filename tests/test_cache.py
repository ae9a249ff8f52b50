"""The cache: where it is, and files that appear there whole or not at all."""

import os
import time

import numpy as np
import pooch
import pytest

from kdlab.cache import cache_folder, kept, new_file, try_file


def everything(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "here"))
    assert cache_folder("a", "b") == tmp_path / "here" / "a" / "b"
    assert (tmp_path / "here" / "a" / "b").is_dir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KDLAB_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_the_cache_is_the_users_own_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("KDLAB_CACHE", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    assert cache_folder("downloads") == tmp_path / "kdlab" / "downloads"


def test_a_new_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(b"old")
    with new_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert everything(tmp_path) == ["numbers"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()  # others may read a shared cache


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "numbers"
    path.write_bytes(b"old")

    def write():
        with new_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert everything(tmp_path) == ["numbers"]


def test_a_full_disk_is_explained(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")

    def write():
        with new_file(tmp_path / "numbers"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OSError, match=r"no space left in .*: free some, or set KDLAB_CACHE .* nothing half-written"):
        write()
    assert everything(tmp_path) == []


def test_the_kernel_refusing_to_write_is_explained(tmp_path, file_size_limit):
    file_size_limit(1000)
    with pytest.raises(OSError, match="no space left"), new_file(tmp_path / "numbers") as file:
        file.write(bytes(10**6))
    assert everything(tmp_path) == []


def test_a_file_that_is_tried_leaves_what_was_there(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        try_file(tmp_path / name)
    assert everything(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize("length", [217, 240, 300])
def test_a_name_that_is_too_long_is_explained(tmp_path, length):
    for write in (try_file, lambda path: new_file(path).__enter__()):
        with pytest.raises(OSError, match=r"a name is too long for a file in .*: choose a shorter one, or "):
            write(tmp_path / ("x" * length))
    assert everything(tmp_path) == []


def test_other_errors_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), new_file(tmp_path / "numbers"):
        (tmp_path / "elsewhere").read_bytes()


def test_a_cache_that_cannot_be_made_is_explained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / folder))
        with pytest.raises(OSError, match=r"cannot be written to .* set KDLAB_CACHE to a folder elsewhere"):
            cache_folder()


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    for name, age in ((".numbers.dead.part", 7200), (".numbers.live.part", 10), (".other.dead.part", 7200)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with new_file(tmp_path / "numbers") as file:
        file.write(b"new")
    assert everything(tmp_path) == [".numbers.live.part", ".other.dead.part", "numbers"]


class Made:
    """Counts how often its arrays are made."""

    def __init__(self):
        self.times, self.arrays = 0, {"a": np.arange(1000.0), "words": np.array("äöü")}

    def __call__(self):
        self.times += 1
        return self.arrays

    def kept(self):
        found = kept("here", "name", self, "the numbers")
        assert found.keys() == self.arrays.keys()
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(found[name], array)
        return self.times


@pytest.mark.parametrize("damage", ["first", "middle", "last", "cut", "empty", "gone", "no zip", "longer"])
def test_what_is_kept_is_made_once_and_again_where_it_is_damaged(cache, damage):
    made = Made()
    assert [made.kept(), made.kept()] == [1, 1]
    (path,) = (cache / "here").iterdir()
    content = bytearray(path.read_bytes())
    place = {"first": 0, "middle": len(content) // 2, "last": -1}.get(damage)
    if damage == "gone":
        path.unlink()
    elif place is not None:
        content[place] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "no zip": b"x"}.get(damage, content + b"0")
        )
    times = made.kept()
    assert times == 2 or damage in ("first", "last", "longer")  # of which a zip file may lose nothing
    assert made.kept() == times


def test_a_full_disk_is_said_and_the_arrays_are_there(cache, file_size_limit):
    file_size_limit(100)
    with pytest.warns(UserWarning, match="^the numbers are not kept, the next run makes them again: there is no space"):
        Made().kept()
    assert everything(cache / "here") == []


def test_a_cache_that_cannot_be_made_is_said_and_the_arrays_are_there(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=f"not kept.*{os.sep}file"):
        Made().kept()
