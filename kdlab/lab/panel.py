"""What every panel shares: the ES module made of two files, the style, and the page's values with their URL."""

from pathlib import Path

import anywidget
import traitlets

__all__ = ["Panel", "module"]

STATIC = Path(__file__).parent / "static"


def module(name):
    """Return the text of one ES module: what all panels share, then the file ``name`` of ``static/``."""
    return (STATIC / "panel.js").read_text("utf-8") + (STATIC / name).read_text("utf-8")


class Panel(anywidget.AnyWidget):
    """A view. Panels with one ``page_id`` share one set of values in the browser, kept in the URL of a dashboard.

    ``rules`` describes those values, by name: {"key": in the URL, "kind": how it is read, "default": …,
    "accepts": in words, and what the kind needs (min, max, length, choices)}.
    """

    _css = (STATIC / "panel.css").read_text("utf-8")

    page_id = traitlets.Unicode().tag(sync=True)
    rules = traitlets.Dict().tag(sync=True)
    panel = traitlets.Unicode().tag(sync=True)
