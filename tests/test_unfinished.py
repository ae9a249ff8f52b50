"""A run's files appear together or not at all, and a killed run goes on where it was."""

import os

import pytest

from kdlab.unfinished import Unfinished, refuse_existing, write_atomically

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
    assert work.check() is False
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
    assert again.check() is False
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
    forced = Unfinished(outputs, force=True)
    forced.begin(other)
    assert not forced.path(outputs[0]).exists()
    forced.path(outputs[0]).write_text("other weights")
    Unfinished(outputs, force=True).begin(other)  # the same forced command, after a kill
    assert forced.path(outputs[0]).read_text() == "other weights"


@pytest.mark.parametrize("which", range(3))
def test_an_output_that_exists_is_refused_and_stays(outputs, which):
    outputs[which].write_text("mine")
    with pytest.raises(ValueError, match=rf"{outputs[which].name} exists already; --force replaces it"):
        Unfinished(outputs).check()
    with pytest.raises(ValueError, match="exists already"):
        refuse_existing(outputs)
    work = Unfinished(outputs, force=True)
    assert work.check() is False
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
        assert Unfinished(outputs).check() is True
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


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_atomically(path, "α = 1\n")
    assert path.read_bytes() == "α = 1\n".encode()
    write_atomically(path, b"bytes")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left .* write to another place"):
        write_atomically(path, "more")
    assert contents(tmp_path) == {"table.csv": "bytes"}
