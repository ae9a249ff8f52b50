"""Names of a package that load on first use (PEP 562)."""

import importlib


def lazily(package, files, modules=""):
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for ``package``, the name of one.

    ``files`` is {module: "names that live in it"}, ``modules`` are submodules that are public by themselves.
    """
    home = {name: file for file, names in files.items() for name in names.split()}

    def get(name):
        if name in modules.split():
            return importlib.import_module(f".{name}", package)
        if name in home:
            return getattr(importlib.import_module(f".{home[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    names = sorted([*home, *modules.split()])
    return get, lambda: names, names
