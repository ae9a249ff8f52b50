"""Tables of numbers, each on its colour."""

from textwrap import fill

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from .drawing import BLACK, WHITE_TO_BLUE, WORSE_TO_BETTER, is_narrow, new_figure, styled


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


@styled
def matrix(values, rows=None, columns=None, title="", ylabel="true class", xlabel="class"):
    """Draw a table of numbers ``values`` (R, C) from 0 to 1, each on its colour, in per cent."""
    values = np.asarray(values, float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must have shape (R, C), got {values.shape}")
    rows, columns = (
        [*range(size)] if names is None else list(names)
        for names, size in zip((rows, columns), values.shape, strict=True)
    )
    figure, (axes,) = new_figure(1.2 + 0.36 * len(values))

    def write(value):
        return f"{100 * value:.0f}" if value >= 0.005 else ""

    _table(axes, values, write, rows, columns, cmap=WHITE_TO_BLUE, vmin=0, vmax=1)
    axes.set(xlabel=f"{xlabel} (numbers: per cent)", ylabel=ylabel)
    axes.set_title(title, wrap="$" not in title)  # matplotlib measures words between two of them as a formula
    off = np.where(np.eye(*values.shape, dtype=bool), -np.inf, values)
    row, column = np.unravel_index(np.nanargmax(off), off.shape)
    words = f"row {rows[row]}, column {columns[column]}, {100 * values[row, column]:.1f} per cent"
    figure.set_label(f"{title or 'Table of shares'}. Largest off the diagonal: {words}.")
    return figure


@styled
def matrices(tables, rows, columns, ylabel="", xlabel="", framed=(), limits=(0, 1)):
    """Draw tables of numbers of one shape beside each other: ``tables`` is {title: (R, C)}, framed cells (row, column).

    Colours reach from the first to the second of ``limits``.
    """
    narrow = is_narrow()
    figure, every = new_figure(0.75 + 0.34 * len(rows) + (0.35 if narrow else 0.1), len(tables))
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


@styled
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
    figure, (axes,) = new_figure(max(3.4, 1.5 + 0.36 * len(temperatures)))

    def write(value):
        return "" if np.isnan(value) else _number(value, 1, "+")

    names = [[f"{value:g}" for value in values] for values in (temperatures, alphas)]
    colours = {"cmap": WORSE_TO_BETTER, "norm": TwoSlopeNorm(0, -limit, limit), "origin": "lower"}
    _table(axes, points, write, *names, framed, linewidth=3, **colours)
    axes.set(xlabel="alpha, the weight of the teacher", ylabel="temperature T")
    axes.set_title(f"{title}\nDistilled − alone, {label}, percentage points".strip(), wrap="$" not in title)
    figure.set_label(f"{words}.")
    return figure
