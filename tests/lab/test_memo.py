"""What is made once: for the same arguments, whichever thread asks; not a failure."""

import threading

import pytest

from kdlab.lab import once


def test_it_is_made_once_for_the_same_arguments():
    calls = []

    @once
    def trainer(scenario, width=16):
        calls.append((scenario, width))
        return object()

    assert trainer("all") is trainer("all")
    assert trainer("few", width=4) is trainer("few", width=4)
    assert trainer("few", width=8) is not trainer("few", width=4)
    assert calls == [("all", 16), ("few", 4), ("few", 8)]


def test_threads_that_ask_at_once_wait_for_the_one_that_makes_it():
    calls, go, got = [], threading.Event(), []

    @once
    def slow():
        calls.append(1)
        assert go.wait(20)
        return object()

    threads = [threading.Thread(target=lambda: got.append(slow())) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(calls) == 1
    assert got == [got[0]] * 4


def test_a_failure_is_tried_again():
    tries = []

    @once
    def flaky(name):
        tries.append(name)
        if len(tries) == 1:
            raise OSError("the disk is away")
        return name

    with pytest.raises(OSError, match="away"):
        flaky("teacher")
    assert flaky("teacher") == flaky("teacher") == "teacher"
    assert len(tries) == 2
