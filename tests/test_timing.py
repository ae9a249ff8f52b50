"""Time per example: median and quartiles of what the calls took, the batch as asked."""

import numpy as np
import pytest

from kdlab.timing import LEAST, MOST, WARM_UP, time_per_example


class Clock:
    """A clock that stands still but for what ``run`` takes, call by call."""

    def __init__(self, durations):
        self.now, self.durations, self.batches = 0.0, iter(durations), []

    def run(self, batch):
        self.batches.append(batch)
        self.now += next(self.durations)

    def __call__(self):
        return self.now


def test_median_and_quartiles_are_those_of_the_calls_after_the_warm_up():
    taken = np.arange(1.0, 14.0)
    clock = Clock([1e6] * WARM_UP + list(taken))
    found = time_per_example(clock.run, np.zeros((20, 3)), 4, seconds=90, clock=clock)
    assert found.calls == 13  # 1 + … + 12 = 78 s, the next call begins before 90
    assert found == pytest.approx((*(np.percentile(taken, (50, 25, 75)) / 4), 13))


def test_at_least_ten_calls_however_slow_and_at_most_two_hundred_however_fast():
    slow = Clock([100.0] * 300)
    assert time_per_example(slow.run, np.zeros((1, 1)), 1, seconds=0.5, clock=slow).calls == LEAST == 10
    fast = Clock([0.0] * 300)
    assert time_per_example(fast.run, np.zeros((1, 1)), 1, seconds=0.5, clock=fast).calls == MOST == 200


@pytest.mark.parametrize(("rows", "batch_size"), [(5, 3), (5, 5), (2, 5)])
def test_the_batch_is_the_first_rows_again_and_again(rows, batch_size):
    x = np.arange(rows * 2.0).reshape(rows, 2)
    clock = Clock([1.0] * 50)
    time_per_example(clock.run, x, batch_size, clock=clock)
    for batch in clock.batches:
        np.testing.assert_array_equal(batch, np.concatenate([x] * 3)[:batch_size])


@pytest.mark.parametrize(("rows", "batch_size"), [(0, 1), (3, 0)])
def test_nothing_to_measure_is_refused(rows, batch_size):
    with pytest.raises(ValueError, match=f"got {rows} rows and {batch_size}"):
        time_per_example(print, np.zeros((rows, 2)), batch_size)
