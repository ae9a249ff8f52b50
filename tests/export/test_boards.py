"""Boards: to the last byte, and where it becomes close."""

import pytest

from kdlab.export.boards import BOARDS, CLOSE, kib


def test_the_least_ram_comes_first_and_each_says_where_its_numbers_are_from():
    assert [board.ram for board in BOARDS] == sorted(board.ram for board in BOARDS)
    assert all(board.source.startswith("https://") for board in BOARDS)
    # Where not all of it is counted, the words say how much is.
    assert all(board.counted.startswith(f"{board.ram // 1024} KiB") for board in BOARDS if board.counted)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_both_memories_must_have_room(board):
    flash, ram = int(CLOSE * board.flash), int(CLOSE * board.ram)
    assert board.verdict(flash, ram) == "fits"
    assert board.verdict(flash + 1, ram) == board.verdict(flash, ram + 1) == "close"
    assert board.verdict(board.flash, board.ram) == "close"
    assert board.verdict(board.flash + 1, 0) == board.verdict(0, board.ram + 1) == "does not fit"


@pytest.mark.parametrize(
    ("count", "said"),
    [(80, "0.0781 KiB"), (3512, "3.43 KiB"), (4_052_133, "3,957 KiB"), (1024**2, "1,024 KiB"), (0, "0 KiB")],
)
def test_bytes_are_said_in_kib(count, said):
    assert kib(count) == said
