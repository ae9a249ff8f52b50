"""The lab: ``interact``, controls and widgets for notebooks, the pages and their server.

To add a control or a sentence, see ``controls``; a browser-side widget, ``widgets`` and ``static/lab.js``; a chapter, ``pages``.
"""

from ..lazy import lazily

_HOME = {
    "interact": "interaction",
    "Progress": "interaction",
    "Panel": "interaction",
    "alpha": "controls",
    "Code": "controls",
    "choice": "controls",
    "numbers": "controls",
    "on_validation": "controls",
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

__all__ = [*sorted(_HOME), "questions"]


__getattr__, __dir__ = lazily(__name__, _HOME, ("questions",))
