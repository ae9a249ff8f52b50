"""XLA's compiled programs, kept in the user's cache, so that a kernel's first students take a third of the time.

TensorFlow reads and writes the files, and where one is damaged or cannot be written, the training fails. So files
carry a checksum, those without are removed before the first kernel starts, and kernels only read where space is short.
"""

import contextlib
import hashlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

from ..cache import cache_folder

LIMIT = 200e6  # bytes; a program has half a million
ROOM = 1e9  # bytes that must be free on the disk for a kernel to write


class ProgramCache:
    """The folder for this TensorFlow, this processor and how XLA is told to compile. Where there can be none, kernels do without."""

    def __init__(self):
        self.folder = None
        with contextlib.suppress(OSError):
            self.folder = cache_folder("programs", _folder_name())
            self.tidy(trust_new=False)

    def flags(self, environment):
        """Return what TF_XLA_FLAGS should hold in a kernel's ``environment``, with what it holds already."""
        return f"{environment.get('TF_XLA_FLAGS', '')} {self._flags()}".strip()

    def _flags(self):
        if self.folder is None:
            return ""
        try:
            writable = shutil.disk_usage(self.folder).free >= ROOM
            with open(self.folder / "writable", "w"):
                pass
        except OSError:
            writable = False
        flags = f"--tf_xla_persistent_cache_directory={self.folder}"
        return flags if writable else f"{flags} --tf_xla_persistent_cache_read_only=true"

    def tidy(self, trust_new=True):
        """Remove damaged files, and the oldest beyond the limit, those of other versions and processors included.

        A file without a checksum is given one if new ones are trusted, because a kernel of ours has just written it.
        """
        if self.folder is None:
            return
        # What is no file of ours, or what another server has just removed, must not keep the rest from being looked at.
        for program in self.folder.glob("*.pb"):
            with contextlib.suppress(OSError):
                seal = _seal(program)
                if not trust_new or not seal.exists() or seal.stat().st_mtime < program.stat().st_mtime:
                    _check(program, seal, trust_new)
        everything = []
        for path in self.folder.parent.glob("*/*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    everything.append((path.stat().st_mtime, path.stat().st_size, path))
        total = 0
        for _, size, path in sorted(everything, reverse=True):
            total += size
            if total > LIMIT:
                with contextlib.suppress(OSError):
                    path.unlink()


def _folder_name():
    """Return a name for what programs depend on and XLA's names for them leave out: TensorFlow, processor, XLA's flags."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        # The first processor's: what it can do, and not how fast it is at the moment.
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        processor = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    depends_on = f"{version('tensorflow')} {platform.machine()} {processor} {os.environ.get('XLA_FLAGS', '')}"
    return hashlib.sha256(depends_on.encode()).hexdigest()[:16]


def _seal(program):
    return program.with_suffix(".sha256")


def _check(program, seal, trust_new):
    with open(program, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = seal.read_bytes() if seal.exists() else digest.encode() if trust_new else b""
    if known == digest.encode():
        seal.write_text(digest)
    else:
        program.unlink(missing_ok=True)
        seal.unlink(missing_ok=True)
