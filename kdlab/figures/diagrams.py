"""What is explained by boxes and lines: distillation, and the layers that are compared."""

from .drawing import BLUE, ORANGE, is_narrow, new_figure, styled


@styled
def diagram():
    """Draw how distillation works: the teacher answers once, the student is trained on two losses."""
    down = is_narrow()  # from top to bottom instead of from left to right
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
    figure, (axes,) = new_figure(4.4 if down else 2.6)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.axis("off")
    for name, (step, across, words, colour) in boxes.items():
        middle = (100 - across, 92 - 28 * step) if down else (10 + 26.5 * step, across)
        words = words.replace(" = ", " =\n").replace(" with", "\nwith") if down else words
        boxes[name] = axes.text(
            *middle, words, ha="center", va="center", fontsize=8 if down else 8.8,
            bbox={"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "#54606d"}, in_layout=False,
        )  # fmt: skip
    for start, end in map(str.split, arrows):
        from_box, to_box = boxes[start], boxes[end]
        axes.annotate(
            "", to_box.get_position(), from_box.get_position(), in_layout=False,
            zorder=4,  # drawn after the boxes: only then their borders are known
            arrowprops={"arrowstyle": "-|>", "color": "#54606d", "shrinkA": 3, "shrinkB": 3,
                        "patchA": from_box.get_bbox_patch(), "patchB": to_box.get_bbox_patch()},
        )  # fmt: skip
    figure.set_label(
        "Diagram: an image goes to the teacher and to the student. The teacher's logits, softened at T, and the student's, "
        "softened at T, meet in the soft loss, weighted by alpha T squared; the student's ordinary answer and the label "
        "in the hard loss, weighted by one minus alpha."
    )
    return figure


@styled
def ties(pairs, widths=(16, 16), teacher=(256, 256), inputs=64, classes=10, answers=True):
    """Draw teacher above and student below, layer by layer, with a line for every two layers that are compared.

    ``pairs`` are (teacher's layer, student's layer), by the names "hidden_1", "hidden_2", … of dense layers of these
    many units; ``answers`` says whether the softened answers are compared, too.
    """
    figure, (axes,) = new_figure(2.5)
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
