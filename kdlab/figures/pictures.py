"""Images, maps over them, and samples in a plane."""

from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Rectangle

from .drawing import BLACK, BLUE, HEADING, PURPLE, VERMILLION, WORSE_TO_BETTER, bare, is_narrow, new_figure, styled


@styled
def images(pictures, titles, title=""):
    """Draw small pictures (N, H, W) or (N, H, W, 3), each with its title below, five to ten in a row, fewer for long titles."""
    across, wide = 5 if is_narrow() else 10, 10  # in letters of a title
    if any(len(word) > wide for title in titles for word in str(title).split()):
        across, wide = across // 2 + 1, 18
    wrapped = ["\n".join(fill(line, wide, break_long_words=False) for line in str(t).split("\n")) for t in titles]
    lines = max((below.count("\n") for below in wrapped), default=0)
    # A row is filled up, so that a picture has one size.
    figure, grid = new_figure(1.15 + 0.14 * lines, max(len(pictures), 1), across, more=0.3)
    for axes in grid:
        bare(axes)
    for axes, picture, below in zip(grid, pictures, wrapped, strict=False):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axes.set_xlabel(below, fontsize=8.5)
    if title:
        figure.suptitle(title, **HEADING)
    figure.set_label(f"{title or 'Pictures'}: " + "; ".join(str(t).replace("\n", " ") for t in titles) + ".")
    return figure


@styled
def field(image, bands, title=""):
    """Draw a field of view (H, W, 3), uint8, with its ``bands``, (first row, end, what for), named on the picture."""
    tall, wide = image.shape[:2]
    figure, (axes,) = new_figure(3.7 if is_narrow() else 5.2)
    axes.imshow(image[:: max(tall // 750, 1), :: max(wide // 750, 1)], extent=(0, wide, tall, 0))
    for top, end, name in bands:
        box = {"facecolor": {"train": BLUE, "validation": "#8a5a00"}.get(name, BLACK), "edgecolor": "white"}
        axes.axhline(end, color="white", linewidth=3)
        axes.axhline(end, color=BLACK, linewidth=1, linestyle="--")
        axes.text(0.02 * wide, (top + end) / 2, name, va="center", fontsize=10, color="white", bbox=box)
    bare(axes)
    axes.set_title(title)
    words = "; ".join(f"rows {top} to {end}: {name}" for top, end, name in bands)
    figure.set_label(f"{title or 'A field of view'}, {wide} by {tall} pixels, in bands. {words}.")
    return figure


@styled
def overlays(pictures, maps, titles, title=""):
    """Draw pictures (N, H, W, 3) with ``maps`` (N, H, W) of 0 to 1 over them, None for the picture alone, each titled below.

    Colour and two contour lines, at a third and at two thirds, say where a map is large.
    """
    across = min(len(titles), 2 if is_narrow() else 4)
    figure, grid = new_figure(2.4, len(titles), across, more=0.3)
    figure.suptitle(title, **HEADING)
    for axes in grid:
        bare(axes)
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


@styled
def masks(image, maps, names, title=""):
    """Draw a picture (H, W, 3) and beside it ``maps``, {title: (h, w)} of whole numbers, 0 for nothing and k for names[k − 1]."""
    narrow, panels = is_narrow(), {"picture": None, **maps}
    figure, grid = new_figure(2.1 if narrow else 1.75, len(panels), min(len(panels), 2 if narrow else 5), more=0.7)
    figure.suptitle(title, **HEADING)
    paint = np.array([[248, 249, 251], [0, 114, 178], [230, 159, 0], [61, 61, 61], [179, 89, 154]], np.uint8)
    kinds = list(zip(range(1, len(names) + 1), names, ("-", "--", ":"), strict=False))
    for axes in grid:
        bare(axes)
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


@styled
def regions(x, y, maps):
    """Draw what networks answer in the unit square: ``maps`` is {title: P(class 1) on a grid (S, S), row 0 at the bottom}.

    ``x`` (N, 2) and ``y`` (N,) of 0 and 1 are the points that a student saw.
    """
    figure, every = new_figure(2.6, len(maps))
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


@styled
def plane(points, labels):
    """Draw samples in a plane, each as the digit of its class: ``points`` is {title: (N, 2)}, on the same axes."""
    every = np.concatenate([np.asarray(values) for values in points.values()])
    (left, bottom), (right, top) = every.min(axis=0), every.max(axis=0)
    across = 2 if is_narrow() else len(points)
    figure, grid = new_figure(2.1, len(points), across, sharex=True, sharey=True)
    with rc_context({"text.parse_math": True}):  # by which matplotlib draws a text as a marker
        markers = {c: MarkerStyle(f"${c}$") for c in np.unique(labels)}
    for axes, (title, values) in zip(grid, points.items(), strict=False):
        for c, marker in markers.items():
            colour = (BLACK, BLUE, VERMILLION, "#00664b", PURPLE)[c % 5]
            axes.plot(*np.asarray(values)[labels == c].T, linestyle="", marker=marker, color=colour, markersize=5.5)
        axes.set(xticks=(), yticks=(), title=fill(title, 64 // across))
        axes.spines[:].set_visible(True)
    for axes in grid[len(points) :]:
        axes.axis("off")
    pad = 0.05 * np.array([right - left, top - bottom])
    grid[0].set(xlim=(left - pad[0], right + pad[0]), ylim=(bottom - pad[1], top + pad[1]))
    figure.set_label(f"{len(labels)} samples in one plane, each drawn as its class: " + "; ".join(points) + ".")
    return figure
