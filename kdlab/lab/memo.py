"""What is made once, when it is first asked for, whichever thread asks; the others wait for it."""

import threading
from functools import partial, wraps

__all__ = ["Once", "once"]


class Once:
    """A memo for threads: keeps what was made under a key. A failure is not kept: the next that asks tries again."""

    def __init__(self):
        self._lock, self._locks, self._made = threading.Lock(), {}, {}

    def __call__(self, key, make, *arguments):
        """Return what was made under ``key``, making it now, by ``make(*arguments)``, if it was not."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = make(*arguments)
            return self._made[key]


def once(function):
    """Make of ``function`` one that computes its result for the same (hashable) arguments once; a decorator."""
    made = Once()

    @wraps(function)
    def remembered(*arguments, **named):
        return made((arguments, *sorted(named.items())), partial(function, *arguments, **named))

    return remembered
