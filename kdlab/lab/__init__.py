"""The lab: ``interact``, controls and widgets for notebooks, the pages and their server.

To add a control or a sentence, see ``controls``; a browser-side widget, ``widgets`` and ``static/lab.js``; a chapter, ``pages``;
a question, the chapter's ``…_questions``.
"""

from ..lazy import lazily

_FILES = {
    "interaction": "Panel Progress interact",
    "controls": "Code alpha choice numbers on_validation points positions source table temperature verdict",
    "widgets": "Bars Grid Pad",
    "landscape": "Landscape",
    "page": "Page",
    "memo": "once",
}
_HOME = {name: file for file, names in _FILES.items() for name in names.split()}

__all__ = [*sorted(_HOME), "questions"]

__getattr__, __dir__ = lazily(__name__, _HOME, ("questions",))
