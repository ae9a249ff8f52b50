"""Compiled programs whose functions have the same names in every process.

TensorFlow numbers functions by all that a process has computed before, and XLA's persistent cache knows a program by
every name in it: without this, a program that is there already would often be compiled once more.
"""

import functools
import hashlib
import itertools
import threading
from collections import Counter

from tensorflow.python.framework import ops  # no public function takes a name or a number

from ..backend import tf

_thread = threading.local()
_traced = Counter()
_next_number = getattr(ops, "uid", None)


def with_stable_names(function, key=()):
    """Return the ``tf.function``, which while it is traced numbers by ``key`` and its arguments' shapes.

    Where both are alike once more the numbers are others: within a process none is used twice.
    """

    @functools.wraps(function)
    def named(*args, **kwargs):
        like = [(one.shape, one.dtype) if tf.is_tensor(one) else one for one in tf.nest.flatten((args, kwargs))]
        _thread.numbers = _numbers(repr((key, like)))
        try:
            return function(*args, **kwargs)
        finally:
            _thread.numbers = None

    return named


def _numbers(key):
    _traced[key] += 1  # not before the first number is asked for: most calls trace nothing
    digest = hashlib.sha256(f"{key} {_traced[key]}".encode()).hexdigest()
    yield from itertools.count(int(digest[:10], 16) << 20)


def _uid():
    numbers = getattr(_thread, "numbers", None)
    return next(numbers) if numbers else _next_number()


ops.uid = _uid
