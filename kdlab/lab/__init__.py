"""The lab: ``interact``, controls and widgets for notebooks, the pages and their server.

To add a control or a sentence, see ``controls``; a browser-side widget, ``widgets`` and ``static/lab.js``; a chapter, ``pages``.
"""

import importlib

_HOME = {
    "interact": "interaction",
    "Progress": "interaction",
    "Panel": "interaction",
    "alpha": "controls",
    "Code": "controls",
    "choice": "controls",
    "numbers": "controls",
    "points": "controls",
    "source": "controls",
    "positions": "controls",
    "table": "controls",
    "temperature": "controls",
    "verdict": "controls",
    "Bars": "widgets",
    "Landscape": "landscape",
    "Grid": "widgets",
    "Pad": "widgets",
    "Page": "page",
    "once": "memo",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
