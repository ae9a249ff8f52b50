"""A run's files are made in a folder beside their place and put there all together; killed, the run goes on there."""

import json
import os
import shutil
from pathlib import Path

from .cache import new_file

__all__ = ["Unfinished", "refuse_existing", "write_atomically"]

_KEY, _COMPLETE = "run.json", "complete"


def write_atomically(path, content):
    """Write text or bytes to the file ``path`` at once or, where the disk is full (OSError), not at all."""
    with new_file(path, "write to another place") as file:
        file.write(content.encode() if isinstance(content, str) else content)


class Unfinished:
    """The folder ``<first output>.unfinished`` in which a run makes its ``outputs``, a list of paths beside each other.

    ``begin`` says whose run it is. ``path`` is where an output is made, ``keep`` and ``kept`` hold plain values
    between two calls of the same command, and ``finish`` puts the outputs in their place.
    """

    def __init__(self, outputs, force=False):
        self.outputs = [Path(output) for output in outputs]
        self.folder = self.outputs[0].with_name(self.outputs[0].name + ".unfinished")
        self.force = force

    def check(self):
        """Raise ValueError for an output that exists, unless ``force``; a finished run is first put in its place.

        Returns true where that was so.
        """
        if self.kept(_COMPLETE):  # killed while its files were being moved
            self._move()
            return True
        if not self.force:
            refuse_existing(self.outputs)
        return False

    def begin(self, key):
        """Make the folder, or go on in it; ``key`` is a dict of plain values, all that the run's result depends on.

        Raises ValueError where the folder holds a run of another key, unless ``force``: that one is then dropped.
        """
        key = json.loads(json.dumps(key))
        theirs = self.kept(_KEY)
        if theirs is not None and theirs != key:
            if not self.force:
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
        write_atomically(self.folder / name, json.dumps(values))

    def kept(self, name):
        """Return what was kept under that name, or None."""
        try:
            return json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def finish(self):
        """Put all outputs in their place; killed in between, ``check`` of the next call does the rest."""
        self.keep(_COMPLETE, True)
        self._move()

    def tidy(self):
        """Remove the folder if nothing was made in it yet; for the end of a run that failed."""
        if self.folder.is_dir() and not {path.name for path in self.folder.iterdir()} - {_KEY}:
            shutil.rmtree(self.folder)

    def _move(self):
        for output in reversed(self.outputs):  # The first, which the user asked for, last.
            if self.path(output).exists():
                os.replace(self.path(output), output)
        shutil.rmtree(self.folder)


def refuse_existing(outputs):
    """Raise ValueError naming the first of these paths that exists."""
    for output in outputs:
        if Path(output).exists():
            raise ValueError(f"{output} exists already; --force replaces it, or give another --out")
