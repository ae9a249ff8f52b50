"""What a page keeps: its values in the URL, read in the browser and checked here, and its reader's answers."""

import math
from urllib.parse import parse_qs

import traitlets

from .. import __version__
from ..answers import RECORD
from .widgets import BrowserWidget


class Page(BrowserWidget):
    """Keeps the values of ``controls`` ({name in the URL: widget}) in a dashboard's address bar; has a link to copy.

    Make it when the controls have their defaults: the URL holds what differs from them. A value that a control does
    not accept is named beside the link, and the control keeps what it had.

    ``answers`` are those of ``record`` (``kdlab.answers``): a dashboard's browser keeps them from one visit to the next,
    and they can be downloaded as JSON, in JupyterLab too.

    Raises ValueError for a control whose value is no number, text, choice or yes or no: a link cannot hold it.
    """

    kind = traitlets.Unicode("page").tag(sync=True)
    asked, notes = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    values, answers = traitlets.Dict().tag(sync=True), traitlets.Dict().tag(sync=True)
    version = traitlets.Unicode(__version__).tag(sync=True)

    def __init__(self, record=RECORD, /, **controls):
        super().__init__()
        for name, control in controls.items():
            if not _fits_a_link(control):
                raise ValueError(
                    f"a link holds numbers, texts, choices and check boxes; {name} is a {type(control).__name__}, whose value is "
                    f"{control.value!r}: leave it out of lab.Page"
                )
        self.controls, self.defaults = controls, {name: _text(control) for name, control in controls.items()}
        for control in controls.values():
            control.observe(self._keep, "value")
        self._keep()
        self._record, self.answers = record, record.given
        record.watch(lambda: self.set_trait("answers", record.given))

    def _keep(self, _=None):
        now = {name: _text(control) for name, control in self.controls.items()}
        self.values = {name: None if text == self.defaults[name] else text for name, text in now.items()}

    @traitlets.observe("answers")
    def _take(self, change):
        if change["new"] != self._record.given:  # it came from the browser
            self._record.replace(change["new"])

    @traitlets.observe("asked")
    def _restore(self, change):
        notes = []
        for name, (text, *_) in parse_qs(change["new"].removeprefix("?")).items():
            control = self.controls.get(name)
            if control is None:
                continue
            try:
                _set(control, text)
            except (ValueError, KeyError, OverflowError, traitlets.TraitError):
                shown = text if len(text) <= 40 else text[:39] + "…"
                notes.append(
                    f"The link asks for {name} = “{shown}”; accepted is {_accepted(control)}. "
                    f"The page keeps {_text(control) or 'none'}."
                )
        self.notes = " ".join(notes)
        if notes:
            self._keep()


def _fits_a_link(control):
    if hasattr(control, "index"):
        return not isinstance(control.index, tuple)  # of several choices
    return hasattr(control, "labels") or isinstance(control.value, (bool, int, float, str))


def _text(control):
    """Return the control's value as the URL has it: an option's label, or the value."""
    value = control.label if hasattr(control, "index") else control.value
    if value is None:
        return ""
    if isinstance(value, float):  # of a slider that is enough, which takes its nearest step
        short = f"{value:.6g}"
        return short if hasattr(control, "readout") or float(short) == value else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(control):
    """Return the least and the largest value of a slider or a grid, or of a field, which may have none."""
    if hasattr(control, "labels"):
        return 0, len(control.labels) - 1
    low, high = getattr(control, "min", -math.inf), getattr(control, "max", math.inf)
    return (control.base**low, control.base**high) if hasattr(control, "base") else (low, high)


def _accepted(control):
    if hasattr(control, "index"):
        return "one of " + ", ".join(control._options_labels)
    if isinstance(control.value, bool):
        return "true or false"
    if isinstance(control.value, str):
        return "text"
    kind = "number" if isinstance(control.value, float) else "whole number"
    low, high = _range(control)
    return f"a {kind} from {low:.6g} to {high:.6g}" if math.isfinite(high) else f"a {kind}"


def _set(control, text):
    """Give ``control`` the value that ``text`` names; ValueError or KeyError if it names none."""
    if hasattr(control, "index"):
        control.index = control._options_labels.index(text)
    elif isinstance(control.value, bool):
        control.value = {"true": True, "false": False}[text]
    elif isinstance(control.value, str):
        control.value = text[:2000]
    else:
        value, (low, high) = (float if isinstance(control.value, float) else int)(text), _range(control)
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError(text)
        control.value = _on_grid(control, value)


def _on_grid(control, value):
    """Return the nearest value that a slider can take: another one would be written back by the browser."""
    step = getattr(control, "step", None)
    if not step or not hasattr(control, "readout"):  # a field takes every value
        return value
    base = getattr(control, "base", None)
    steps = round(((math.log(value, base) if base else value) - control.min) / step)
    nearest = control.min + steps * step
    return base**nearest if base else type(value)(round(nearest, 12))
