"""Of the files that pages load: fewer and smaller ones, from copies that are made once for all visitors.

Text goes compressed. Voila's program asks for eighty more files, its parts: those that pages have asked for so far, now or
when the server ran before, go with it.
"""

import contextlib
import gzip
import hashlib
import mimetypes
import os
import re
import sys
from pathlib import Path

from tornado.web import GZipContentEncoding

from ..cache import cache_folder, new_file

PROGRAM = "voila.js"
# Webpack's and Rspack's parts add themselves to a list, before or after the program is there.
PART = re.compile(rb"""(/\*.*?\*/\s*)?("use strict";\s*)?\(self(\.|\[")(webpack|rspack)Chunk""", re.DOTALL)


class Copies:
    """The copies, in ``folder``, and the parts of the program that are known, from the file ``known``."""

    def __init__(self, folder, known=None):
        self.folder, self.known, self.parts = Path(folder), known, {}  # a set in order
        with contextlib.suppress(OSError):
            for path in Path(known).read_text("utf-8", errors="surrogateescape").splitlines() if known else ():
                self._add(path)

    @classmethod
    def of_this_python(cls, folder):
        """Return those whose parts are remembered from one run of the server to the next, where there is a cache."""
        known = None
        with contextlib.suppress(OSError):
            known = cache_folder("pages") / f"{hashlib.sha256(sys.prefix.encode()).hexdigest()[:16]}.txt"
        return cls(folder, known)

    def _add(self, path):
        """Return whether the script is a part of the program that was not known."""
        if path in self.parts or not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            if not PART.match(file.read(300)):
                return False
        self.parts[path] = None
        return True

    def of(self, path, compressed):
        """Return the path of what to send for the file; raises OSError where there is no place for a copy."""
        if Path(path).name == PROGRAM:
            path = self._with_parts(path)
        elif path.endswith(".js") and self._add(path) and self.known:
            with (
                contextlib.suppress(OSError),
                open(self.known, "a", encoding="utf-8", errors="surrogateescape") as file,
            ):
                file.write(f"{path}\n")
        if compressed:
            return self._copy([path], "", lambda: gzip.compress(Path(path).read_bytes(), 6))
        return path

    def _with_parts(self, program):
        """Return the path of the program with its parts before it, those that are still there."""
        parts = [part for part in list(self.parts) if os.path.exists(part)]
        if not parts:
            return program

        def together():
            # In functions of their own, as what they say of themselves ("use strict") holds for a function.
            every = (b"(() => {%b\n})();\n" % Path(part).read_bytes() for part in parts)
            return b"".join([*every, Path(program).read_bytes()])

        return self._copy([*parts, program], ".js", together)

    def _copy(self, files, suffix, make):
        """Return the path of what ``make`` returns of these files, kept until one of them changes."""
        states = "".join(f"{path} {os.stat(path).st_mtime_ns}\n" for path in files)
        copy = self.folder / (hashlib.sha256(os.fsencode(states)).hexdigest() + suffix)
        if not copy.exists():
            self.folder.mkdir(exist_ok=True)
            with new_file(copy) as file:  # in two threads, the server's and the one that prepares it
                file.write(make())
        return str(copy)


class Files:
    """Of a handler of files: it sends copies, which ``settings["copies"]`` makes, where there can be some."""

    _type = None

    def validate_absolute_path(self, root, absolute_path):
        """Return the path of the copy to send, where there is one, else the file's own."""
        path = super().validate_absolute_path(root, absolute_path)
        kind = mimetypes.guess_type(path or "")[0] or ""
        text = kind.startswith("text/") or kind in GZipContentEncoding.CONTENT_TYPES
        compressed = text and "gzip" in self.request.headers.get("Accept-Encoding", "")
        with contextlib.suppress(OSError):  # as of a full disk
            if path:
                path = self.settings["copies"].of(path, compressed)
                self._type = kind if compressed else None
        return path

    def write_error(self, status_code, **options):
        """Answer with the status alone: Jupyter's page about an error is made from files that are not served, and fails."""
        self.finish()

    def get_content_type(self):
        """Return the type of the file that was asked for."""
        return self._type or super().get_content_type()

    def get_content_size(self):
        """Return the size of what is sent, in bytes."""
        return os.stat(self.absolute_path).st_size  # Tornado has kept that of the file itself

    def set_extra_headers(self, path):
        """Say what was done to the file."""
        super().set_extra_headers(path)
        if self._type:
            self.set_header("Content-Encoding", "gzip")
