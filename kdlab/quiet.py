"""Silence for what logs past all settings."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def without_standard_error():
    """Drop what is written to file descriptor 2: TensorFlow logs what nobody can use, as it loads and looks for GPUs."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error, as in a program without a console
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
