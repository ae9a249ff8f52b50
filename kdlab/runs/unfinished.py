"""A run's files are made in a folder beside their place and put there all together; killed, the run goes on there."""

import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

from ..cache import ELSEWHERE, explained, new_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_KEY, _COMPLETE = "run.json", "complete"


@contextmanager
def exclusive_lock(output):
    """Within the block no other process is in this block for ``output``, or for another output of the same stem.

    Two copies would take turns in writing one another's files. The lock is the operating system's, on a file beside,
    ``.<stem>.lock``: it ends with its process, also with a killed one. A file system that has no locks gives none.
    Raises ValueError where another process is in the block.
    """
    output = Path(output)
    path = output.with_name(f".{output.stem}.lock")
    while True:
        with explained(path.parent, ELSEWHERE):
            file = path.open("ab")
        if not _lock(file):
            file.close()
            raise ValueError(f"another kdlab is writing {output} now; let it end, or give another --out")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # Its owner removed it between our two steps.
    try:
        yield
    finally:
        if fcntl:  # Removed while it is locked: whoever has opened it before then sees that it is gone.
            path.unlink(missing_ok=True)
        file.close()
        if not fcntl:
            with suppress(OSError):  # Windows removes no file that another process has opened.
                path.unlink()


def _lock(file):
    """Return false where another process has locked the file."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True


class Unfinished:
    """The folder ``<first output>.unfinished`` in which a run makes its ``outputs``, a list of paths beside each other.

    ``begin`` says whose run it is. ``path`` is where an output is made, ``keep`` and ``kept`` hold plain values
    between two calls of the same command, and ``finish`` puts the outputs in their place.
    """

    def __init__(self, outputs):
        self.outputs = [Path(output) for output in outputs]
        self.folder = self.outputs[0].with_name(self.outputs[0].name + ".unfinished")

    def begin(self, key, force=False):
        """Make the folder, or go on in it; ``key`` is a dict of plain values, all that the run's result depends on.

        Raises ValueError where the folder holds a run of another key, unless ``force``: that one is then dropped.
        """
        key = json.loads(json.dumps(key))
        theirs = self.kept(_KEY)
        if theirs is not None and theirs != key:
            if not force:
                names = [name for name in {**theirs, **key} if theirs.get(name) != key.get(name)]
                raise ValueError(
                    f"{self.folder} holds an unfinished run that differs in {', '.join(names)}: the command that began "
                    "it goes on with it; --force drops it, another --out leaves it"
                )
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        self.keep(_KEY, key)

    def path(self, output):
        """Return where ``output`` is made."""
        return self.folder / Path(output).name

    def keep(self, name, values):
        """Keep plain values under a name."""
        with new_file(self.folder / name, ELSEWHERE) as file:
            file.write(json.dumps(values).encode())

    def kept(self, name):
        """Return what was kept under that name, or None."""
        try:
            return json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def finish(self):
        """Put all outputs in their place; killed in between, ``move_if_complete`` of the next call does the rest."""
        self.keep(_COMPLETE, True)
        self.move_if_complete()

    def move_if_complete(self):
        """Put the outputs in their place if all are made; return whether they were."""
        if not self.kept(_COMPLETE):
            return False
        for output in reversed(self.outputs):  # The first, which the user asked for, last.
            if self.path(output).exists():
                os.replace(self.path(output), output)
        shutil.rmtree(self.folder)
        return True

    def tidy(self):
        """Remove the folder if nothing was made in it yet; for the end of a run that failed."""
        if self.folder.is_dir() and not {path.name for path in self.folder.iterdir()} - {_KEY}:
            shutil.rmtree(self.folder)


def refuse_existing(outputs):
    """Raise ValueError naming the first of these paths that exists."""
    for output in outputs:
        if Path(output).exists():
            raise ValueError(f"{output} exists already; --force replaces it, or give another --out")
