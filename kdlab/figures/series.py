"""Numbers by class and lines over a range: bars, curves, ROC curves and reliability diagrams."""

from itertools import cycle

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from ..evaluation import reliability_diagram
from .drawing import (
    BLACK,
    COLOURS,
    DASHES,
    HATCHES,
    HEADING,
    MARKERS,
    check_some,
    cursor_on,
    fit,
    kept,
    legend_above,
    new_figure,
    set_texts,
    styled,
)


@kept
def bars(series, classes=None, title="", ylabel="probability"):
    """Draw numbers per class side by side: ``series`` is {name: (C,)}, ``classes`` their names, else 0 to C − 1."""
    check_some(series)
    count, width = len(next(iter(series.values()))), 0.84 / len(series)
    figure, (axes,) = new_figure(2.9)
    groups = [
        axes.bar(np.arange(count) + (k - (len(series) - 1) / 2) * width, 0, width, color=colour, hatch=hatch, label=" ")
        for k, colour, hatch in zip(range(len(series)), cycle((BLACK, *COLOURS[:4])), cycle(HATCHES), strict=False)
    ]
    axes.set_xticks(range(count), classes if classes is not None else range(count))
    axes.axhline(0, color="#7a8794", linewidth=0.8)
    figure.moving = [bar for group in groups for bar in group]
    texts = [*legend_above(axes).get_texts(), axes.yaxis.label, *([figure.suptitle(title, **HEADING)] if title else [])]

    def update(series, classes, title, ylabel):
        for group, values in zip(groups, series.values(), strict=True):
            for bar, value in zip(group, values, strict=True):
                bar.set_height(value)
        every = np.concatenate([np.ravel(values) for values in series.values()])
        inside = every.min() >= 0 and every.max() <= 1
        step = 1.0 if inside else 10.0 ** np.floor(np.log10(np.abs(every).max()))
        fit(axes, figure, 0 if inside else min(every.min(), 0), 1 if inside else max(every.max(), 0), step, "y")
        set_texts(figure, texts, [*series, ylabel, *([title] if title else [])])
        names = classes if classes is not None else range(count)
        largest = {name: np.argsort(-np.asarray(values))[:3] for name, values in series.items()}
        parts = [f"{n}: " + ", ".join(f"{names[c]} {series[n][c]:.3g}" for c in top) for n, top in largest.items()]
        figure.set_label(f"Bars of {ylabel} per class; the three largest of each. " + "; ".join(parts) + ".")

    return figure, update


@kept
def curves(x, series, title="", xlabel="T", ylabel="", log=True, mark=None):
    """Draw lines over ``x``: ``series`` is {name: (len(x),)}; ``mark`` is a place on the x axis.

    ``log`` is True for two logarithmic axes, "x" for the first alone, False for none.
    """
    check_some(series)
    figure, (axes,) = new_figure(3.0)
    colours, dashes = cycle((COLOURS[1], COLOURS[0], *COLOURS[2:6])), cycle(("-", "--", *DASHES[2:]))
    style = zip(series.values(), colours, dashes, strict=False)
    lines = [axes.plot(x, y, color=colour, linestyle=dash, linewidth=2, label=" ")[0] for y, colour, dash in style]
    cursor = cursor_on(axes)
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    if log is True:
        axes.set_yscale("log")
        axes.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_formatter=NullFormatter())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color="#e4e8ec")
    figure.moving = [*lines, cursor]
    texts = [*legend_above(axes).get_texts(), axes.xaxis.label, axes.yaxis.label]
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
        set_texts(figure, texts, [*series, xlabel, ylabel, *([title] if title else [])])
        ends = [f"{name}: from {y[0]:.3g} to {y[-1]:.3g}" for name, y in series.items()]
        figure.set_label(f"{title or ylabel}. Over {xlabel} from {x[0]:.3g} to {x[-1]:.3g}. " + "; ".join(ends) + ".")

    return figure, update


@styled
def reliability(kinds, bins=10):
    """Draw reliability diagrams: ``kinds`` is {name: (probabilities (N, C), labels (N,))}; dots on the line are calibrated.

    Guo et al. 2017, section 2. A dot's area is its share of the samples.
    """
    figure, every = new_figure(2.7, len(kinds), sharey=True)
    words, style = [], zip(every, kinds.items(), cycle((BLACK, *COLOURS)), cycle(("o", *MARKERS)), strict=False)
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


@kept
def roc(kinds, points=None, title=""):
    """Draw ROC curves: ``kinds`` is {name: (false positive rates, sensitivities)}, ``points`` {name: one of each} to mark."""
    figure, (axes,) = new_figure(4.2)
    style = list(zip(kinds, cycle((BLACK, *COLOURS)), cycle(("-", *DASHES)), cycle(("P", *MARKERS)), strict=False))
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
        set_texts(figure, texts, [*kinds, title or " "])
        figure.set_label(f"{title or 'ROC curves'}: sensitivity against 1 − specificity. {'; '.join(words)}.")

    return figure, update
