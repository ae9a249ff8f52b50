"""The pictures: results in, ``matplotlib.figure.Figure`` out. No widget in here, and no pyplot.

A figure's label (``figure.get_label()``) says in words what it shows. In a panel of the lab, ``keeping`` makes a
function return the figure of the time before with its artists moved, which takes a fraction of the time; what moves
is listed in ``figure.moving``, and all else is drawn once. Colours are Okabe and Ito's, and every difference in
colour is also one of marker, hatch or dash.
"""

import contextlib
import inspect
import io
import threading
import warnings
from collections import Counter
from contextvars import ContextVar
from functools import wraps
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from .evaluation import mean_interval, reliability_diagram
from .export.boards import KIB, kib

__all__ = [
    "bars",
    "curves",
    "diagram",
    "field",
    "images",
    "ink",
    "keeping",
    "landscape",
    "learning",
    "masks",
    "matrices",
    "matrix",
    "memory",
    "overlays",
    "pixels",
    "plane",
    "png",
    "ranges",
    "regions",
    "reliability",
    "roc",
    "rounding",
    "strip",
    "students",
    "ties",
]

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
}  # fmt: skip
HEADING = {"x": 0.01, "ha": "left", "fontsize": 10.5}
_STYLING = threading.Lock()  # rc_context is the process's, and two threads may draw
_KEPT, _NARROW = ContextVar("kept", default=None), ContextVar("narrow", default=False)


# ---- figures that are kept, and drawn


@contextlib.contextmanager
def keeping(store, narrow=False):
    """Within this, draw on the figures kept in the dict ``store``; ``narrow`` puts axes below each other."""
    tokens = _KEPT.set((store, Counter())), _NARROW.set(narrow)
    try:
        yield
    finally:
        _KEPT.reset(tokens[0])
        _NARROW.reset(tokens[1])


def _styled(draw):
    """Let ``draw`` make its artists in our style."""

    @wraps(draw)
    def picture(*results, **options):
        with _STYLING, rc_context(STYLE):
            return draw(*results, **options)

    return picture


def _kept(build):
    """Make of ``build(*results) -> (figure, update)`` a function that returns the figure after ``update(*results)``."""
    signature, build_styled = inspect.signature(build), _styled(build)

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


# ---- parts of pictures


def _figure(height, panels=1, across=None, more=0.0, **options):
    """Return a figure 6.4 inches wide and its axes, ``across`` in each row of ``height`` inches; ``more`` is free height.

    Axes stand side by side or, where it is narrow, below each other, if ``across`` is not given.
    """
    across = across or (1 if _NARROW.get() else panels)
    down = max(1, -(-panels // across))
    figure = Figure(figsize=(6.4, height * down + more))
    FigureCanvasAgg(figure)
    figure.moving, figure.still = [], None
    return figure, list(figure.subplots(down, across, squeeze=False, **options).ravel())


def _limits(axes, figure, low, high, step, which="x"):
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


def _bare(axes):
    """Leave of axes what is drawn on them."""
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _cursor(axes):
    return axes.axvline(np.nan, color=BLACK, linestyle=(0, (2, 2)), linewidth=1)


def _legend(axes):
    return axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1 if _NARROW.get() else 3)


def _set_texts(figure, artists, texts):
    """Give texts that stand still other words; only then they are drawn again."""
    for artist, text in zip(artists, texts, strict=True):
        if artist.get_text() != text:
            artist.set_text(text)
            figure.still = None


def _check_some(series):
    if not series or not all(np.size(values) for values in series.values()):
        raise ValueError(f"series must be {{name: numbers}} with at least one number under each name, got {series!r}")


# ---- numbers


@_kept
def bars(series, classes=None, title="", ylabel="probability"):
    """Draw numbers per class side by side: ``series`` is {name: (C,)}, ``classes`` their names, else 0 to C − 1."""
    _check_some(series)
    count, width = len(next(iter(series.values()))), 0.84 / len(series)
    figure, (axes,) = _figure(2.9)
    groups = [
        axes.bar(np.arange(count) + (k - (len(series) - 1) / 2) * width, 0, width, color=colour, hatch=hatch, label=" ")
        for k, colour, hatch in zip(range(len(series)), (BLACK, ORANGE, BLUE, GREEN, PURPLE), HATCHES, strict=False)
    ]
    axes.set_xticks(range(count), classes if classes is not None else range(count))
    axes.axhline(0, color="#7a8794", linewidth=0.8)
    figure.moving = [bar for group in groups for bar in group]
    texts = [*_legend(axes).get_texts(), axes.yaxis.label, *([figure.suptitle(title, **HEADING)] if title else [])]

    def update(series, classes, title, ylabel):
        for group, values in zip(groups, series.values(), strict=True):
            for bar, value in zip(group, values, strict=True):
                bar.set_height(value)
        every = np.concatenate([np.ravel(values) for values in series.values()])
        inside = every.min() >= 0 and every.max() <= 1
        step = 1.0 if inside else 10.0 ** np.floor(np.log10(np.abs(every).max()))
        _limits(axes, figure, 0 if inside else min(every.min(), 0), 1 if inside else max(every.max(), 0), step, "y")
        _set_texts(figure, texts, [*series, ylabel, *([title] if title else [])])
        names = classes if classes is not None else range(count)
        largest = {name: np.argsort(-np.asarray(values))[:3] for name, values in series.items()}
        parts = [f"{n}: " + ", ".join(f"{names[c]} {series[n][c]:.3g}" for c in top) for n, top in largest.items()]
        figure.set_label(f"Bars of {ylabel} per class; the three largest of each. " + "; ".join(parts) + ".")

    return figure, update


@_kept
def curves(x, series, title="", xlabel="T", ylabel="", log=True, mark=None):
    """Draw lines over ``x``: ``series`` is {name: (len(x),)}; ``mark`` is a place on the x axis.

    ``log`` is True for two logarithmic axes, "x" for the first alone, False for none.
    """
    _check_some(series)
    figure, (axes,) = _figure(3.0)
    style = zip(series.values(), (BLUE, ORANGE, *COLOURS[2:6]), ("-", "--", *DASHES[2:6]), strict=False)
    lines = [axes.plot(x, y, color=colour, linestyle=dash, linewidth=2, label=" ")[0] for y, colour, dash in style]
    cursor = _cursor(axes)
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    if log is True:
        axes.set_yscale("log")
        axes.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_formatter=NullFormatter())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color="#e4e8ec")
    figure.moving = [*lines, cursor]
    texts = [*_legend(axes).get_texts(), axes.xaxis.label, axes.yaxis.label]
    texts += [figure.suptitle(title, **HEADING)] if title else []

    def update(x, series, title, xlabel, ylabel, log, mark):
        for line, y in zip(lines, series.values(), strict=True):
            line.set_data(x, y)
        cursor.set_xdata([np.nan if mark is None else mark] * 2)
        before = axes.get_xlim(), axes.get_ylim()
        axes.relim()
        axes.autoscale_view()
        if before != (axes.get_xlim(), axes.get_ylim()):
            figure.still = None
        _set_texts(figure, texts, [*series, xlabel, ylabel, *([title] if title else [])])
        ends = [f"{name}: from {y[0]:.3g} to {y[-1]:.3g}" for name, y in series.items()]
        figure.set_label(f"{title or ylabel}. Over {xlabel} from {x[0]:.3g} to {x[-1]:.3g}. " + "; ".join(ends) + ".")

    return figure, update


# ---- students


def _dots(figure, axes, count, xlabel="test accuracy, per cent", paired=False):
    """Put ``count`` rows of dots on axes, a dot per student, with their mean and its 95 % interval; return their ``update``."""
    rows = range(count)
    dots = [
        axes.plot([], [], marker, color=colour, markersize=6, alpha=0.75, markeredgecolor="white", clip_on=False)[0]
        for _, colour, marker in zip(rows, COLOURS * 3, MARKERS * 3, strict=False)
    ]
    bars = [axes.plot([], [], "-", color=BLACK, linewidth=3, solid_capstyle="butt")[0] for _ in rows]
    means = [axes.plot([], [], "|", color=BLACK, markersize=17, markeredgewidth=2.5)[0] for _ in rows]
    pairs = axes.add_collection(LineCollection([], colors="#7a8794", linewidths=0.6, alpha=0.6))
    place = {"transform": axes.get_yaxis_transform(), "va": "bottom", "in_layout": False}
    names = [axes.text(0.01, row - 0.3, "", fontsize=9.5, color=BLACK, **place) for row in rows]
    axes.set(yticks=(), ylim=(count - 0.45, -0.75), xlabel=xlabel)
    axes.grid(axis="x", color="#e4e8ec")
    axes.set_axisbelow(True)
    line = axes.axvline(np.nan, color=GREEN, linestyle=":", linewidth=2)
    said = axes.text(0, -0.72, "", color="#00664b", ha="right", va="top", fontsize=9)
    figure.moving += [pairs, line, said, *dots, *bars, *means]

    def update(series, reference=None, unit="percent"):
        """Show ``series`` {name: (n,)}; ``reference`` is (name, value) of a line; return the rows in words."""
        scale = 100 if unit == "percent" else 1
        values = [scale * np.atleast_1d(np.asarray(v, float)) for v in series.values()]
        words = []
        for row, (name, some) in enumerate(zip(series, values, strict=True)):
            # A fixed scatter: a dot keeps its height from one position to the next.
            height = row + 0.05 + 0.2 * np.sin(2.4 * np.arange(len(some)))
            mean, low, high = mean_interval(some) if len(some) > 1 else (some[0],) * 3
            dots[row].set_data(some, height)
            bars[row].set_data([low, high], [row + 0.38] * 2)
            means[row].set_data([mean], [row + 0.38])
            if np.isfinite(mean):  # else it is not trained yet
                words.append(f"{name}: mean {mean:.2f}, 95 % interval {low:.2f} to {high:.2f}")
        _set_texts(figure, names, series)
        if paired:
            pairs.set_segments(np.stack([dot.get_xydata() for dot in dots], axis=1))
        every = np.concatenate([*values, [] if reference is None else [scale * reference[1]]])
        every = every[np.isfinite(every)]
        spread = max(np.ptp(every), 0.01 * scale)
        step = float(
            min(s for s in np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]) * scale if s >= spread / 8 or s == scale)
        )
        low, high = every.min() - step / 4, every.max() + step / 4
        if scale == 100 and every.min() >= 0:
            low, high = max(low, 0), min(high, 100)
        _limits(axes, figure, low, high, step)
        if reference is not None:
            name, at = reference[0], scale * reference[1]
            line.set_xdata([at, at])
            if at > np.mean(axes.get_xlim()):
                said.set(x=at, text=f"{name} {at:.1f} ", ha="right")
            else:
                said.set(x=at, text=f" {name} {at:.1f}", ha="left")
            words.append(f"{name}: {at:.2f}")
        return "; ".join(words)

    return update


@_kept
def strip(series, title="", xlabel="test accuracy, per cent", reference=None, unit="percent"):
    """Draw a dot per student, rows one below the other, each with its mean and 95 % interval (Student's t).

    ``series`` is {name: (n,)}, accuracies from 0 to 1 (or in ``unit`` "own"); with two rows of as many students, pairs
    are joined. ``reference`` is (name, value) of a vertical line, the teacher's say.
    """
    _check_some(series)
    lengths = [np.size(values) for values in series.values()]
    figure, (axes,) = _figure(1.0 + 0.68 * len(series))
    show = _dots(figure, axes, len(series), xlabel, paired=len(lengths) == 2 and lengths[0] == lengths[1])
    heading = axes.set_title(title or " ")

    def update(series, title, xlabel, reference, unit):
        words = show(series, reference, unit)
        _set_texts(figure, [heading, axes.xaxis.label], [title or " ", xlabel])
        figure.set_label(f"{title or 'Dots, one per student'}. {words}.")

    return figure, update


def _training(height, count, curves, ylabel, paired=False):
    """Return a figure of students after some of their training, ``count`` rows of dots, and of how they got there; its ``update``.

    ``curves`` are (label, colour, dash, line width) of accuracies over the share of the training.
    """
    figure, (left, right) = _figure(height, 2)
    show, heading = _dots(figure, left, count, paired=paired), left.set_title(" ")
    lines = [right.plot([], [], color=c, linestyle=d, linewidth=w, label=name)[0] for name, c, d, w in curves]
    right.set(xlabel="share of the training, per cent", ylabel=ylabel, xlim=(0, 100))
    right.set_title("During training")
    right.legend(loc="lower right")
    cursor = _cursor(right)
    figure.moving += [*lines, cursor]

    def update(now, curves, teacher, trained, title=""):
        """Show the accuracies ``now`` {name: (n,)} and ``curves`` (epochs,), from 0 to 1; return the rows in words."""
        for line, accuracy in zip(lines, curves, strict=True):
            line.set_data(100 * np.arange(1, len(accuracy) + 1) / len(accuracy), 100 * accuracy)
        late = np.concatenate([100 * accuracy[len(accuracy) // 8 :] for accuracy in curves])
        if np.isfinite(late).any():
            _limits(right, figure, np.nanmin(late), min(np.nanmax(late), 100), 5, "y")
        cursor.set_xdata([np.nan if trained == 1 else 100 * trained] * 2)
        when = "Each dot is a student" if trained == 1 else f"After {trained:.0%} of the training"
        _set_texts(figure, [heading], [title or when])
        return show(now, None if teacher is None else ("teacher", teacher))

    return figure, update


@_kept
def students(alone, distilled, teacher=None, trained=1.0):
    """Draw paired students of two ``LiveResult``s: test accuracy of each, and how it came about, epoch by epoch.

    ``teacher`` is its test accuracy, for a line; ``trained``, up to 1, shows the students after that share of their
    training: the two may have epochs of different length.
    """
    style = zip(("alone", "distilled"), COLOURS, DASHES, strict=False)
    lines = [[(f"{n}, test", c, dash, 2), (f"{n}, validation", c, ":", 1.2)] for n, c, dash in style]
    figure, show = _training(3.0, 2, [*lines[0], *lines[1]], "mean accuracy, per cent", paired=True)

    def update(alone, distilled, teacher, trained):
        now, means = {}, []
        for name, kind in {"alone": alone, "distilled": distilled}.items():
            test = kind.test_accuracy_per_epoch
            now[name] = test[:, max(round(trained * test.shape[1]), 1) - 1]
            means += [test.mean(axis=0), kind.validation_accuracy.mean(axis=0)]
        words = show(now, means, teacher, trained)
        figure.set_label(f"Test accuracy in per cent of students alone and distilled, joined in pairs. {words}.")

    return figure, update


@_kept
def learning(kinds, title="", teacher=None, trained=1.0):
    """Draw kinds of students side by side: test accuracy of each, and how it came about, epoch by epoch.

    ``kinds`` is {name: (n, epochs)}, accuracies from 0 to 1 with a row per student, NaN where it is not trained yet;
    up to five students have a curve each, more only their mean. ``teacher`` is its test accuracy, for a line;
    ``trained``, up to 1, shows the students after that share of their training.
    """
    style = list(zip(kinds.items(), COLOURS, DASHES, strict=False))
    lines = [(name, colour, dash, 2.2) for (name, _), colour, dash in style]
    lines += [("_", colour, dash, 0.8) for (_, every), colour, dash in style for _ in every if len(every) <= 5]
    figure, show = _training(1.2 + 0.62 * len(kinds), len(kinds), lines, "mean test accuracy, per cent")

    def update(kinds, title, teacher, trained):
        now, means, single = {}, [], []
        for name, accuracy in kinds.items():
            accuracy = np.asarray(accuracy, float)
            seen = accuracy[:, : max(round(trained * accuracy.shape[1]), 1)]
            now[name] = np.array([row[np.isfinite(row)][-1] for row in seen if np.isfinite(row).any()] or [np.nan])
            begun = np.isfinite(accuracy).any(axis=0)
            means.append(np.full(len(begun), np.nan))
            means[-1][begun] = np.nanmean(accuracy[:, begun], axis=0)
            single += [*accuracy] if len(accuracy) <= 5 else []
        words = show(now, [*means, *single], teacher, trained, title)
        figure.set_label(f"{title or 'Test accuracy in per cent, a dot per student'}. {words}.")

    return figure, update


# ---- tables of numbers


def ink(colour):
    """Return black or white, whichever is read better on ``colour``, (3,) of sRGB from 0 to 1 (WCAG 2: equal contrasts)."""
    parts = np.asarray(colour)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return "#000000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#ffffff"


def _number(value, digits, sign=""):
    """Return a number in words, with a minus sign, and no −0.0."""
    return f"{round(value, digits) + 0:{sign}.{digits}f}".replace("-", "−")


def _table(axes, values, write, rows, columns, framed=(), linewidth=2.5, **colours):
    """Draw ``values`` (R, C) as cells, each with ``write(value)`` on its colour; frame cells (row, column)."""
    cells = axes.imshow(values, aspect="auto", **colours)
    for (row, column), value in np.ndenumerate(values):
        place = {"ha": "center", "va": "center", "fontsize": 8.5}
        axes.text(column, row, write(value), color=ink(cells.to_rgba(value)[:3]), **place)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for row, column in framed:
        frame = {"fill": False, "edgecolor": BLACK, "linewidth": linewidth, "zorder": 3}
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))


@_styled
def matrix(values, rows=None, columns=None, title="", ylabel="true class", xlabel="class"):
    """Draw a table of numbers ``values`` (R, C) from 0 to 1, each on its colour, in per cent."""
    values = np.asarray(values, float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must have shape (R, C), got {values.shape}")
    rows, columns = (
        [*range(size)] if names is None else list(names)
        for names, size in zip((rows, columns), values.shape, strict=True)
    )
    figure, (axes,) = _figure(1.2 + 0.36 * len(values))

    def write(value):
        return f"{100 * value:.0f}" if value >= 0.005 else ""

    _table(axes, values, write, rows, columns, cmap=WHITE_TO_BLUE, vmin=0, vmax=1)
    axes.set(xlabel=f"{xlabel} (numbers: per cent)", ylabel=ylabel)
    axes.set_title(title, wrap=True)
    off = np.where(np.eye(*values.shape, dtype=bool), -np.inf, values)
    row, column = np.unravel_index(off.argmax(), off.shape)
    words = f"row {rows[row]}, column {columns[column]}, {100 * values[row, column]:.1f} per cent"
    figure.set_label(f"{title or 'Table of shares'}. Largest off the diagonal: {words}.")
    return figure


@_styled
def matrices(tables, rows, columns, ylabel="", xlabel="", framed=(), limits=(0, 1)):
    """Draw tables of numbers of one shape beside each other: ``tables`` is {title: (R, C)}, framed cells (row, column).

    Colours reach from the first to the second of ``limits``.
    """
    narrow = _NARROW.get()
    figure, every = _figure(0.75 + 0.34 * len(rows) + (0.35 if narrow else 0.1), len(tables))
    for axes, (title, values) in zip(every, tables.items(), strict=True):
        named = rows if narrow or axes is every[0] else [""] * len(rows)
        colours = {"cmap": WHITE_TO_BLUE, "vmin": limits[0], "vmax": limits[1]}
        _table(axes, np.asarray(values, float), lambda v: _number(v, 2), named, columns, framed, **colours)
        axes.set(title=title if narrow else fill(title, 64 // len(tables)))
        axes.set(ylabel=ylabel if narrow or axes is every[0] else "")
        axes.set(xlabel=xlabel if not narrow or axes is every[-1] else "")
    said = []
    for title, values in tables.items():
        some = framed or [(r, c) for r in range(len(rows)) for c in range(len(columns))][:12]
        said.append(f"{title}: " + ", ".join(f"{rows[r]} and {columns[c]} {values[r][c]:.2f}" for r, c in some))
    figure.set_label(f"Tables of numbers, rows {ylabel}, columns {xlabel}. {'; '.join(said)}.")
    return figure


@_styled
def landscape(temperatures, alphas, differences, chosen=None, title="", label="validation accuracy"):
    """Draw a cell per temperature and alpha with its number, blue where distilling is better.

    ``differences`` (T, A) are mean differences in accuracy from the student alone, −1 to 1 (NaN: not trained);
    shown in percentage points. ``chosen`` is a (temperature, alpha) to frame, or None. Raises ValueError for another
    shape.
    """
    points = 100 * np.asarray(differences, np.float64)
    if points.shape != (len(temperatures), len(alphas)):
        raise ValueError(f"differences must have shape ({len(temperatures)}, {len(alphas)}), got {points.shape}")
    limit = np.nanmax(np.abs(points), initial=0.01)  # all zero is all white
    words = (
        f"Distilled minus alone, {label}, in percentage points: {np.nanmin(points):+.2f} to {np.nanmax(points):+.2f}"
    )
    framed = []
    if chosen is not None:
        framed = [(list(temperatures).index(chosen[0]), list(alphas).index(chosen[1]))]
        words += f"; best at T = {chosen[0]:g}, alpha = {chosen[1]:g}: {points[framed[0]]:+.2f}"
        title += "\n(framed: the best of them)"
    figure, (axes,) = _figure(max(3.4, 1.5 + 0.36 * len(temperatures)))

    def write(value):
        return "" if np.isnan(value) else _number(value, 1, "+")

    names = [[f"{value:g}" for value in values] for values in (temperatures, alphas)]
    colours = {"cmap": WORSE_TO_BETTER, "norm": TwoSlopeNorm(0, -limit, limit), "origin": "lower"}
    _table(axes, points, write, *names, framed, linewidth=3, **colours)
    axes.set(xlabel="alpha, the weight of the teacher", ylabel="temperature T")
    axes.set_title(f"{title}\nDistilled − alone, {label}, percentage points".strip().replace("$", r"\$"), wrap=True)
    figure.set_label(f"{words}.")
    return figure


# ---- judging


@_styled
def reliability(kinds, bins=10):
    """Draw reliability diagrams: ``kinds`` is {name: (probabilities (N, C), labels (N,))}; dots on the line are calibrated.

    Guo et al. 2017, section 2. A dot's area is its share of the samples.
    """
    figure, every = _figure(2.7, len(kinds), sharey=True)
    words, style = [], zip(every, kinds.items(), (BLACK, *COLOURS), ("o", *MARKERS), strict=False)
    for axes, (name, (probabilities, labels)), colour, marker in style:
        confidence, right, count = reliability_diagram(probabilities, labels, bins)
        axes.plot([0, 100], [0, 100], color="#7a8794", linewidth=1, linestyle="--")
        size = 12 + 300 * count / count.sum()
        axes.scatter(100 * confidence, 100 * right, s=size, color=colour, marker=marker, alpha=0.8)
        axes.set(xlim=(0, 103), ylim=(0, 103), xlabel="confidence, per cent", title=name)
        error = np.nansum(count * np.abs(right - confidence)) / count.sum()
        words.append(f"{name}: calibration error, pooled, {100 * error:.1f} percentage points")
    every[0].set_ylabel("accuracy, per cent")
    figure.set_label(f"Accuracy against confidence in {bins} bins. " + "; ".join(words) + ".")
    return figure


@_kept
def roc(kinds, points=None, title=""):
    """Draw ROC curves: ``kinds`` is {name: (false positive rates, sensitivities)}, ``points`` {name: one of each} to mark."""
    figure, (axes,) = _figure(4.2)
    style = list(zip(kinds, (BLACK, *COLOURS), ("-", *DASHES), ("P", *MARKERS), strict=False))
    lines = [axes.plot([], [], color=c, linestyle=dash, linewidth=2, label=" ")[0] for _, c, dash, _ in style]
    dots = [axes.plot([], [], m, color=c, markersize=11, markeredgecolor="white")[0] for _, c, _, m in style]
    axes.plot([0, 1], [0, 1], color="#7a8794", linewidth=1, linestyle="--")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 − specificity", ylabel="sensitivity")
    axes.grid(color="#e4e8ec")
    texts = [*axes.legend(loc="lower right").get_texts(), axes.set_title(" ")]
    figure.moving = [*lines, *dots]

    def update(kinds, points, title):
        words = []
        for line, dot, (name, (x, y)) in zip(lines, dots, kinds.items(), strict=True):
            line.set_data(x, y)
            at = (points or {}).get(name)
            dot.set_data(*([[], []] if at is None else [[at[0]], [at[1]]]))
            marked = "" if at is None else f", marked at sensitivity {at[1]:.3f}, specificity {1 - at[0]:.3f}"
            words.append(f"{name}{marked}")
        _set_texts(figure, texts, [*kinds, title or " "])
        figure.set_label(f"{title or 'ROC curves'}: sensitivity against 1 − specificity. {'; '.join(words)}.")

    return figure, update


@_styled
def regions(x, y, maps):
    """Draw what networks answer in the unit square: ``maps`` is {title: P(class 1) on a grid (S, S), row 0 at the bottom}.

    ``x`` (N, 2) and ``y`` (N,) of 0 and 1 are the points that a student saw.
    """
    figure, every = _figure(2.6, len(maps))
    for axes, (title, answers) in zip(every, maps.items(), strict=True):
        axes.imshow(answers, cmap=WORSE_TO_BETTER, vmin=0, vmax=1, origin="lower", extent=(0, 1, 0, 1), alpha=0.75)
        side = np.linspace(0, 1, len(answers))
        axes.contour(side, side, answers, [0.5], colors=BLACK, linewidths=1)
        for c, (colour, marker) in enumerate(((VERMILLION, "o"), (BLUE, "s"))):
            axes.plot(*x[y == c].T, marker, color=colour, markeredgecolor="white", markersize=6)
        axes.set(xticks=(), yticks=(), title=title)
    words = "; ".join(map(str, maps))
    figure.set_label(f"Decision regions in the plane with the points that the students saw: {words}.")
    return figure


@_styled
def plane(points, labels):
    """Draw samples in a plane, each as the digit of its class: ``points`` is {title: (N, 2)}, on the same axes."""
    every = np.concatenate([np.asarray(values) for values in points.values()])
    (left, bottom), (right, top) = every.min(axis=0), every.max(axis=0)
    across = 2 if _NARROW.get() else len(points)
    figure, grid = _figure(2.1, len(points), across, sharex=True, sharey=True)
    for axes, (title, values) in zip(grid, points.items(), strict=False):
        for c in np.unique(labels):
            colour = (BLACK, BLUE, VERMILLION, "#00664b", PURPLE)[c % 5]
            axes.plot(*np.asarray(values)[labels == c].T, linestyle="", marker=f"${c}$", color=colour, markersize=5.5)
        axes.set(xticks=(), yticks=(), title=fill(title, 64 // across))
        axes.spines[:].set_visible(True)
    for axes in grid[len(points) :]:
        axes.axis("off")
    pad = 0.05 * np.array([right - left, top - bottom])
    grid[0].set(xlim=(left - pad[0], right + pad[0]), ylim=(bottom - pad[1], top + pad[1]))
    figure.set_label(f"{len(labels)} samples in one plane, each drawn as its class: " + "; ".join(points) + ".")
    return figure


# ---- images


@_styled
def images(pictures, titles, title=""):
    """Draw small pictures (N, H, W) or (N, H, W, 3), each with its title below, five to ten in a row."""
    across = 5 if _NARROW.get() else 10
    # A row is filled up, so that a picture has one size.
    figure, grid = _figure(1.15, max(len(pictures), 1), across, more=0.3)
    for axes in grid:
        _bare(axes)
    for axes, picture, below in zip(grid, pictures, titles, strict=False):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axes.set_xlabel(below, fontsize=8.5)
    if title:
        figure.suptitle(title, **HEADING)
    figure.set_label(f"{title or 'Pictures'}: " + "; ".join(str(t).replace("\n", " ") for t in titles) + ".")
    return figure


@_styled
def field(image, bands, title=""):
    """Draw a field of view (H, W, 3), uint8, with its ``bands``, (first row, end, what for), named on the picture."""
    tall, wide = image.shape[:2]
    figure, (axes,) = _figure(5.2)
    axes.imshow(image[:: max(tall // 750, 1), :: max(wide // 750, 1)], extent=(0, wide, tall, 0))
    for top, end, name in bands:
        box = {"facecolor": {"train": BLUE, "validation": "#8a5a00"}.get(name, BLACK), "edgecolor": "white"}
        axes.axhline(end, color="white", linewidth=3)
        axes.axhline(end, color=BLACK, linewidth=1, linestyle="--")
        axes.text(0.02 * wide, (top + end) / 2, name, va="center", fontsize=10, color="white", bbox=box)
    _bare(axes)
    axes.set_title(title)
    words = "; ".join(f"rows {top} to {end}: {name}" for top, end, name in bands)
    figure.set_label(f"{title or 'A field of view'}, {wide} by {tall} pixels, in bands. {words}.")
    return figure


@_styled
def overlays(pictures, maps, titles, title=""):
    """Draw pictures (N, H, W, 3) with ``maps`` (N, H, W) of 0 to 1 over them, None for the picture alone, each titled below.

    Colour and two contour lines, at a third and at two thirds, say where a map is large.
    """
    across = min(len(titles), 2 if _NARROW.get() else 4)
    figure, grid = _figure(2.4, len(titles), across, more=0.3)
    figure.suptitle(title, **HEADING)
    for axes in grid:
        _bare(axes)
    words = []
    for axes, picture, over, below in zip(grid, pictures, maps, titles, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_xlabel(below, fontsize=9)
        words.append(str(below).replace("\n", " "))
        if over is not None and np.any(over):
            axes.imshow(over, cmap="cividis", vmin=0, vmax=1, alpha=0.45)
            axes.contour(over, [1 / 3, 2 / 3], colors=["white", BLACK], linewidths=1.2)
            row, column = np.unravel_index(np.argmax(over), np.shape(over))
            words[-1] += f", strongest at row {row}, column {column}"
    figure.set_label(f"{title or 'Pictures with maps'}: {'; '.join(words)}.")
    return figure


@_styled
def masks(image, maps, names, title=""):
    """Draw a picture (H, W, 3) and beside it ``maps``, {title: (h, w)} of whole numbers, 0 for nothing and k for names[k − 1]."""
    narrow, panels = _NARROW.get(), {"picture": None, **maps}
    figure, grid = _figure(2.1 if narrow else 1.75, len(panels), min(len(panels), 2 if narrow else 5), more=0.7)
    figure.suptitle(title, **HEADING)
    paint = np.array([[248, 249, 251], [0, 114, 178], [230, 159, 0], [61, 61, 61], [179, 89, 154]], np.uint8)
    kinds = list(zip(range(1, len(names) + 1), names, ("-", "--", ":"), strict=False))
    for axes in grid:
        _bare(axes)
    for axes, (below, classes) in zip(grid, panels.items(), strict=False):
        axes.imshow(image if classes is None else paint[classes])
        axes.set_xlabel(below, fontsize=9)
        for k, _, dash in kinds if classes is not None else ():
            if np.any(classes == k):
                axes.contour(classes == k, [0.5], colors=BLACK, linewidths=0.8, linestyles=[dash])
    shown = [
        Rectangle((0, 0), 1, 1, facecolor=paint[k] / 255, edgecolor=BLACK, linestyle=dash, label=name)
        for k, name, dash in kinds
    ]
    figure.legend(handles=shown, loc="outside lower left", ncols=2 if narrow else 3)
    shares = [
        f"{below}: " + ", ".join(f"{name} {np.mean(classes == k):.1%}" for k, name in enumerate(names, 1))
        for below, classes in maps.items()
    ]
    figure.set_label(f"{title or 'Masks'}, shares of the pixels. {'; '.join(shares)}.")
    return figure


# ---- diagrams


@_styled
def diagram():
    """Draw how distillation works: the teacher answers once, the student is trained on two losses."""
    down = _NARROW.get()  # from top to bottom instead of from left to right
    boxes = {
        "x": (0, 50, "image x", "#f5f7f9"),
        "t": (1, 78, "teacher\n(large, fixed)", "#fbe9c4"),
        "s": (1, 22, "student\n(small, trained)", "#cfe5f2"),
        "qt": (2, 84, "softened answer\nqₜ = softmax(zₜ / T)", "#ffffff"),
        "qs": (2, 50, "softened answer\nqₛ = softmax(zₛ / T)", "#ffffff"),
        "ps": (2, 16, "answer\npₛ = softmax(zₛ)", "#ffffff"),
        "soft": (3, 67, "soft loss\nα · T² · CE(qₜ, qₛ)", "#e3f3ec"),
        "hard": (3, 16, "hard loss with label y\n(1 − α) · CE(y, pₛ)", "#e3f3ec"),
    }
    arrows = ("x t", "x s", "t qt", "s qs", "s ps", "qt soft", "qs soft", "ps hard")
    figure, (axes,) = _figure(4.4 if down else 2.6)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.axis("off")
    for name, (step, across, words, colour) in boxes.items():
        middle = (100 - across, 92 - 28 * step) if down else (10 + 26.5 * step, across)
        boxes[name] = axes.text(
            *middle, words.replace(" = ", " =\n") if down else words, ha="center", va="center", fontsize=8 if down else 8.8,
            bbox={"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "#54606d"}, in_layout=False,
        )  # fmt: skip
    for start, end in map(str.split, arrows):
        axes.annotate(
            "", boxes[end].get_position(), boxes[start].get_position(), zorder=0,
            arrowprops={"arrowstyle": "-|>", "color": "#54606d", "shrinkA": 26 if down else 46, "shrinkB": 26 if down else 52},
            in_layout=False,
        )  # fmt: skip
    figure.set_label(
        "Diagram: an image goes to the teacher and to the student. The teacher's logits, softened at T, and the student's, "
        "softened at T, meet in the soft loss, weighted by alpha T squared; the student's ordinary answer and the label "
        "in the hard loss, weighted by one minus alpha."
    )
    return figure


@_styled
def ties(pairs, widths=(16, 16), teacher=(256, 256), inputs=64, classes=10, answers=True):
    """Draw teacher above and student below, layer by layer, with a line for every two layers that are compared.

    ``pairs`` are (teacher's layer, student's layer), by the names "hidden_1", "hidden_2", … of dense layers of these
    many units; ``answers`` says whether the softened answers are compared, too.
    """
    figure, (axes,) = _figure(2.5)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.axis("off")
    places = {}
    for name, units, height, colour in (("teacher", teacher, 76, "#fbe9c4"), ("student", widths, 24, "#cfe5f2")):
        layers = ["pixels", *(f"hidden_{k}" for k in range(1, len(units) + 1)), "logits"]
        for k, (layer, count) in enumerate(zip(layers, (inputs, *units, classes), strict=True)):
            places[name, layer] = 11 + 78 * k / (len(layers) - 1), height
            tied = layer in {pair[name == "student"] for pair in pairs}
            axes.text(
                *places[name, layer], f"{layer.replace('_', ' ')}\n{count}", ha="center", va="center", fontsize=9,
                bbox={"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": BLUE if tied else "#54606d",
                      "linewidth": 2.5 if tied else 1},
            )  # fmt: skip
            if k:
                start, end = places[name, layers[k - 1]], places[name, layer]
                axes.plot([start[0], end[0]], [height] * 2, color="#54606d", linewidth=1.2, zorder=0)
        axes.text(0, height + (20 if name == "teacher" else -20), name, ha="left", va="center", fontsize=9.5)
    for theirs, ours in pairs:
        ends = places["teacher", theirs], places["student", ours]
        axes.plot(*zip(*ends, strict=True), color=BLUE, linewidth=3.5, zorder=0)
    if answers:
        ends = places["teacher", "logits"], places["student", "logits"]
        axes.plot(*zip(*ends, strict=True), color=ORANGE, linewidth=3, linestyle="--", zorder=0)
    words = [f"the teacher's {t} with the student's {s}".replace("_", " ") for t, s in pairs]
    words += ["the softened answers (dashed)"] if answers else []
    figure.set_label(f"Compared are {'; '.join(words) or 'neither layers nor softened answers'}.")
    return figure


# ---- quantisation


@_styled
def rounding(weights, rounded, bits, title=""):
    """Draw the numbers ``weights`` (n,) above and what ``bits`` leave of them, ``rounded`` (n,), below, each with its line.

    Upright lines are the levels that there are, where they are fewer than 64: the largest weight fixes them.
    """
    weights, rounded = np.asarray(weights, float), np.asarray(rounded, float)
    most, steps = max(np.abs(weights).max(), 1e-9), 2 ** (bits - 1) - 1
    figure, (axes,) = _figure(2.1)
    if steps < 32:
        axes.vlines(np.arange(-steps, steps + 1) / steps * most, -0.2, 1.2, color="#d5dae0", linewidth=1)
    between = [[(w, 1), (r, 0)] for w, r in zip(weights, rounded, strict=True)]
    axes.add_collection(LineCollection(between, colors="#7a8794", linewidths=0.6))
    axes.plot(weights, np.ones_like(weights), "o", color=BLUE, alpha=0.7, markersize=6, markeredgecolor="white")
    axes.plot(rounded, np.zeros_like(rounded), "s", color=ORANGE, markersize=6, markeredgecolor="white")
    axes.set_yticks([1, 0], ["float32", f"{bits} bits"])
    axes.set(ylim=(-0.35, 1.35), xlabel="weight")
    axes.set_title(title or f"{len(weights)} weights, {2 * steps + 1} levels")
    error = np.sqrt(((weights - rounded) ** 2).sum() / max((weights**2).sum(), 1e-12))
    figure.set_label(
        f"{title or 'Weights'}: {len(weights)} weights from {weights.min():.3g} to {weights.max():.3g} and what {bits} bits, "
        f"{2 * steps + 1} levels, leave of them: {len(np.unique(rounded))} different values, rounding errors of "
        f"{100 * error:.2g} per cent of the weights' own size."
    )
    return figure


@_styled
def ranges(values, low, high, title="", xlabel="value"):
    """Draw how often numbers ``values`` (any shape) occur, and the range ``low`` to ``high`` that int8 can hold of them."""
    values = np.ravel(values)
    outside = np.mean((values < low) | (values > high))
    figure, (axes,) = _figure(2.6)
    figure.suptitle(title, **HEADING)
    _, edges, bars = axes.hist(values, 60, (min(values.min(), low), max(values.max(), high)), color=BLUE)
    for edge, bar in zip(edges, bars, strict=False):
        if edge + bar.get_width() < low or edge > high:
            bar.set(facecolor=VERMILLION, hatch="xx")
    axes.axvspan(low, high, color=GREEN, alpha=0.12, zorder=0)
    place = {"transform": axes.get_xaxis_transform(), "va": "bottom", "color": "#00664b", "fontsize": 9}
    for end, side, where in ((low, "right", "−128"), (high, "left", "127")):
        axes.axvline(end, color=GREEN, linewidth=2)
        axes.text(end, 1.0, f" {where} ", ha=side, **place)
    axes.set(yscale="log", xlabel=xlabel, ylabel="count")
    figure.set_label(
        f"{title or 'Values'}: from {values.min():.3g} to {values.max():.3g}; int8 holds {low:.3g} to {high:.3g}, "
        f"{100 * outside:.2g} per cent of the values lie outside and are clipped."
    )
    return figure


@_styled
def memory(boards, models, titles=("Flash, and the files", "RAM in one piece, and the arenas")):
    """Draw bars of what boards have and a line across them for what each model needs, flash and RAM, on logarithmic axes.

    ``boards`` is {name: (flash, ram)} and ``models`` {name: (file, arena)}, all in bytes; an arena may be None, not known.
    Where a line lies within a bar there is room.
    """
    low = 0.6 * min(need for needs in models.values() for need in needs if need) / KIB
    high = 2 * max(size for sizes in (*boards.values(), *models.values()) for size in sizes if size) / KIB
    rows = np.arange(len(boards))
    figure, every = _figure(1.0 + 0.5 * len(boards), 2)
    for place, (axes, title) in enumerate(zip(every, titles, strict=True)):
        for row, (name, sizes) in enumerate(boards.items()):
            axes.barh(row + 0.2, sizes[place] / KIB - low, 0.38, left=low, color="#cfd8e0")
            axes.text(low * 1.1, row - 0.05, name, va="bottom", fontsize=9)
        for (name, needs), colour, dash in zip(models.items(), COLOURS, DASHES, strict=False):
            size = np.full(len(rows), np.nan if needs[place] is None else needs[place] / KIB)
            style = {"color": colour, "linestyle": dash, "linewidth": 3, "label": name if place == 0 else None}
            axes.vlines(size, rows - 0.02, rows + 0.42, **style)
        axes.set(xscale="log", xlim=(low, high), ylim=(len(boards) - 0.45, -0.6), yticks=(), xlabel="KiB", title=title)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower left", ncols=1 if _NARROW.get() else 3, handlelength=3)
    words = [f"{n}: file {kib(f)}" + (f", arena {kib(a)}" if a is not None else "") for n, (f, a) in models.items()]
    have = [f"{n}: flash {kib(f)}, RAM {kib(r)}" for n, (f, r) in boards.items()]
    figure.set_label(f"What models need against what boards have. {'; '.join(words)}. Boards: {'; '.join(have)}.")
    return figure
