"""The pictures: values read back from the artists, what is said in words, both widths, and figures that are kept."""

import io
import itertools
import re
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.markers import MarkerStyle
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from kdlab import figures
from kdlab.evaluation import expected_calibration_error
from kdlab.export import BOARDS
from kdlab.figures import keeping, pixels
from kdlab.softening import softmax

# What a column comes to on a screen of 1280, and of 390 pixels; "saved" is what a script has of savefig.
WIDTHS = {"wide": (900, False), "column": (640, False), "narrow": (348, True), "saved": (640, False)}


def student(seed, epochs=6, seeds=5, level=0.8):
    """What a picture needs of a LiveResult."""
    random = np.random.default_rng(seed)
    test = level + np.cumsum(random.uniform(0, 0.02, (seeds, epochs)), axis=1)
    return SimpleNamespace(
        test_accuracy_per_epoch=test,
        test_accuracy=test[:, -1],
        validation_accuracy=test - random.uniform(0, 0.03, test.shape),
    )


def probabilities(seed, samples=200, classes=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    return softmax(random.normal(0, 1, (samples, classes)) + 2 * np.eye(classes)[labels]), labels


def disc(radius, side=24):
    at = (np.arange(side) + 0.5) / side
    return 1 / (1 + np.exp(20 * (np.hypot(at[None] - 0.5, at[:, None] - 0.5) - radius)))


X, Y = np.random.default_rng(0).uniform(0, 1, (20, 2)), np.arange(20) % 2
DIFFERENCES = np.array([[0.0123, -0.02], [0.0, 0.004], [-0.00001, np.nan]])
KINDS = {
    name: np.linspace(0.1 * k, 0.9, 18).reshape(3, 6)
    for k, name in enumerate(("alone", "answers only", "and features"))
}
TABLES = {
    name: np.eye(3) * k / 3 for k, name in enumerate(("untrained", "alone", "answers only", "answers and features"))
}
ROWS, POINTS = ["hidden 1", "hidden 2", "logits"], np.random.default_rng(1).normal(size=(30, 2))
TISSUE = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
WEIGHTS = np.random.default_rng(2).normal(0, 0.3, 64)
HAVE = {board.name: (board.flash, board.ram) for board in BOARDS}
NEED = {"student, float32": (25_000, 40_000), "student, int8": (12_000, 10_000), "teacher, int8": (400_000, 300_000)}
NEED |= {"EfficientNetB0, a byte a weight": (4_052_133, None), "tutorial's student, a byte a weight": (295_690, None)}
CLASSES = np.repeat(np.arange(4, dtype=np.uint8), 8)[:, None].repeat(32, axis=1)
ONCE = {
    "bars": lambda: figures.bars({"hard label": [0, 1, 0], "T = 1": [0.1, 0.7, 0.2]}, title="A digit"),
    "strip": lambda: figures.strip({"alone": [0.8, 0.82, 0.79], "distilled": [0.85, 0.88, 0.9]}, reference=("teacher", 0.95)),
    "students": lambda: figures.students(student(0), student(1, level=0.85), teacher=0.97),
    "curves": lambda: figures.curves([1, 2, 4, 8], {"a": [1, 2, 3, 4], "b": [4, 3, 2, 1]}, title="Two", ylabel="nats", mark=4),
    "matrix": lambda: figures.matrix(softmax(np.eye(10) * 3), title="The classes as the teacher sees them, T = 1.41"),
    "landscape": lambda: figures.landscape([1, 4, 20], [0.1, 0.9], DIFFERENCES, chosen=(1, 0.1)),
    "reliability": lambda: figures.reliability({"teacher": probabilities(0), "student": probabilities(1)}),
    "regions": lambda: figures.regions(X, Y, {"teacher": disc(0.3), "student": disc(0.4)}),
    "images, long titles": lambda: figures.images(
        np.zeros((7, 8, 8)), ["nucleus", *["answers and features: inflammatory"] * 6], "Attention maps"
    ),
    "images": lambda: figures.images(np.zeros((7, 8, 8)), [f"{k} %" for k in range(7)], "Seven"),
    "diagram": figures.diagram,
    "learning": lambda: figures.learning(KINDS, teacher=0.97, trained=0.5),
    "ties": lambda: figures.ties([("hidden_1", "hidden_2"), ("hidden_2", "hidden_2")]),
    "matrices": lambda: figures.matrices(TABLES, ROWS, ["1", "2", "logits"], "teacher’s layer", "student’s layer", [(1, 0)]),
    "plane": lambda: figures.plane({name: POINTS + k for k, name in enumerate(TABLES)}, np.arange(30) % 10),
    "field": lambda: figures.field(TISSUE, [(0, 20, "train"), (20, 60, "test")], "Tissue"),
    "roc": lambda: figures.roc({"teacher, AUC 0.9": ([0, 0.2, 1], [0, 0.8, 1])}, {"teacher, AUC 0.9": (0.2, 0.8)}, "One class"),
    "overlays": lambda: figures.overlays([TISSUE] * 3, [None, disc(0.3), disc(0.2)], ["nucleus:\nb", "teacher:\na 92%\nfor a", "b"]),
    "masks": lambda: figures.masks(TISSUE, {"labels": CLASSES, "teacher": CLASSES.T}, ["inflammatory", "connective", "other"]),
    "rounding": lambda: figures.rounding(WEIGHTS, 0.1 * np.rint(10 * WEIGHTS), 8),
    "ranges": lambda: figures.ranges(8 * POINTS, -9, 12, "Logits of the test digits, and the range measured", "logit"),
    "memory": lambda: figures.memory(HAVE, NEED),
}  # fmt: skip


def drawn(make, size):
    width, narrow = WIDTHS[size]
    with keeping({}, narrow):
        figure = make()
    if size != "saved":
        return figure, pixels(figure, width)
    file = io.BytesIO()
    figure.savefig(file)
    return figure, np.asarray(Image.open(file))[..., :3]


@cache
def once(name, size):
    return drawn(ONCE[name], size)


def texts(figure):
    """The texts that are drawn: not the labels of ticks beyond an axis's ends."""
    beyond = set()
    for axes in figure.axes:
        for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            labels = axis.get_ticklabels(which="both")
            beyond |= {
                t for t in labels if not (axes.axison and low - slack <= t.get_position()[place] <= high + slack)
            }
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]


# All pictures are saved in the same way, and wide ones are laid out as columns are.
SOME = {
    "saved": ("bars", "students", "matrix"),
    "wide": ("students", "images, long titles", "diagram", "matrices", "memory"),
}
SIZES = [(name, size) for name in ONCE for size in WIDTHS if name in SOME.get(size, ONCE)]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_every_text_can_be_read_and_none_is_cut_off(name, size):
    figure, picture = once(name, size)
    assert picture.shape[1] == WIDTHS[size][0]
    assert picture.dtype == np.uint8
    assert picture.std() > 5
    shown = texts(figure)
    assert {t.get_text(): t.get_fontsize() for t in shown if t.get_fontsize() * 100 / 72 < 11} == {}
    assert [t.get_text() for t in shown if re.search(r"\$.*[_^].*\$", t.get_text())] == []  # of two thirds the size
    boxes = {t.get_text(): t.get_window_extent() for t in shown}
    page = figure.bbox.padded(1)
    cut = [name for name, box in boxes.items() if not (page.contains(*box.min) and page.contains(*box.max))]
    assert cut == []


# ---- kept figures: what was drawn before leaves no trace

A, B = (
    {"alone": [0.8, 0.82, 0.79], "distilled": [0.85, 0.88, 0.9]},
    {"hard": [0.2, 0.3, 0.31], "T = 8": [0.93, 0.9, 0.2]},
)
LONGER = [student(seed, epochs=9, level=0.5) for seed in (4, 5)]
FROM_TO = {
    "bars": (figures.bars, [({"a": [0.1, 0.9]},), {}], [({"b": [0.7, 0.2]},), {}]),
    "bars beyond 1": (figures.bars, [({"a": [0.1, 0.9]},), {}], [({"b": [-30.0, 12.0]},), {"ylabel": "logit"}]),
    "bars within 1": (figures.bars, [({"a": [400.0, 1.0]},), {"title": "A"}], [({"a": [0.5, 0.5]},), {"title": "B"}]),
    "bars, other classes": (
        figures.bars, [({"a": [0.1, 0.9]}, ["cat", "dog"]), {}], [({"a": [0.1, 0.9]}, ["left", "right"]), {}],
    ),
    "bars, a title more": (figures.bars, [({"a": [0.1, 0.9]},), {}], [({"a": [0.1, 0.9]},), {"title": "Title"}]),
    "strip": (figures.strip, [(A,), {}], [(B,), {"title": "Another", "xlabel": "read as a 3, per cent"}]),
    "strip with a line": (
        figures.strip, [(A,), {"reference": ("teacher", 0.95)}], [(B,), {"reference": ("mean", 0.05)}],
    ),
    "strip, its own unit": (
        figures.strip, [({"a": [1.0, 2.0], "b": [3.0], "c": [0.5, 0.6]},), {"unit": "own"}],
        [({"a": [11.0, 2.0], "b": [-3.0], "c": [0.5, 0.6]},), {"unit": "own"}],
    ),
    "strip, another unit": (figures.strip, [(A,), {"unit": "own"}], [(A,), {}]),
    "strip with no line": (figures.strip, [(A,), {"reference": ("teacher", 0.95)}], [(A,), {}]),
    "students": (
        figures.students, [(student(0), student(1)), {"teacher": 0.97}],
        [(student(2, level=0.3), student(3, level=0.6)), {"teacher": 0.7, "trained": 0.4}],
    ),
    "students, longer": (figures.students, [(student(0), student(1)), {}], [tuple(LONGER), {}]),
    "students, more": (figures.students, [(student(0), student(1)), {}], [(student(0, seeds=8), student(1, seeds=8)), {}]),
    "curves": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3], "b": [4, 3, 2]}), {"mark": 1}],
        [([1, 2, 4], {"c": [1, 20, 3], "d": [0.1, 3, 2]}), {"mark": 4}],
    ),
    "learning": (
        figures.learning, [(KINDS,), {"teacher": 0.97}],
        [({name: values[:, ::-1] for name, values in KINDS.items()},), {"teacher": 0.7, "trained": 0.4}],
    ),
    "learning, only begun": (
        figures.learning, [(KINDS,), {}],
        [({name: np.where(np.arange(6) < 2 - k, v, np.nan) for k, (name, v) in enumerate(KINDS.items())},), {}],
    ),
    "curves, mark from beyond": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3]}), {"mark": 0.125, "log": "x"}],
        [([1, 2, 4], {"a": [1, 2, 3]}), {"mark": 2, "log": "x"}],
    ),
    "curves, no mark": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3]}), {"mark": 16}], [([1, 2, 4], {"a": [1, 2, 3]}), {}],
    ),
    "curves, other axes": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3]}), {"log": "x"}], [([1, 2, 4], {"a": [1, 2, 3]}), {"log": False}],
    ),
    "curves, other words": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3]}), {"title": "A", "ylabel": "nats"}],
        [([1, 2, 4], {"a": [1, 2, 3]}), {"title": "B", "xlabel": "epoch", "ylabel": "bits"}],
    ),
    "curves, another x": (
        figures.curves, [([1, 2, 4], {"a": [1, 2, 3]}), {"log": False}], [([10, 20, 40], {"a": [1, 2, 3]}), {"log": False}],
    ),
}  # fmt: skip


# Nothing is kept where these change: what is drawn is another figure.
ANEW = ("bars, other classes", "bars, a title more", "strip, another unit", "strip with no line", "curves, no mark")
ANEW += ("curves, other axes",)


@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, "column") for name in FROM_TO if name not in ANEW), ("students", "narrow"), ("bars", "narrow")],
)
def test_a_kept_figure_equals_a_new_one_pixel_for_pixel(name, size):
    picture, before, after = FROM_TO[name]
    width, narrow = WIDTHS[size]
    new, expected = drawn(lambda: picture(*after[0], **after[1]), size)
    store = {}
    with keeping(store, narrow):
        kept = picture(*before[0], **before[1])
    pixels(kept, width)
    kept.laid_out = kept.still = None  # it is laid out for what it showed first
    for axes in kept.axes:  # and has the limits that all it showed needs
        vars(axes).pop("fitted", None)
    with keeping(store, narrow):
        kept = picture(*after[0], **after[1])
    assert kept.get_label() == new.get_label()
    wrong = (pixels(kept, width) != expected).any(axis=-1)
    # A letter may fall on the next pixel: laying it out again moves it by a rounding error.
    assert wrong.mean() < 2e-4, f"{wrong.sum()} pixels, rows {np.flatnonzero(wrong.any(axis=1))[[0, -1]]}"


def test_an_axis_stays_while_all_fits_and_fills_a_quarter_of_it():
    store = {}

    def limits(*accuracies):
        with keeping(store):
            figure = figures.strip({"a": accuracies})
        return figure.axes[0].get_xlim(), figure.still is not None

    def redraw():
        pixels(next(iter(store.values()))[0], 640)

    wide, _ = limits(0.5, 0.9)
    redraw()
    assert limits(0.55, 0.85) == (wide, True)
    assert limits(0.6, 0.75) == (wide, True)
    closer, still = limits(0.7, 0.72)
    assert wide[0] < closer[0] <= 70 < 72 <= closer[1] < wide[1]
    assert not still
    redraw()
    beyond, still = limits(0.7, 0.95)
    assert beyond[0] <= 70 < 95 <= beyond[1]
    assert not still


@pytest.mark.parametrize("name", ["bars", "bars beyond 1", "strip", "strip with a line", "students", "curves"])
def test_what_moves_is_moved_and_not_drawn_anew(name):
    picture, before, after = FROM_TO[name]
    store, made = {}, []
    for (results, _), options in ((before, after[1]), (after, after[1])):
        with keeping(store):
            made.append(picture(*results, **options))
    assert made[0] is made[1]
    assert made[0].moving


@pytest.mark.parametrize("name", ANEW)
def test_another_layout_is_another_figure(name):
    picture, *states = FROM_TO[name]
    store, made = {}, []
    for results, options in states:
        with keeping(store):
            made.append(picture(*results, **options))
    assert made[0] is not made[1]


@pytest.mark.parametrize("name", ["bars", "strip", "students", "curves"])
def test_without_keeping_every_call_is_a_new_figure(name):
    picture, before, after = FROM_TO[name]
    assert picture(*before[0], **before[1]) is not picture(*after[0], **after[1])


def test_the_same_picture_twice_in_one_panel_is_two_figures():
    store = {}

    def panel(*heights):
        with keeping(store):
            return [figures.bars({"a": [height, 0.5]}) for height in heights]

    first = panel(0.1, 0.9)
    assert first[0] is not first[1]
    second = panel(0.2, 0.8)
    assert second == first
    assert [f.axes[0].patches[0].get_height() for f in second] == [0.2, 0.8]
    assert panel(0.3) == first[:1]


def test_positions_and_names_of_arguments_are_the_same_picture():
    store, made = {}, []
    for arguments, options in ((({"a": [0.1, 0.9]}, None, "T"), {}), (({"a": [0.2, 0.8]},), {"title": "T"})):
        with keeping(store):
            made.append(figures.bars(*arguments, **options))
    assert made[0] is made[1]


def test_pixels_of_another_size_and_back_are_the_same():
    figure = figures.bars({"a": [0.1, 0.9]})
    first = pixels(figure, 640)
    assert pixels(figure, 358, 2).shape[1] == 716
    assert np.array_equal(pixels(figure, 640), first)


def test_a_reader_s_own_figure_is_drawn_as_it_is():
    figure = matplotlib.figure.Figure(figsize=(5, 2))
    figure.subplots().plot([0, 1], [0, 1])
    assert pixels(figure, 640).shape == (200, 640, 3)
    assert pixels(figure, 640, 1.5).shape == (300, 960, 3)


def test_drawing_leaves_the_settings_of_the_process_alone():
    before = dict(matplotlib.rcParams)
    pixels(figures.bars({"a": [0.1, 0.9]}))
    pixels(figures.matrix(np.eye(3)))
    assert dict(matplotlib.rcParams) == before


def test_tick_labels_of_one_picture_have_one_size():
    for name in ONCE:
        figure, _ = once(name, "column")
        sizes = {
            t.get_fontsize() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels()
        }
        assert len(sizes) <= 1, name


# ---- values, from the artists


def test_bars_are_as_high_as_the_values():
    series = {"hard": [0, 1, 0, 0], "T = 2": softmax([1.0, 3.0, 0.5, 2.0], 2.0)}
    (axes,) = figures.bars(series, ["cat", "dog", "cow", "owl"], "One", "share").axes
    for group, values in zip(axes.containers, series.values(), strict=True):
        assert [bar.get_height() for bar in group] == pytest.approx(list(values))
        assert [round(bar.get_x() + bar.get_width() / 2) for bar in group] == [0, 1, 2, 3]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for group in axes.containers for bar in group)
    assert all(right <= left + 1e-9 for (_, right), (left, _) in pairwise(edges))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog", "cow", "owl"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["hard", "T = 2"]
    assert axes.get_ylim() == (0, 1)
    assert len({(group[0].get_facecolor(), group[0].get_hatch()) for group in axes.containers}) == 2
    order = np.argsort(-series["T = 2"])[:3]
    said = ", ".join(f"{['cat', 'dog', 'cow', 'owl'][k]} {series['T = 2'][k]:.3g}" for k in order)
    assert f"T = 2: {said}." in axes.figure.get_label()


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.0, 0.0], (0, 1)),
        ([3.0, 7.5], (0, 8)),
        ([-2.0, 40.0], (-10, 40)),
        ([-0.5, -0.2], (-0.5, 0)),
        ([1e4, 1], (0, 1e4)),
    ],
)
def test_bars_fit_between_the_ends_of_their_axis(values, limits):
    assert figures.bars({"a": values}).axes[0].get_ylim() == pytest.approx(limits)


@pytest.mark.parametrize("count", [2, 5, 10])
def test_strip_has_every_student_their_mean_and_its_interval(count):
    random = np.random.default_rng(count)
    series = {"alone": random.uniform(0.7, 0.8, count), "distilled": random.uniform(0.75, 0.85, count)}
    figure = figures.strip(series, title="Students", reference=("teacher", 0.9))
    (axes,) = figure.axes
    dots = [line for line in axes.lines if len(line.get_xdata()) == count and line.get_linestyle() == "None"]
    for dot, values in zip(dots[:2], series.values(), strict=True):
        assert np.allclose(dot.get_xdata(), 100 * values)
    assert dots[0].get_marker() != dots[1].get_marker()
    intervals = [stats.t.interval(0.95, count - 1, 100 * v.mean(), stats.sem(100 * v)) for v in series.values()]
    drawn_at = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 3]
    assert np.allclose(drawn_at, intervals)
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    assert np.allclose(means, [100 * v.mean() for v in series.values()])
    pairs = np.array(axes.collections[0].get_segments())
    assert np.allclose(pairs[:, :, 0], 100 * np.stack(list(series.values()), axis=1))
    numbers = [float(n) for n in re.findall(r"\d+\.\d\d", figure.get_label())]
    expected = [n for v, ends in zip(series.values(), intervals, strict=True) for n in (100 * v.mean(), *ends)]
    assert numbers == pytest.approx([*expected, 90], abs=0.006)
    low, high = axes.get_xlim()
    assert low <= 100 * min(v.min() for v in series.values())
    assert 90 <= high <= 100


def test_rows_that_are_no_pairs_are_not_joined():
    for series in ({"a": [0.1, 0.2], "b": [0.3]}, {"a": [0.1, 0.2], "b": [0.3, 0.4], "c": [0.5, 0.6]}):
        (pairs,) = figures.strip(series).axes[0].collections
        assert pairs.get_segments() == []
    one = figures.strip({"the only one": [0.25]})
    assert "the only one: mean 25.00, 95 % interval 25.00 to 25.00." in one.get_label()


def test_strip_in_its_own_unit_is_not_in_per_cent():
    figure = figures.strip({"size": [120.0, 240.0]}, xlabel="kB", unit="own")
    assert np.allclose(figure.axes[0].lines[0].get_xdata(), [120, 240])
    assert figure.axes[0].get_xlabel() == "kB"
    assert "mean 180.00" in figure.get_label()


@pytest.mark.parametrize(("trained", "epochs"), [(1.0, (6, 12)), (0.01, (1, 1)), (0.5, (3, 6)), (0.75, (4, 9))])
def test_students_are_those_of_that_share_of_the_training_and_curves_are_means(trained, epochs):
    alone, distilled = student(0), student(1, epochs=12, level=0.7)
    figure = figures.students(alone, distilled, teacher=0.97, trained=trained)
    left, right = figure.axes
    for line, kind, epoch in zip(left.lines[:2], (alone, distilled), epochs, strict=True):
        assert np.allclose(line.get_xdata(), 100 * kind.test_accuracy_per_epoch[:, epoch - 1])
    curves = {line.get_label(): line for line in right.lines if ", " in str(line.get_label())}
    assert list(curves) == ["alone, test", "alone, validation", "distilled, test", "distilled, validation"]
    for (name, kind), epoch in zip((("alone", alone), ("distilled", distilled)), epochs, strict=True):
        assert np.allclose(curves[f"{name}, test"].get_ydata(), 100 * kind.test_accuracy_per_epoch.mean(axis=0))
        assert np.allclose(curves[f"{name}, validation"].get_ydata(), 100 * kind.validation_accuracy.mean(axis=0))
        count = kind.validation_accuracy.shape[1]
        assert np.allclose(curves[f"{name}, test"].get_xdata(), np.linspace(100 / count, 100, count))
        mean = 100 * kind.test_accuracy_per_epoch[:, epoch - 1].mean()
        assert f"{name}: mean {mean:.2f}" in figure.get_label()
    assert "teacher: 97.00" in figure.get_label()
    cursor = right.lines[-1].get_xdata()[0]
    assert np.isnan(cursor) if trained == 1 else cursor == 100 * trained
    title = "Each dot is a student" if trained == 1 else f"After {100 * trained:.0f}% of the training"
    assert left.get_title(loc="left") == title


def test_students_without_validation_have_no_such_curve():
    kinds = [student(0), student(1)]
    for kind in kinds:
        kind.validation_accuracy = np.full_like(kind.validation_accuracy, np.nan)
    assert pixels(figures.students(*kinds)).std() > 5


@pytest.mark.parametrize(
    ("log", "scales"), [(True, ("log", "log")), ("x", ("log", "linear")), (False, ("linear",) * 2)]
)
def test_curves_are_the_series(log, scales):
    x, series = np.geomspace(0.5, 64, 15), {"soft": np.geomspace(3, 0.1, 15), "hard": np.full(15, 0.3)}
    figure = figures.curves(x, series, "Gradients", "T", "norm", log, mark=3.0)
    (axes,) = figure.axes
    for line, values in zip(axes.lines, series.values(), strict=False):
        assert np.allclose(line.get_xydata(), np.stack([x, values], axis=1))
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()
    assert list(axes.lines[2].get_xdata()) == [3, 3]
    assert (axes.get_xscale(), axes.get_yscale()) == scales
    assert figure.get_label() == "Gradients. Over T from 0.5 to 64. soft: from 3 to 0.1; hard: from 0.3 to 0.3."
    low, high = axes.get_ylim()
    assert low <= 0.1 < 3 <= high


@pytest.mark.parametrize(("trained", "epoch"), [(1.0, 5), (0.5, 2), (0.01, 0)])
def test_learning_has_every_student_at_that_share_and_the_means(trained, epoch):
    figure = figures.learning(KINDS, teacher=0.97, trained=trained)
    left, right = figure.axes
    for k, accuracy in enumerate(KINDS.values()):
        assert np.allclose(np.sort(left.lines[k].get_xdata()), np.sort(100 * accuracy[:, epoch]))
        share, mean = right.lines[k].get_data()
        assert np.allclose(mean, 100 * accuracy.mean(axis=0))
        assert share[-1] == 100
        for thin, student_ in zip(right.lines[3 + 3 * k : 6 + 3 * k], accuracy, strict=True):
            assert np.allclose(thin.get_ydata(), 100 * student_)
    assert f"alone: mean {100 * KINDS['alone'][:, epoch].mean():.2f}" in figure.get_label()


def test_learning_says_nothing_of_students_that_have_not_begun():
    begun = np.where(np.arange(6) < [[6], [2], [0]], 0.5 + np.arange(6) / 100, np.nan)
    figure = figures.learning({"alone": begun, "taught": np.full((3, 6), np.nan)})
    left, right = figure.axes
    assert np.allclose(left.lines[0].get_xdata(), [55, 51])  # the latest of each that has begun
    assert np.allclose(right.lines[0].get_ydata(), 100 * (0.5 + np.arange(6) / 100))
    assert "alone: mean 53.00" in figure.get_label()
    assert "taught" not in figure.get_label()


@pytest.mark.parametrize(
    ("pairs", "answers", "words"),
    [
        ([("hidden_1", "hidden_2")], False, "the teacher's hidden 1 with the student's hidden 2."),
        (
            [("hidden_2", "hidden_2")],
            True,
            "the teacher's hidden 2 with the student's hidden 2; the softened answers (dashed).",
        ),
        ([], True, "the softened answers (dashed)."),
        ([], False, "neither layers nor softened answers."),
    ],
)
def test_ties_join_what_is_compared(pairs, answers, words):
    figure = figures.ties(pairs, (16, 16), answers=answers)
    (axes,) = figure.axes
    steep = [line for line in axes.lines if line.get_ydata()[0] != line.get_ydata()[1]]
    assert len(steep) == len(pairs) + answers
    assert figure.get_label() == f"Compared are {words}"


def test_matrices_have_their_numbers_and_say_what_is_framed():
    tables = {"first": np.array([[0.126, -0.001], [1, 0]]), "second": np.array([[-0.5, 0.25], [0.75, 0.5]])}
    figure = figures.matrices(tables, ["a", "b"], ["c", "d"], "teacher", "student", [(1, 0)], (-1, 1))
    for axes, values in zip(figure.axes, tables.values(), strict=True):
        found = [float(t.get_text().replace("−", "-")) for t in axes.texts]
        assert found == pytest.approx(np.round(values, 2).ravel().tolist())
        assert axes.patches[0].get_xy() == (-0.5, 0.5)
    assert "−0.00" not in [t.get_text() for t in figure.axes[0].texts]
    assert figure.get_label() == (
        "Tables of numbers, rows teacher, columns student. first: b and c 1.00; second: b and c 0.75."
    )


def test_planes_have_all_samples_on_the_same_axes():
    labels = np.arange(30) % 10
    figure = figures.plane({"teacher": POINTS, "student": 3 * POINTS}, labels)
    first, second = figure.axes
    for axes, points in ((first, POINTS), (second, 3 * POINTS)):
        found = np.concatenate([line.get_xydata() for line in axes.lines])
        assert np.allclose(np.sort(found, axis=0), np.sort(points, axis=0))
        for line, c in zip(axes.lines, range(10), strict=True):
            digit = MarkerStyle(f"${c}$").get_path()  # as a formula, and not with its dollar signs
            np.testing.assert_array_equal(line._marker.get_path().codes, digit.codes)
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[1] >= 3 * POINTS[:, 0].max()


def contrast(first, second):
    def luminance(colour):
        c = np.array(matplotlib.colors.to_rgb(colour))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    one, other = sorted((luminance(first), luminance(second)))
    return (other + 0.05) / (one + 0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_matrix_numbers_are_per_cent_can_be_read_and_the_largest_is_said(seed):
    values = softmax(np.random.default_rng(seed).normal(0, 2, (5, 5)) + 3 * np.eye(5))
    figure = figures.matrix(values, list("abcde"), list("vwxyz"), title="Shares")
    (axes,) = figure.axes
    found = {text.get_position(): text for text in axes.texts}
    for (row, column), value in np.ndenumerate(values):
        text = found[column, row]
        assert text.get_text() == (f"{100 * value:.0f}" if value >= 0.005 else "")
        assert contrast(text.get_color(), axes.images[0].to_rgba(value)[:3]) >= 4.5
    off = values * (1 - np.eye(5))
    row, column = np.unravel_index(off.argmax(), off.shape)
    assert f"row {'abcde'[row]}, column {'vwxyz'[column]}, {100 * off.max():.1f} per cent" in figure.get_label()


def test_matrix_names_may_be_arrays():
    figure = figures.matrix(np.eye(2), np.array(["cat", "dog"]), np.array(["cat", "dog"]))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["cat", "dog"]


def test_landscape_has_numbers_colours_frame_and_words():
    figure = figures.landscape([1, 4, 20], [0.1, 0.9], DIFFERENCES, chosen=(4, 0.9), title="mlp")
    (axes,) = figure.axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "+1.2", (1, 0): "−2.0", (0, 1): "+0.0", (1, 1): "+0.4", (0, 2): "+0.0", (1, 2): "",
    }  # fmt: skip
    cells = axes.images[0]
    better, worse, equal = (np.array(cells.to_rgba(value)[:3]) for value in (1.23, -2.0, 0.0))
    assert better[2] > better[0] + 0.2
    assert worse[0] > worse[2] + 0.2
    assert np.ptp(equal) < 0.01
    assert cells.norm.vmin == -cells.norm.vmax == -2.0
    frame = axes.patches[0]
    assert (frame.get_x() + 0.5, frame.get_y() + 0.5) == (1, 1)
    assert figure.get_label() == (
        "Distilled minus alone, validation accuracy, in percentage points: -2.00 to +1.23; best at T = 4, alpha = 0.9: +0.40."
    )
    for text in axes.texts[:5]:
        column, row = text.get_position()
        assert contrast(text.get_color(), cells.to_rgba(100 * DIFFERENCES[row, column])[:3]) >= 4.5


SIGNS = ["US$_$", "$x^$", "a_b", r"\alpha", "%d", "<b>", "né"]
OF_MANY = {
    "bars": lambda names: figures.bars({n: [0.1, 0.9] for n in names}, names[:2]),
    "curves": lambda names: figures.curves(np.array([1, 2, 4]), {n: np.array([1, 2, 3]) for n in names}, names[0]),
    "strip": lambda names: figures.strip({n: [0.1, 0.2, 0.4] for n in names}, names[0]),
    "learning": lambda names: figures.learning({n: KINDS["alone"] for n in names}, names[0]),
    "roc": lambda names: figures.roc({n: ([0, 0.2, 1], [0, 0.8, 1]) for n in names}, {names[-1]: (0.2, 0.8)}),
    "matrix": lambda names: figures.matrix(np.eye(len(names)), names, names, names[0]),
    "reliability": lambda names: figures.reliability({n: probabilities(0) for n in names}),
}


@pytest.mark.parametrize("name", OF_MANY)
def test_names_are_shown_as_they_are_and_there_may_be_many(name):
    names = [*SIGNS, *(f"kind {k}" for k in range(6))]
    figure, _ = drawn(lambda: OF_MANY[name](names), "wide")
    shown = "\n".join(t.get_text() for t in texts(figure))
    missing = [one for one in (names[:2] if name == "bars" else names) if one not in shown]
    assert missing == []
    assert name in ("matrix", "bars") or all(one in figure.get_label() for one in names)


def test_a_table_with_an_absent_class_names_its_largest_share():
    values = np.array([[0.9, 0.1, 0.0], [np.nan] * 3, [0.5, 0.1, 0.4]])
    assert figures.matrix(values).get_label().endswith("row 2, column 0, 50.0 per cent.")


@pytest.mark.parametrize("differences", [np.zeros((3, 2)), np.full((3, 2), 1e-9)])
def test_landscape_of_nothing_is_white(differences):
    cells = figures.landscape([1, 4, 20], [0.1, 0.9], differences).axes[0].images[0]
    assert np.ptp(cells.to_rgba(cells.get_array())[..., :3]) < 0.02


@pytest.mark.parametrize("title", ["costs $x_$", "a$b$c", "$", "🧠 腫瘍", r"$\frac$ {"])
def test_a_title_of_file_names_is_no_formula(title):
    figure = figures.landscape([1, 4, 20], [0.1, 0.9], np.zeros((3, 2)), title=title)
    assert figure.axes[0].get_title(loc="left").split("\n")[0] == title
    assert figures.png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(2, 3), (3,), (3, 2, 1)])
def test_landscape_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f"differences must have shape (3, 2), got {shape}")):
        figures.landscape([1, 4, 20], [0.1, 0.9], np.zeros(shape))


@pytest.mark.parametrize("bins", [5, 10])
def test_reliability_is_accuracy_over_confidence(bins):
    kinds = {"teacher": probabilities(0), "student": probabilities(3)}
    figure = figures.reliability(kinds, bins)
    for axes, (name, (p, labels)) in zip(figure.axes, kinds.items(), strict=True):
        top, right = p.max(axis=1), p.argmax(axis=1) == labels
        place = np.ceil(top * bins).astype(int)
        expected = [(100 * top[place == k].mean(), 100 * right[place == k].mean()) for k in np.unique(place)]
        drawn_at = np.ma.filled(axes.collections[0].get_offsets(), np.nan)
        assert np.allclose(drawn_at[np.isfinite(drawn_at).all(axis=1)], expected)
        error = 100 * expected_calibration_error(p, labels, bins)
        assert f"{name}: calibration error, pooled, {error:.1f} percentage points" in figure.get_label()
        assert axes.get_title(loc="left") == name


def test_regions_have_row_0_at_the_bottom_and_both_kinds_of_points():
    low = np.zeros((10, 10))
    low[:5] = 1  # class 1 below
    figure = figures.regions(X, Y, {"below": low})
    (axes,) = figure.axes
    image = axes.images[0]
    assert image.origin == "lower"
    assert np.array_equal(image.get_array(), low)
    assert tuple(image.get_extent()) == (0, 1, 0, 1)
    points = {line.get_marker(): line.get_xydata() for line in axes.lines}
    assert np.allclose(points["o"], X[Y == 0])
    assert np.allclose(points["s"], X[Y == 1])
    assert "below" in figure.get_label()


@pytest.mark.parametrize(("narrow", "across"), [(False, 10), (True, 5)])
@pytest.mark.parametrize("shape", [(12, 8, 8), (12, 8, 8, 3)])
def test_images_stand_over_their_titles(narrow, across, shape):
    pictures = np.random.default_rng(0).uniform(0, 1, shape)
    with keeping({}, narrow):
        figure = figures.images(pictures, [f"{k} %" for k in range(12)], "Twelve")
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 12
    assert len({round(axes.get_subplotspec().get_position(figure).x0, 3) for axes in shown}) == across
    for k, axes in enumerate(shown):
        assert np.allclose(axes.images[0].get_array(), pictures[k])
        assert axes.get_xlabel() == f"{k} %"
    assert figure.get_label().startswith("Twelve: 0 %; 1 %;")


@pytest.mark.parametrize("size", WIDTHS)
def test_long_titles_do_not_run_into_each_other(size):
    figure, _ = once("images, long titles", size)
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes if axes.images]
    assert len(boxes) == 7
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_no_images_at_all():
    assert figures.images([], [], "None").get_label() == "None: ."


def test_narrow_pictures_of_two_axes_have_them_below_each_other():
    for make in (ONCE["students"], ONCE["reliability"], ONCE["regions"]):
        for narrow in (False, True):
            with keeping({}, narrow):
                first, second = (axes.get_subplotspec().get_position(axes.figure) for axes in make().axes)
            assert (first.y0 > second.y1) == narrow
            assert (first.x1 < second.x0) == (not narrow)


@pytest.mark.parametrize("name", ONCE)
def test_every_picture_has_words(name):
    figure, _ = once(name, "column")
    assert re.fullmatch(r".{20,}[.]", figure.get_label(), re.DOTALL)


def test_weights_and_what_few_bits_leave_of_them_are_joined():
    weights, rounded = np.array([-1, -0.4, 0.1, 0.9]), np.array([-1, -1 / 3, 0, 1])
    figure = figures.rounding(weights, rounded, 3)
    (axes,) = figure.axes
    levels, between = axes.collections
    assert np.allclose([line[0, 0] for line in levels.get_segments()], np.arange(-3, 4) / 3)
    assert np.allclose([line[:, 0] for line in between.get_segments()], np.stack([weights, rounded], axis=1))
    assert [line.get_xdata().tolist() for line in axes.lines] == [weights.tolist(), rounded.tolist()]
    size = 100 * np.linalg.norm(weights - rounded) / np.linalg.norm(weights)
    assert f"7 levels, leave of them: 4 different values, rounding errors of {size:.2g} per cent" in figure.get_label()


def test_values_outside_the_range_are_marked_and_said():
    values = np.array([-30.0, *np.linspace(-9, 9, 97), 25, 30])
    figure = figures.ranges(values, -10, 10, "Logits")
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if patch.get_height() in (1, 2) and patch.get_hatch()]
    assert sum(bar.get_height() for bar in bars) == 3
    assert all(bar.get_x() + bar.get_width() < -10 or bar.get_x() > 10 for bar in bars)
    assert [line.get_xdata()[0] for line in axes.lines] == [-10, 10]
    assert figure.get_label().startswith("Logits: from -30 to 30; int8 holds -10 to 10, 3 per cent of the values")


def test_a_board_has_bars_of_what_it_has_and_lines_of_what_models_need():
    figure, _ = once("memory", "column")
    for place, axes in enumerate(figure.axes):
        low = axes.get_xlim()[0]
        have = [low + bar.get_width() for bar in axes.patches]
        assert np.allclose(have, [sizes[place] / 1024 for sizes in HAVE.values()])
        for sizes, lines in zip(NEED.values(), axes.collections, strict=True):
            wanted = np.nan if sizes[place] is None else sizes[place] / 1024
            drawn_at = [path.vertices[:, 0] for path in lines.get_paths()]
            assert np.allclose(drawn_at, np.full((len(HAVE), 2), wanted), equal_nan=True)
    assert "EfficientNetB0, a byte a weight: file 3,957 KiB; tutorial's student" in figure.get_label()


def test_a_roc_has_its_curves_and_marks_and_loses_marks_that_are_not_given():
    curves = {"a": ([0, 0.1, 1], [0, 0.7, 1]), "b": ([0, 0.5, 1], [0, 0.6, 1])}
    with keeping({}):
        for marks in ({"a": (0.1, 0.7), "b": (0.5, 0.6)}, {"b": (0.25, 0.3)}):
            figure = figures.roc(curves, marks)
            first, second, *dots = [line.get_xydata().tolist() for line in figure.moving]
            assert [first, second] == [[list(p) for p in zip(*xy, strict=True)] for xy in curves.values()]
            assert [[tuple(p) for p in dot] for dot in dots] == [[marks[n]] if n in marks else [] for n in curves]
    assert "b, marked at sensitivity 0.300, specificity 0.750" in figure.get_label()


def test_words_of_maps_and_masks_are_their_values():
    heat = np.zeros((6, 6))
    heat[4, 1] = 1
    said = figures.overlays([TISSUE] * 3, [None, heat, 0 * heat], ["nucleus", "teacher", "student"]).get_label()
    assert said.endswith("nucleus; teacher, strongest at row 4, column 1; student.")
    half = CLASSES.copy()
    half[:16] = 0
    said = figures.masks(TISSUE, {"labels": CLASSES, "teacher": half}, ["x", "y", "z"]).get_label()
    assert "labels: x 25.0%, y 25.0%, z 25.0%; teacher: x 0.0%, y 25.0%, z 25.0%." in said
    bands = figures.field(TISSUE, [(0, 20, "train"), (20, 60, "test")])
    assert {text.get_text(): text.get_position()[1] for text in bands.axes[0].texts} == {"train": 10, "test": 40}


@pytest.mark.parametrize(("narrow", "width"), [(True, 348), (False, 640)])
def test_a_field_of_view_leaves_no_hole_above_it(narrow, width):
    with figures.keeping({}, narrow):
        figure = figures.field(np.zeros((100, 100, 3), np.uint8), [(0, 100, "train")], "Tissue")
    figures.pixels(figure, width)
    (picture,) = figure.axes[0].images
    assert picture.get_window_extent().height > 0.85 * figure.bbox.height


# ---- what cannot be drawn


@pytest.mark.parametrize(
    "make",
    [
        lambda: figures.bars({}),
        lambda: figures.bars({"a": [1, 2], "b": [1]}),
        lambda: figures.bars({"a": [1, np.nan]}),
        lambda: figures.bars({"a": [1, 2]}, ["only one"]),
        lambda: figures.strip({}),
        lambda: figures.strip({"a": []}),
        lambda: figures.strip({"a": [0.1, np.nan]}),
        lambda: figures.curves([1, 2], {"a": [1, 2, 3]}),
        lambda: figures.curves([1, 2], {}),
        lambda: figures.matrix([0.1, 0.2]),
    ],
)
def test_what_cannot_be_drawn_raises_a_sentence(make):
    with pytest.raises(ValueError, match=r"\w+ .*\w+"):
        make()


def test_a_picture_that_failed_draws_the_next_values_right():
    store = {}
    for values in ([0.1, 0.9], [0.2, np.nan], [0.3, 0.7]):
        with keeping(store):
            if np.isnan(values).any():
                with pytest.raises(ValueError, match=r"\w+ "):
                    figures.bars({"a": values})
            else:
                kept = figures.bars({"a": values})
                picture = pixels(kept)
    assert np.array_equal(picture, pixels(figures.bars({"a": [0.3, 0.7]})))


@pytest.mark.parametrize("size", ["wide", "column", "narrow"])
def test_the_diagrams_arrows_begin_and_end_at_its_boxes(size):
    figure, _ = drawn(figures.diagram, size)
    texts = figure.axes[0].texts
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts if text.get_text()]
    arrows = [text.arrow_patch.get_window_extent() for text in texts if not text.get_text()]
    assert (len(boxes), len(arrows)) == (8, 8)
    for arrow in arrows:
        assert sum(box.padded(8).overlaps(arrow) for box in boxes) >= 2
