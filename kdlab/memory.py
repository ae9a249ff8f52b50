"""How much memory may still be used, on this machine or in the container it may be; and using less of it."""

import contextlib
import ctypes
import mmap
import sys
from pathlib import Path

_MOST_HEAPS = -8  # M_ARENA_MAX of glibc's malloc.h

# What a control group calls its limit, what it uses, and the part of that which is only a copy of files; version 2 and 1.
_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(groups="/sys/fs/cgroup", own="/proc/self/cgroup"):
    """Return how many bytes of memory may still be used.

    That is what the machine has left, or less where a control group at or above this process's own, as ``own`` lists them,
    is limited to less: a container, a service, a batch job.
    """
    import psutil

    free = psutil.virtual_memory().available
    try:
        lines = Path(own).read_text().splitlines()
    except OSError:  # not Linux
        return free
    for line in lines:
        _, controllers, path = line.split(":", 2)
        controller = "memory" if "memory" in controllers.split(",") else ""
        if controllers and not controller:
            continue
        # Version 2 lies beside version 1 in a folder of its own where there are both.
        for base in (Path(groups, controller), Path(groups, "unified")):
            group = base / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(base):
                    free = min(free, _left(folder, *_FILES[controller], otherwise=free))
    return max(free, 0)


def share_one_heap():
    """Have the threads of this process, and of what is forked from it, share one heap; to be called before they start.

    With a heap each, which is Linux's way, a server takes a third more memory and grows for hundreds of visits, a kernel
    takes a tenth more; neither is faster.
    """
    _glibc("mallopt", _MOST_HEAPS, 1)


def return_free_memory():
    """Give the system back what is free of this process's heap: a server's is full of gaps once pages have been left."""
    _glibc("malloc_trim", 0)


def return_read_files():
    """Give the system back the pages of files, of libraries above all, that this process has read and not changed.

    When one is needed, it is taken from the system's copy. Of a process that has just imported TensorFlow they are half
    the memory, and few are needed again.
    """
    if sys.platform != "linux":
        return
    import psutil

    parts = ()
    with contextlib.suppress(psutil.Error, OSError, AttributeError):  # not every container shows them
        parts = psutil.Process().memory_maps(grouped=False)
    for part in parts:
        unchanged = "w" not in part.perms and not part.anonymous and not part.swap
        if part.path.startswith("/") and unchanged:
            start, end = (int(address, 16) for address in part.addr.split("-"))
            _glibc("madvise", ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _glibc(name, *arguments):
    """Call a function of Linux's C library, where it is there: others have no such settings."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            getattr(ctypes.CDLL(None), name)(*arguments)


def _left(folder, limit, used, files, otherwise):
    try:
        limit, used = (int((folder / name).read_text()) for name in (limit, used))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # there is no limit, or the group is not to be seen from inside the container
        return otherwise
    return limit - used + int(statistics.get(files, 0))
