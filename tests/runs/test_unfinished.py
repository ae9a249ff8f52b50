"""A run's files appear together or not at all, and a killed run goes on where it was."""

import os
import subprocess
import sys

import pytest

from kdlab.runs import unfinished
from kdlab.runs.unfinished import Unfinished, exclusive_lock, refuse_existing

KEY = {"data": "abc", "epochs": 3, "temperature": 4.0}


@pytest.fixture
def outputs(tmp_path):
    return [tmp_path / name for name in ("student.keras", "student.alone.keras", "student.json")]


def make(work, content):
    for output in work.outputs:
        work.path(output).write_text(f"{content} {output.name}")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_nothing_is_in_place_before_the_end_and_all_of_it_after(outputs, tmp_path):
    work = Unfinished(outputs)
    assert work.move_if_complete() is False
    work.begin(KEY)
    make(work, "new")
    assert not any(output.exists() for output in outputs)
    assert list(tmp_path.iterdir()) == [tmp_path / "student.keras.unfinished"]
    work.finish()
    assert contents(tmp_path) == {output.name: f"new {output.name}" for output in outputs}


def test_the_same_run_goes_on_with_what_it_kept(outputs):
    first = Unfinished(outputs)
    first.begin(KEY)
    first.keep("student.json", {"epochs": 2})
    first.path(outputs[0]).write_text("weights")
    again = Unfinished(outputs)
    assert again.move_if_complete() is False
    again.begin(dict(reversed(KEY.items())))
    assert again.kept("student.json") == {"epochs": 2}
    assert again.path(outputs[0]).read_text() == "weights"
    assert again.kept("another") is None


def test_another_run_does_not_drop_an_unfinished_one_unless_forced(outputs):
    first = Unfinished(outputs)
    first.begin(KEY)
    first.path(outputs[0]).write_text("weights")
    other = {**KEY, "epochs": 4, "student": "mlp"}
    with pytest.raises(ValueError, match=r"student\.keras\.unfinished holds .* differs in epochs, student: .* --force"):
        Unfinished(outputs).begin(other)
    assert first.path(outputs[0]).exists()
    forced = Unfinished(outputs)
    forced.begin(other, force=True)
    assert not forced.path(outputs[0]).exists()
    forced.path(outputs[0]).write_text("other weights")
    Unfinished(outputs).begin(other, force=True)  # the same forced command, after a kill
    assert forced.path(outputs[0]).read_text() == "other weights"


@pytest.mark.parametrize("which", range(3))
def test_an_output_that_exists_is_refused_and_stays(outputs, which):
    outputs[which].write_text("mine")
    with pytest.raises(ValueError, match=rf"{outputs[which].name} exists already; --force replaces it"):
        refuse_existing(outputs)
    work = Unfinished(outputs)
    work.begin(KEY)
    make(work, "new")
    assert outputs[which].read_text() == "mine"
    work.finish()
    assert outputs[which].read_text() == f"new {outputs[which].name}"


@pytest.mark.parametrize("moved", range(4))
def test_killed_while_the_files_are_put_in_place_the_next_call_does_the_rest(outputs, tmp_path, monkeypatch, moved):
    work = Unfinished(outputs)
    work.begin(KEY)
    make(work, "new")
    real, calls = os.replace, []

    def killed(source, target):
        if "unfinished" in str(source) and target in outputs:
            calls.append(target)
            if len(calls) > moved:
                raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    if moved < 3:
        with pytest.raises(KeyboardInterrupt):
            work.finish()
        assert sum(output.exists() for output in outputs) == moved
        assert not outputs[0].exists()  # what the user asked for is the last
        monkeypatch.undo()
        assert Unfinished(outputs).move_if_complete() is True
    else:
        work.finish()
    assert contents(tmp_path) == {output.name: f"new {output.name}" for output in outputs}


def test_a_run_that_failed_before_it_made_anything_leaves_nothing(outputs, tmp_path):
    work = Unfinished(outputs)
    work.tidy()  # before it began
    work.begin(KEY)
    work.tidy()
    assert not list(tmp_path.iterdir())
    work.begin(KEY)
    work.path(outputs[1]).write_text("weights")
    work.tidy()
    assert work.path(outputs[1]).exists()


def test_a_damaged_note_is_no_note(outputs):
    work = Unfinished(outputs)
    work.begin(KEY)
    (work.folder / "student.json").write_text('{"epochs": ')
    assert work.kept("student.json") is None


# --- one process at a time


def is_free(output):
    try:
        with exclusive_lock(output):
            return True
    except ValueError:
        return False


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    with exclusive_lock(tmp_path / "student.keras"):
        with pytest.raises(ValueError, match=r"another kdlab is writing .*student\.keras now; let it end, or give"):
            exclusive_lock(tmp_path / "student.keras").__enter__()
        assert not is_free(tmp_path / "student.csv")  # it would write student.json too
        assert is_free(tmp_path / "teacher.keras")
    assert is_free(tmp_path / "student.keras")
    assert contents(tmp_path) == {}


def test_a_failure_frees_the_output(tmp_path):
    with pytest.raises(KeyboardInterrupt), exclusive_lock(tmp_path / "student.keras"):
        raise KeyboardInterrupt
    assert is_free(tmp_path / "student.keras")
    assert contents(tmp_path) == {}


def test_a_killed_process_does_not_stand_in_the_way(tmp_path):
    code = (
        "import time; from kdlab.runs.unfinished import exclusive_lock\n"
        "with exclusive_lock('student.keras'): print('here', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"here"
        assert not is_free(tmp_path / "student.keras")
        process.kill()
    assert contents(tmp_path) == {".student.lock": ""}
    assert is_free(tmp_path / "student.keras")
    assert contents(tmp_path) == {}


def test_a_lock_whose_file_was_just_removed_is_none(tmp_path, monkeypatch):
    lock, locked = unfinished._lock, []

    def lock_late(file):
        if not locked:
            (tmp_path / ".student.lock").unlink()  # as its owner does at its end
        locked.append(file)
        return lock(file)

    monkeypatch.setattr(unfinished, "_lock", lock_late)
    with exclusive_lock(tmp_path / "student.keras"):
        assert len(locked) == 2
        assert not is_free(tmp_path / "student.keras")


def test_a_file_system_without_locks_is_no_reason_to_stop(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    if unfinished.fcntl is None:
        pytest.skip("locks are made otherwise here")
    monkeypatch.setattr(unfinished.fcntl, "flock", no_locks)
    assert is_free(tmp_path / "student.keras")
