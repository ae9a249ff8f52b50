"""The record of what a reader answered: checks note in it, a page shows it, a browser's store may hold anything."""

from datetime import UTC, datetime

import pytest

from kdlab.answers import Record

ENTRY = {"answer": "T²", "correct": True, "message": "Yes.", "tries": 1, "time": "2026-01-02T03:04:05+00:00"}


def test_the_last_answer_counts_and_the_tries_before_it_are_counted():
    record, told = Record(), []
    record.watch(lambda: told.append(len(record.given)))
    before = datetime.now(UTC).replace(microsecond=0)
    record.add("softmax", "z * T", False, "That multiplies.")
    record.add("softmax", 0.5, True)
    record.add("loss", "x" * 10_000, False)
    assert told == [1, 1, 2]
    answered = record.given["softmax"]
    assert before <= datetime.fromisoformat(answered.pop("time")) <= datetime.now(UTC)
    assert answered == {"answer": "0.5", "correct": True, "message": "", "tries": 2}
    assert record.given["loss"]["answer"] == "x" * 500


@pytest.mark.parametrize(
    "broken", [None, 3, "T²", [], {}, ENTRY | {"correct": 1}, ENTRY | {"tries": "1"}, ENTRY | {"more": 1}]
)
def test_what_is_no_entry_is_left_out(broken):
    record = Record()
    record.replace({"good": ENTRY, "bad": broken})
    assert record.given == {"good": ENTRY}
