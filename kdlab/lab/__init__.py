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

__getattr__, __dir__, __all__ = lazily(__name__, _FILES, "questions")
