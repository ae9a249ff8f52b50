"""The files that pages load: compressed, the program with its parts, and what becomes of parts that go."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdlab.lab.page_files import Copies, Files

PARTS = {
    "1.voila.js": '"use strict";(self.webpackChunk_A=self.webpackChunk_A||[]).push([[1],{}])',
    "2.js": '/*! For its\nlicense see */\n(self["rspackChunk_b"] = self["rspackChunk_b"] || []).push([[2],{}])',
}
OTHERS = {"a.css": PARTS["2.js"], "c.js": "(() => self.webpackChunk_A)()", "remoteEntry.js": "var a; (self.a)"}
TOGETHER = [f"(() => {{{text}\n}})();\n" for text in PARTS.values()]


class Handler:
    """What ``Files`` is put before: a handler of files."""

    def __init__(self, copies, accepted="gzip"):
        self.request = SimpleNamespace(headers={"Accept-Encoding": accepted})
        self.settings = {"copies": copies}

    def validate_absolute_path(self, root, absolute_path):
        return absolute_path

    def get_content_type(self):
        return "its own"


handler_of_files = type("Files", (Files, Handler), {})


@pytest.fixture
def sent(tmp_path):
    """A function that returns what is sent for a file of a folder with a program, its parts and others."""
    for name, text in {**PARTS, **OTHERS, "voila.js": "run()"}.items():
        (tmp_path / name).write_text(text)

    def sent(copies, name, accepted=""):
        return Path(handler_of_files(copies, accepted).validate_absolute_path("", str(tmp_path / name))).read_bytes()

    return sent


def test_where_there_is_no_place_for_a_copy_the_file_itself_is_sent(tmp_path):
    file = tmp_path / "a.css"
    file.write_text("p { color: red }")
    without = handler_of_files(Copies(file))  # a file, in which there can be no folder
    assert without.validate_absolute_path("", str(file)) == str(file)
    assert without.get_content_type() == "its own"
    having = handler_of_files(Copies(tmp_path / "copies"))
    copy = having.validate_absolute_path("", str(file))
    assert gzip.decompress(Path(copy).read_bytes()) == file.read_bytes()
    assert having.get_content_type() == "text/css"
    program, copies = tmp_path / "voila.js", Copies(file)
    program.write_text("run()")
    copies.parts = {str(file): None}
    assert handler_of_files(copies).validate_absolute_path("", str(program)) == str(program)


def test_the_program_goes_with_the_parts_that_were_asked_for_and_with_nothing_else(tmp_path, sent):
    copies = Copies(tmp_path / "copies")
    assert sent(copies, "voila.js") == b"run()"
    for name, text in {**OTHERS, **PARTS}.items():
        assert sent(copies, name) == text.encode()
    assert sent(copies, "voila.js").decode() == "".join(TOGETHER) + "run()"
    assert gzip.decompress(sent(copies, "voila.js", "gzip")).decode() == "".join(TOGETHER) + "run()"
    (tmp_path / "2.js").unlink()  # as by an update while the server runs
    assert gzip.decompress(sent(copies, "voila.js", "gzip")).decode() == TOGETHER[0] + "run()"


def test_the_next_server_knows_the_parts_that_are_still_there_and_still_parts(tmp_path, sent, cache):
    first = Copies.of_this_python(tmp_path / "copies")
    for name in (*OTHERS, *PARTS):
        sent(first, name)
        sent(first, name)
    (known,) = cache.rglob("*.txt")
    assert known.read_text().splitlines() == [str(tmp_path / name) for name in PARTS]
    with known.open("ab") as file:  # whatever else may come to stand there
        file.write(os.fsencode(f"{tmp_path / 'c.js'}\n{tmp_path}\n\n/nowhere.js\n") + b"\xff\0\n")
    assert sent(Copies.of_this_python(tmp_path / "more"), "voila.js").decode() == "".join(TOGETHER) + "run()"
    (tmp_path / "1.voila.js").write_text("an update()")
    assert sent(Copies.of_this_python(tmp_path / "others"), "voila.js").decode() == TOGETHER[1] + "run()"


def test_without_a_cache_nothing_is_remembered_and_all_is_sent(tmp_path, sent, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "voila.js"))  # a file
    copies = Copies.of_this_python(tmp_path / "copies")
    assert sent(copies, "2.js").decode() == PARTS["2.js"]
    assert sent(copies, "voila.js").decode() == TOGETHER[1] + "run()"


def test_threads_that_make_the_same_copy_at_once_leave_a_whole_one(tmp_path, sent):
    copies = Copies(tmp_path / "copies")
    (tmp_path / "a.css").write_text(os.urandom(2_000_000).hex())  # takes a while
    with ThreadPoolExecutor(8) as threads:
        every = [*threads.map(lambda _: sent(copies, "a.css", "gzip"), range(16))]
    assert {gzip.decompress(one) for one in every} == {(tmp_path / "a.css").read_bytes()}
