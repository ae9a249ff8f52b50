"""Names of a package that load on first use (PEP 562)."""

import importlib

__all__ = ["lazily"]


def lazily(package, home, modules=()):
    """Return ``__getattr__`` and ``__dir__`` for ``package``, the name of one.

    ``home`` is {public name: module that it lives in}, ``modules`` are submodules that are public by themselves.
    """

    def get(name):
        if name in modules:
            return importlib.import_module(f".{name}", package)
        if name in home:
            return getattr(importlib.import_module(f".{home[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted([*home, *modules])
