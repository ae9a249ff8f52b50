"""What is made once, when it is first asked for, whichever thread asks; the others wait for it."""

import threading
from collections import defaultdict
from functools import wraps


def once(function):
    """Make of ``function`` one that computes its result for the same (hashable) arguments once; a decorator.

    Threads that ask meanwhile wait. A failure is not kept: the next that asks tries again.
    """
    made, locks, lock = {}, defaultdict(threading.Lock), threading.Lock()

    @wraps(function)
    def remembered(*arguments, **named):
        key = (arguments, *sorted(named.items()))
        with lock:
            mine = locks[key]
        with mine:
            if key not in made:
                made[key] = function(*arguments, **named)
            return made[key]

    return remembered
