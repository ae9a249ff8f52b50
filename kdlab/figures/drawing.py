"""How every picture is made: its style, figures that are kept with their artists moved, and pixels."""

import contextlib
import inspect
import io
import threading
import warnings
from collections import Counter
from contextvars import ContextVar
from functools import wraps

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Okabe and Ito's, but for two: a darker purple, in which digits are drawn (4.4 : 1 on white; theirs, #cc79a7, has 3.1 : 1),
# and a grey for black (11 : 1), which leaves pure black to what is written on cells of colour.
BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, BLACK = (
    "#0072b2", "#e69f00", "#009e73", "#b3599a", "#d55e00", "#56b4e9", "#3b3b3b",
)  # fmt: skip
COLOURS = (ORANGE, BLUE, GREEN, PURPLE, VERMILLION, SKY, BLACK)
MARKERS, HATCHES, DASHES = (
    "osD^vPX",
    ("", "//", "..", "xx", "\\\\", "++", "oo"),
    ("--", "-", "-.", ":", (0, (5, 1)), (0, (1, 1)), "-"),
)
WORSE_TO_BETTER = LinearSegmentedColormap.from_list("kdlab", [VERMILLION, "#f7f7f7", BLUE])
WHITE_TO_BLUE = LinearSegmentedColormap.from_list("kdlab-blue", ["#f7f9fb", BLUE])
STYLE = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "legend.fontsize": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#7a8794",
    "axes.titlelocation": "left", "legend.frameon": False, "hatch.linewidth": 0.6, "hatch.color": "#ffffff",
    "text.parse_math": False,  # a class may be called "US$"
}  # fmt: skip
HEADING = {"x": 0.01, "ha": "left", "fontsize": 10.5, "wrap": True}
_STYLING = threading.Lock()  # rc_context is the process's, and two threads may draw
_KEPT, _NARROW = ContextVar("kept", default=None), ContextVar("narrow", default=False)


@contextlib.contextmanager
def keeping(store, narrow=False):
    """Within this, draw on the figures kept in the dict ``store``; ``narrow`` puts axes below each other."""
    tokens = _KEPT.set((store, Counter())), _NARROW.set(narrow)
    try:
        yield
    finally:
        _KEPT.reset(tokens[0])
        _NARROW.reset(tokens[1])


def is_narrow():
    """Whether the column is too narrow for two axes beside each other."""
    return _NARROW.get()


def styled(draw):
    """Let ``draw`` make its artists in our style."""

    @wraps(draw)
    def picture(*results, **options):
        with _STYLING, rc_context(STYLE):
            return draw(*results, **options)

    return picture


def kept(build):
    """Make of ``build(*results) -> (figure, update)`` a function that returns the figure after ``update(*results)``."""
    signature, build_styled = inspect.signature(build), styled(build)

    @wraps(build)
    def picture(*results, **options):
        kept, given = _KEPT.get(), signature.bind(*results, **options)
        given.apply_defaults()
        key = (build, *(_layout(name, value) for name, value in given.arguments.items()))
        if kept:
            store, calls = kept
            calls[key] += 1
            key = (*key, calls[key])  # the same picture twice in one panel is two figures
        made = store.get(key) if kept else None
        if made is None:
            made = build_styled(*given.args)
            if kept:
                store[key] = made
        figure, update = made
        update(*given.args)
        return figure

    return picture


def _layout(name, value):
    """Return what of the argument ``name`` decides how a picture is laid out; all else moves artists of it."""
    if name in ("title", "xlabel", "ylabel"):
        return bool(value)
    if name == "classes":
        return None if value is None else tuple(map(str, value))
    if isinstance(value, dict):
        return tuple(np.size(one) for one in value.values())
    return value if value is None or isinstance(value, (str, bool)) else "given"


def pixels(figure, width=640, ratio=1.0):
    """Draw ``figure`` at ``width`` CSS pixels of ``ratio`` device pixels; return its pixels, uint8 (H, W, 3).

    It is laid out once for a size, which takes longer than drawing. Where ``figure.moving`` lists artists, what
    stands behind them is drawn once, until ``figure.still`` is None again.
    """
    dpi, size = 100 * ratio, (width / 100, figure.get_size_inches()[1])
    moving = getattr(figure, "moving", ())
    if figure.dpi != dpi or not np.allclose(figure.get_size_inches(), size):
        figure.set_dpi(dpi)
        figure.set_size_inches(*size)
        figure.still = None
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    if getattr(figure, "laid_out", None) != (dpi, size):
        figure.set_layout_engine("constrained")
        for artist in moving:  # within the axes, wherever it moves
            artist.set_in_layout(False)
        if figure.axes:  # it warns of a figure without
            figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        figure.laid_out = (dpi, size)
    if moving and getattr(figure, "still", None):
        canvas.restore_region(figure.still)
    else:
        for artist in moving:
            artist.set_animated(True)
        canvas.draw()
        figure.still = canvas.copy_from_bbox(figure.bbox)
    for artist in moving:
        figure.draw_artist(artist)
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(figure, width=900, ratio=1.5):
    """Return a figure drawn at ``width`` CSS pixels as the bytes of a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a file's name may hold signs that the font has not
        Image.fromarray(pixels(figure, width, ratio)).save(file, "png", optimize=True)
    return file.getvalue()


def new_figure(height, panels=1, across=None, more=0.0, **options):
    """Return a figure 6.4 inches wide and its axes, ``across`` in each row of ``height`` inches; ``more`` is free height.

    Axes stand side by side or, where it is narrow, below each other, if ``across`` is not given.
    """
    across = across or (1 if is_narrow() else panels)
    down = max(1, -(-panels // across))
    # A script's savefig lays it out as it draws; ``pixels`` does so once.
    figure = Figure(figsize=(6.4, height * down + more), layout="constrained")
    FigureCanvasAgg(figure)
    figure.moving, figure.still = [], None
    return figure, list(figure.subplots(down, across, squeeze=False, **options).ravel())


def fit(axes, figure, low, high, step, which="x"):
    """Let an axis reach from ``low`` to ``high`` in whole ``step``s; what stands still is drawn again if that moves it.

    It stays while all fits on it and fills a quarter of it: then values can be compared from one position of
    a slider to the next, and less is drawn.
    """
    wanted = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    if wanted[0] == wanted[1]:
        wanted = wanted[0] - step, wanted[1] + step
    now = getattr(axes, f"get_{which}lim")() if which in axes.__dict__.setdefault("fitted", set()) else None
    if now and now[0] <= wanted[0] and wanted[1] <= now[1] and wanted[1] - wanted[0] >= (now[1] - now[0]) / 4:
        return
    axes.fitted.add(which)
    getattr(axes, f"set_{which}lim")(*wanted)
    figure.still = None


def bare(axes):
    """Leave of axes what is drawn on them; a picture stands upon the words below it, which have the room they are given."""
    axes.set(xticks=(), yticks=(), anchor="S")
    axes.spines[:].set_visible(False)


def cursor_on(axes):
    """Return an upright dashed line, at first nowhere."""
    return axes.axvline(np.nan, color=BLACK, linestyle=(0, (2, 2)), linewidth=1)


def legend_above(axes):
    """Put the legend above axes."""
    return axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1 if is_narrow() else 3)


def set_texts(figure, artists, texts):
    """Give texts that stand still other words; only then they are drawn again."""
    for artist, text in zip(artists, texts, strict=True):
        if artist.get_text() != text:
            artist.set_text(text)
            figure.still = None


def check_some(series):
    """Raise ValueError for ``series`` that is not {name: numbers}."""
    if not series or not all(np.size(values) for values in series.values()):
        raise ValueError(f"series must be {{name: numbers}} with at least one number under each name, got {series!r}")
