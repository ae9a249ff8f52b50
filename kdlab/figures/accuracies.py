"""Students as dots with intervals, and how they came there, epoch by epoch."""

from itertools import cycle

import numpy as np
from matplotlib.collections import LineCollection

from ..evaluation import mean_interval
from .drawing import BLACK, COLOURS, DASHES, GREEN, MARKERS, check_some, cursor_on, fit, kept, new_figure, set_texts


def _dots(figure, axes, count, xlabel="test accuracy, per cent", paired=False):
    """Put ``count`` rows of dots on axes, a dot per student, with their mean and its 95 % interval; return their ``update``."""
    rows = range(count)
    dots = [
        axes.plot([], [], marker, color=colour, markersize=6, alpha=0.75, markeredgecolor="white", clip_on=False)[0]
        for _, colour, marker in zip(rows, cycle(COLOURS), cycle(MARKERS), strict=False)
    ]
    bars = [axes.plot([], [], "-", color=BLACK, linewidth=3, solid_capstyle="butt")[0] for _ in rows]
    means = [axes.plot([], [], "|", color=BLACK, markersize=12, markeredgewidth=2.5)[0] for _ in rows]
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
            bars[row].set_data([low, high], [row + 0.35] * 2)
            means[row].set_data([mean], [row + 0.35])
            if np.isfinite(mean):  # else it is not trained yet
                words.append(f"{name}: mean {mean:.2f}, 95 % interval {low:.2f} to {high:.2f}")
        set_texts(figure, names, series)
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
        fit(axes, figure, low, high, step)
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


@kept
def strip(series, title="", xlabel="test accuracy, per cent", reference=None, unit="percent"):
    """Draw a dot per student, rows one below the other, each with its mean and 95 % interval (Student's t).

    ``series`` is {name: (n,)}, accuracies from 0 to 1 (or in ``unit`` "own"); with two rows of as many students, pairs
    are joined. ``reference`` is (name, value) of a vertical line, the teacher's say.
    """
    check_some(series)
    lengths = [np.size(values) for values in series.values()]
    figure, (axes,) = new_figure(1.0 + 0.68 * len(series))
    show = _dots(figure, axes, len(series), xlabel, paired=len(lengths) == 2 and lengths[0] == lengths[1])
    heading = axes.set_title(title or " ")

    def update(series, title, xlabel, reference, unit):
        words = show(series, reference, unit)
        set_texts(figure, [heading, axes.xaxis.label], [title or " ", xlabel])
        figure.set_label(f"{title or 'Dots, one per student'}. {words}.")

    return figure, update


def _training(height, count, curves, ylabel, paired=False):
    """Return a figure of students after some of their training, ``count`` rows of dots, and of how they got there; its ``update``.

    ``curves`` are (label, colour, dash, line width) of accuracies over the share of the training.
    """
    figure, (left, right) = new_figure(height, 2)
    show, heading = _dots(figure, left, count, paired=paired), left.set_title(" ")
    lines = [right.plot([], [], color=c, linestyle=d, linewidth=w, label=name)[0] for name, c, d, w in curves]
    right.set(xlabel="share of the training, per cent", ylabel=ylabel, xlim=(0, 100))
    right.set_title("During training")
    right.legend(loc="lower right")
    cursor = cursor_on(right)
    figure.moving += [*lines, cursor]

    def update(now, curves, teacher, trained, title=""):
        """Show the accuracies ``now`` {name: (n,)} and ``curves`` (epochs,), from 0 to 1; return the rows in words."""
        for line, accuracy in zip(lines, curves, strict=True):
            line.set_data(100 * np.arange(1, len(accuracy) + 1) / len(accuracy), 100 * accuracy)
        late = np.concatenate([100 * accuracy[len(accuracy) // 8 :] for accuracy in curves])
        if np.isfinite(late).any():
            fit(right, figure, np.nanmin(late), min(np.nanmax(late), 100), 5, "y")
        cursor.set_xdata([np.nan if trained == 1 else 100 * trained] * 2)
        when = "Each dot is a student" if trained == 1 else f"After {trained:.0%} of the training"
        set_texts(figure, [heading], [title or when])
        return show(now, None if teacher is None else ("teacher", teacher))

    return figure, update


@kept
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


@kept
def learning(kinds, title="", teacher=None, trained=1.0):
    """Draw kinds of students side by side: test accuracy of each, and how it came about, epoch by epoch.

    ``kinds`` is {name: (n, epochs)}, accuracies from 0 to 1 with a row per student, NaN where it is not trained yet;
    up to five students have a curve each, more only their mean. ``teacher`` is its test accuracy, for a line;
    ``trained``, up to 1, shows the students after that share of their training.
    """
    style = list(zip(kinds.items(), cycle(COLOURS), cycle(DASHES), strict=False))
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
