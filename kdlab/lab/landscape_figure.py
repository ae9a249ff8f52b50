"""The picture of a sweep: what distillation changes, over temperature and alpha."""

import io
import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

__all__ = ["landscape_figure", "png"]

# Okabe and Ito's vermillion and blue, told apart by every kind of colour vision; worse to better.
COLOURS = LinearSegmentedColormap.from_list("kdlab", ["#d55e00", "#f7f7f7", "#0072b2"])
DARK, LIGHT = "#000000", "#ffffff"


def landscape_figure(temperatures, alphas, differences, chosen=None, title=""):
    """Return a ``matplotlib.figure.Figure``: a cell per temperature and alpha with its number, blue where it is better.

    ``differences`` (T, A) are mean differences in accuracy to the student alone, from −1 to 1; shown in percentage
    points. ``chosen`` is a (temperature, alpha) to frame, or None. Raises ValueError for another shape.
    """
    points = 100 * np.asarray(differences, np.float64)
    if points.shape != (len(temperatures), len(alphas)):
        raise ValueError(f"differences must have shape ({len(temperatures)}, {len(alphas)}), got {points.shape}")
    limit = max(np.abs(points).max(), 0.01)  # All zero is all white.
    size = max(5.0, 2.6 + 0.9 * len(alphas)), max(3.6, 1.9 + 0.6 * len(temperatures))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    cells = axes.imshow(points, cmap=COLOURS, norm=TwoSlopeNorm(0, -limit, limit), origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(points):
        colour = LIGHT if _luminance(cells.to_rgba(value)) < 0.179 else DARK  # where their contrasts are equal
        # A minus sign, and no −0.00.
        text = f"{round(value, 2) + 0:+.2f}".replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    axes.set_yticks(range(len(temperatures)), [f"{temperature:g}" for temperature in temperatures])
    axes.set_xlabel("alpha, the weight of the teacher")
    axes.set_ylabel("temperature T")
    bar = figure.colorbar(cells, ax=axes)
    bar.set_label("distilled − alone: validation accuracy,\npercentage points", fontsize="small")
    if chosen is not None:
        title += "\n(framed: the best of them)"
        row, column = list(temperatures).index(chosen[0]), list(alphas).index(chosen[1])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=DARK, linewidth=3, zorder=3))
    axes.set_title(title.replace("$", r"\$"), fontsize="medium", wrap=True)  # A file's name is no formula.
    return figure


def png(figure):
    """Return a figure as the bytes of a PNG file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # A file's name may hold signs that the font has not.
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()


def _luminance(colour):
    """Return the relative luminance of an (r, g, b, a) colour (WCAG 2, sRGB)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
