"""The few widgets that are ours: what must move at 60 frames a second, needs a pointer, or only the browser knows.

Each is a model of one module, ``static/lab.js``, in which ``kind`` says what it is.
"""

import functools
import io
import uuid
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from PIL import Image

from ..checks import check_logits
from ..figures import ink, pixels

STATIC = Path(__file__).parent / "static"
BLUE, ORANGE = np.array([0, 114, 178]), np.array([213, 94, 0])


@functools.cache
def _one(kind):
    return kind()


def plain(widget, **options):
    """Return ``widget(**options)`` with the layout and the style of all that nobody restyles.

    Each would have two models more, and every model takes a page time to open.
    """
    if "style" in widget.class_traits():
        options.setdefault("style", _one(widget.class_traits()["style"].klass))
    return widget(layout=_one(ipywidgets.Layout), **options)


class _Code(anywidget.AnyWidget):
    """The module itself and its style sheet, sent once."""

    _esm = STATIC / "lab.js"
    _css = STATIC / "lab.css"


class BrowserWidget(anywidget.AnyWidget):
    """A widget whose view is in ``static/lab.js`` under the name ``kind``."""

    _esm = """
const code = (globalThis.kdlab ??= {});
code.ready ??= new Promise((resolve) => (code.load = resolve));
export default {
  initialize: async (context) => (await code.ready).initialize(context),
  render: async (context) => (await code.ready).render(context),
};
"""
    kind = traitlets.Unicode().tag(sync=True)
    description = traitlets.Unicode(help="what it shows, for those who do not see it").tag(sync=True)
    _code = traitlets.Instance(_Code).tag(sync=True, **ipywidgets.widget_serialization)

    @traitlets.default("_code")
    def _only_one(self):
        return _one(_Code)


class Bars(BrowserWidget):
    """softmax(logits / temperature) as bars, computed in the browser: ``ipywidgets.jslink`` joins it to a slider.

    ``logits`` are C numbers, ``classes`` their names, ``label`` the true class, or −1 for none.
    """

    kind = traitlets.Unicode("bars").tag(sync=True)
    logits, classes = traitlets.List().tag(sync=True), traitlets.List().tag(sync=True)
    temperature, label = traitlets.Float(1.0).tag(sync=True), traitlets.Int(-1).tag(sync=True)

    def __init__(self, logits, classes=(), description="Softened probabilities of each class", **options):
        logits = check_logits(logits, dimensions=1).tolist()
        super().__init__(
            logits=logits,
            classes=[str(name) for name in classes or range(len(logits))],
            description=description,
            **options,
        )

    def show(self, logits, label=-1):
        """Soften other ``logits`` (C,)."""
        with self.hold_sync():
            self.logits, self.label = check_logits(logits, dimensions=1).tolist(), int(label)


class Grid(BrowserWidget):
    """Cells to choose from, by pointer or keyboard: pictures, or numbers on colours; ``value`` is the chosen one's place.

    ``labels`` say for everybody what a cell is. ``images`` are arrays (H, W) or (H, W, 3), of 0 to 1 or uint8.
    """

    kind = traitlets.Unicode("grid").tag(sync=True)
    value = traitlets.Int(None, allow_none=True).tag(sync=True)
    columns = traitlets.Int(0, help="0: as many as fit").tag(sync=True)
    corner = traitlets.Unicode().tag(sync=True)
    labels, texts, colours, inks = (traitlets.List().tag(sync=True) for _ in range(4))
    images, column_labels, row_labels = (traitlets.List().tag(sync=True) for _ in range(3))

    def __init__(self, labels, images=(), **options):
        super().__init__(labels=[str(label) for label in labels], images=[_png(image) for image in images], **options)

    def show(self, values, texts=None, labels=None, limit=None):
        """Colour the cells by ``values`` (as many as cells): blue above 0, orange below, white at 0 and for NaN.

        ``limit`` is the value of the full colour, else the largest there is. ``texts`` are what stands in the cells.
        """
        values = np.asarray(values, float).ravel()
        limit = limit or np.nanmax(np.abs(values), initial=1e-9)
        strength = np.clip(np.abs(np.nan_to_num(values)) / limit, 0, 1)[:, None]
        colours = np.round(255 - strength * (255 - np.where(values[:, None] < 0, ORANGE, BLUE))).astype(int)
        with self.hold_sync():
            if texts is not None:
                self.texts = [str(text) for text in np.ravel(texts)]
            if labels is not None:
                self.labels = [str(label) for label in np.ravel(labels)]
            self.colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours]
            self.inks = [ink(colour / 255) for colour in colours]


class Pad(BrowserWidget):
    """A pad to draw on; ``value`` is the ink, ``side`` · ``side`` numbers from 0 to 1, row by row, or [] when it is clear."""

    kind = traitlets.Unicode("pad").tag(sync=True)
    side = traitlets.Int(8).tag(sync=True)
    value = traitlets.List().tag(sync=True, echo_update=False)  # an echo would take back what is drawn meanwhile

    def __init__(self, description="Drawing pad", **options):
        super().__init__(description=description, **options)


class FigureView(BrowserWidget):
    """A matplotlib figure as a PNG, ``width`` CSS pixels wide; its words are the figure's label."""

    kind = traitlets.Unicode("figure").tag(sync=True)
    png, width = traitlets.Bytes().tag(sync=True), traitlets.Int(0).tag(sync=True)

    def show(self, figure, width, ratio):
        """Draw ``figure`` at ``width`` CSS pixels of ``ratio`` device pixels each."""
        png = _png(pixels(figure, width, ratio), compress_level=1)
        with self.hold_sync():
            self.description, self.width, self.png = figure.get_label(), width, png


class State(BrowserWidget):
    """What a panel is doing, in words, and what the browser knows of it: width, pixel ratio, on the screen, in use."""

    kind = traitlets.Unicode("state").tag(sync=True)
    state = traitlets.Enum(["idle", "computing", "failed"], "idle").tag(sync=True)
    message, stale = traitlets.Unicode().tag(sync=True), traitlets.Bool(False).tag(sync=True)
    available, ratio = traitlets.Int(0).tag(sync=True), traitlets.Float(1.0).tag(sync=True)
    visible, hand = traitlets.Bool(False).tag(sync=True), traitlets.Bool(False).tag(sync=True)
    key = traitlets.Unicode(help="what its views know each other by").tag(sync=True)

    @traitlets.default("key")
    def _its_own(self):
        return uuid.uuid4().hex

    def say(self, state, message="", stale=None):
        """Show that a panel is in ``state``; ``stale`` greys what it shows."""
        with self.hold_sync():
            self.state, self.message = state, message
            self.stale = self.stale if stale is None else stale


def _png(image, **options):
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = (255 * np.clip(image, 0, 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", **options)
    return file.getvalue()
