"""What is made once, when it is first asked for, whichever thread asks; the others wait for it."""

import threading

__all__ = ["Once"]


class Once:
    """Keeps what was made under a key. A failed making is kept nowhere: the next that asks tries again."""

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
