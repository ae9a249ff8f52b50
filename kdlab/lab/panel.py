"""What every panel shares: the ES module made of several files, the style, the page's values with their URL, and its worker."""

from pathlib import Path

import anywidget
import traitlets

from .worker import Worker

__all__ = ["Panel", "WorkingPanel", "choice_rule", "fraction_rule", "module", "positive_rule"]

STATIC = Path(__file__).parent / "static"


def module(*names):
    """Return the text of one ES module: what all panels share, then the files ``names`` of ``static/``."""
    return "\n".join((STATIC / name).read_text("utf-8") for name in ("panel.js", "charts.js", *names))


def positive_rule(key, default, lowest, highest):
    """Return the rule of a number above 0, as a temperature, from ``lowest`` to ``highest``."""
    accepts = f"a number from {lowest:g} to {highest:g}"
    return {"key": key, "kind": "positive", "min": lowest, "max": highest, "accepts": accepts, "default": default}


def fraction_rule(key, default):
    """Return the rule of a number from 0 to 1, as an alpha."""
    return {"key": key, "kind": "fraction", "accepts": "a number from 0 to 1", "default": default}


def choice_rule(key, choices, default, accepts=None):
    """Return the rule of a value that is one of ``choices``; ``accepts`` says them in words where they are many."""
    accepts = accepts or f"one of {', '.join(map(str, choices))}"
    return {"key": key, "kind": "choice", "choices": list(choices), "default": default, "accepts": accepts}


class Panel(anywidget.AnyWidget):
    """A view. Panels with one ``page_id`` share one set of values in the browser, kept in the URL of a dashboard.

    ``rules`` describes those values, by name: {"key": in the URL, "kind": how it is read, "default": …,
    "accepts": in words, and what the kind needs (min, max, length, choices)}.
    """

    _css = (STATIC / "panel.css").read_text("utf-8")

    page_id = traitlets.Unicode().tag(sync=True)
    rules = traitlets.Dict().tag(sync=True)
    panel = traitlets.Unicode().tag(sync=True)


class WorkingPanel(Panel):
    """A panel with a thread. ``request`` comes from the page, ``result`` goes to it; ``status`` says what is on.

    A result carries the ``position`` it was made for, so that the page can say it and dim what is out of date.
    """

    request = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("idle").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)

    def work(self, job, say=None):
        """Do ``job(request)`` for the latest request; return the ``Worker``. ``say`` takes the place of ``self.say``."""
        worker = Worker(job, say or self.say)
        self.observe(lambda change: worker.submit(change["new"]), "request")
        return worker

    def say(self, status, message):
        """Show what the worker is doing; the words first, for the status makes the page read them."""
        self.message = message.rstrip(".")
        self.status = status
