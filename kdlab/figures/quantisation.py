"""Weights and activations in few bits, and the memory of boards."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import LogLocator, NullFormatter

from ..export.boards import KIB, kib
from .drawing import BLUE, COLOURS, DASHES, GREEN, HEADING, ORANGE, VERMILLION, is_narrow, new_figure, styled


@styled
def rounding(weights, rounded, bits, title=""):
    """Draw the numbers ``weights`` (n,) above and what ``bits`` leave of them, ``rounded`` (n,), below, each with its line.

    Upright lines are the levels that there are, where they are fewer than 64: the largest weight fixes them.
    """
    weights, rounded = np.asarray(weights, float), np.asarray(rounded, float)
    most, steps = max(np.abs(weights).max(), 1e-9), 2 ** (bits - 1) - 1
    figure, (axes,) = new_figure(2.1)
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


@styled
def ranges(values, low, high, title="", xlabel="value"):
    """Draw how often numbers ``values`` (any shape) occur, and the range ``low`` to ``high`` that int8 can hold of them."""
    values = np.ravel(values)
    outside = np.mean((values < low) | (values > high))
    figure, (axes,) = new_figure(2.6)
    figure.suptitle(title, **HEADING)
    both = min(values.min(), low), max(values.max(), high)
    _, edges, bars = axes.hist(values, 60, range=both, color=BLUE)
    for edge, bar in zip(edges, bars, strict=False):
        if edge + bar.get_width() < low or edge > high:
            bar.set(facecolor=VERMILLION, hatch="xx")
    axes.axvspan(low, high, color=GREEN, alpha=0.12, zorder=0)
    place = {"transform": axes.get_xaxis_transform(), "va": "bottom", "color": "#00664b", "fontsize": 9}
    for end, side, where in ((low, "right", "−128"), (high, "left", "127")):
        axes.axvline(end, color=GREEN, linewidth=2)
        axes.text(end, 1.0, f" {where} ", ha=side, **place)
    axes.set(yscale="log", xlabel=xlabel, ylabel="count")
    axes.yaxis.set(major_locator=LogLocator(subs=(1, 3)), minor_formatter=NullFormatter())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")  # exponents would be too small to read
    figure.set_label(
        f"{title or 'Values'}: from {values.min():.3g} to {values.max():.3g}; int8 holds {low:.3g} to {high:.3g}, "
        f"{100 * outside:.2g} per cent of the values lie outside and are clipped."
    )
    return figure


@styled
def memory(boards, models, titles=("Flash, and the files", "RAM in one piece, and the arenas")):
    """Draw bars of what boards have and a line across them for what each model needs, flash and RAM, on logarithmic axes.

    ``boards`` is {name: (flash, ram)} and ``models`` {name: (file, arena)}, all in bytes; an arena may be None, not known.
    Where a line lies within a bar there is room.
    """
    low = 0.6 * min(need for needs in models.values() for need in needs if need) / KIB
    high = 2 * max(size for sizes in (*boards.values(), *models.values()) for size in sizes if size) / KIB
    rows = np.arange(len(boards))
    figure, every = new_figure(1.0 + 0.5 * len(boards), 2)
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
    figure.legend(loc="outside lower left", ncols=1 if is_narrow() else 2, handlelength=3)
    words = [f"{n}: file {kib(f)}" + (f", arena {kib(a)}" if a is not None else "") for n, (f, a) in models.items()]
    have = [f"{n}: flash {kib(f)}, RAM {kib(r)}" for n, (f, r) in boards.items()]
    figure.set_label(f"What models need against what boards have. {'; '.join(words)}. Boards: {'; '.join(have)}.")
    return figure
