"""How long a model takes per example, with its spread."""

import time
from typing import NamedTuple

import numpy as np

WARM_UP = 3
LEAST, MOST = 10, 200  # calls


class Spread(NamedTuple):
    """Seconds per example: the median of ``calls`` calls and their quartiles, low and high."""

    median: float
    low: float
    high: float
    calls: int


def time_per_example(run, x, batch_size, seconds=0.5, clock=time.perf_counter):
    """Return the ``Spread`` of the time that ``run`` takes for one example in batches of ``batch_size``.

    ``run`` is called with the first ``batch_size`` rows of ``x``, repeated where there are fewer, and must return
    only when its result is there. After three calls to warm up it is called for about ``seconds``, 10 times at
    least and 200 at most. Raises ValueError for no rows and for a batch size below 1.
    """
    if not len(x) or batch_size < 1:
        raise ValueError(f"x must have rows and batch_size be at least 1, got {len(x)} rows and {batch_size}")
    batch = np.ascontiguousarray(x[np.arange(batch_size) % len(x)])
    for _ in range(WARM_UP):
        run(batch)
    taken, end = [], clock() + seconds
    while len(taken) < LEAST or (clock() < end and len(taken) < MOST):
        begun = clock()
        run(batch)
        taken.append(clock() - begun)
    low, median, high = np.quantile(taken, (0.25, 0.5, 0.75)) / batch_size
    return Spread(float(median), float(low), float(high), len(taken))
