"""The folder that keeps downloads and what was computed, and files that appear whole or not at all."""

import errno
import os
import time
import uuid
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

ELSEWHERE = "write to another place"
"""What to do about a folder that the user chose, for ``new_file`` and ``explained``."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OTHERWISE = "set KDLAB_CACHE to a folder elsewhere"
_ABANDONED = 3600  # seconds without a write, after which an unfinished file's writer is taken for dead


def cache_folder(*parts):
    """Return the folder of that name within the cache, made where it is missing.

    The cache is the folder that the environment variable ``KDLAB_CACHE`` names, else the user's own for "kdlab".
    Raises OSError where it cannot be made.
    """
    given = os.environ.get("KDLAB_CACHE")
    if not given:
        import pooch
    folder = Path(given).expanduser() if given else pooch.os_cache("kdlab")
    folder = folder.joinpath(*parts)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def new_file(path, otherwise=_OTHERWISE):
    """Give a file to write bytes to, which becomes ``path`` when the block ends and is gone when it fails.

    What was at ``path`` stays until then. Raises OSError, saying what to do, for a full disk.
    """
    path = Path(path)
    for part in path.parent.glob(f".{path.name}.*.part"):  # what a killed process left of the same file
        with suppress(OSError):  # another process was faster
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with explained(path.parent, otherwise):
        try:
            with unfinished.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def kept(folder, name, make, what):
    """Return ``make()``, a dict of numpy arrays, from the cache where it is there: as ``name`` in ``cache_folder(folder)``.

    The file is written at once or not at all, and a damaged one is made anew. Where the disk cannot take it, the arrays
    are returned all the same, with a UserWarning that ``what`` are not kept.
    """
    # None is there, or it is damaged: a zip file's errors are of many kinds.
    with suppress(Exception), open(cache_folder(folder) / f"{name}.npz", "rb") as file, np.load(file) as parts:
        return dict(parts)
    arrays = make()
    try:
        with new_file(cache_folder(folder) / f"{name}.npz") as file:
            np.savez(file, **arrays)
    except OSError as error:
        warnings.warn(f"{what} are not kept, the next run makes them again: {error}", stacklevel=3)
    return arrays


class _OnlyTried(Exception):  # noqa: N818 - it is no error
    pass


def try_file(path, otherwise=_OTHERWISE):
    """Raise the OSError that ``new_file`` would raise for ``path``; what is there stays as it is."""
    with suppress(_OnlyTried), new_file(path, otherwise):
        raise _OnlyTried


@contextmanager
def explained(folder, otherwise=_OTHERWISE):
    """Within the block, an OSError says in one line what to do about a folder that is full or cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what = f"there is no space left in {folder}: free some"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            what = f"{folder} cannot be written to ({error.strerror}): allow it"
        elif error.errno == errno.ENAMETOOLONG:
            what = f"a name is too long for a file in {folder}: choose a shorter one"
        else:
            raise
        raise OSError(f"{what}, or {otherwise}; nothing half-written is left") from error
