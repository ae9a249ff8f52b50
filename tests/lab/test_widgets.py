"""The browser-side widgets' Python half: what is sent, and what is refused. Their views are tested in a browser."""

import io

import numpy as np
import pytest
from PIL import Image

from kdlab import figures, lab
from kdlab.lab.widgets import STATIC, FigureView, State


def picture(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def luminance(colour):
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


# ---- bars


def test_bars_hold_plain_numbers_and_names():
    bars = lab.Bars(np.float32([6, 2, 0]), ["cat", 7, "dog"])
    assert bars.logits == [6.0, 2.0, 0.0]
    assert bars.classes == ["cat", "7", "dog"]
    assert (bars.kind, bars.label, bars.temperature) == ("bars", -1, 1.0)
    assert lab.Bars([1, 2]).classes == ["0", "1"]
    bars.show(np.array([1.0, 2.5, -3.0]), np.int64(2))
    assert (bars.logits, bars.label) == ([1.0, 2.5, -3.0], 2)


@pytest.mark.parametrize("logits", [[1.0, np.nan], [[1.0, 2.0]], [1.0, np.inf]])
def test_bars_take_finite_logits_of_one_sample(logits):
    with pytest.raises(ValueError, match="logits"):
        lab.Bars(logits)
    with pytest.raises(ValueError, match="logits"):
        lab.Bars([1.0, 2.0]).show(logits)


# ---- grid


def test_grid_sends_pictures_and_labels():
    grey, colour = np.array([[0.0, 0.5], [1.0, 2.0]]), np.zeros((2, 2, 3), np.uint8)
    colour[0, 1] = 10, 200, 30
    grid = lab.Grid(["a 3", 8], [grey, colour], value=1, description="digits")
    assert grid.labels == ["a 3", "8"]
    assert grid.value == 1
    assert picture(grid.images[0]).tolist() == [[0, 127], [255, 255]]
    assert picture(grid.images[1])[0, 1].tolist() == [10, 200, 30]
    assert lab.Grid(["a"]).value is None


def test_grid_colours_say_the_sign_and_every_text_can_be_read_on_its_own():
    grid = lab.Grid([f"{k}" for k in range(5)])
    values = [2.0, -2.0, 0.0, np.nan, 1.0]
    grid.show(values, [f"{v:g}" for v in values], labels=list("abcde"))
    assert grid.colours == ["#0072b2", "#d55e00", "#ffffff", "#ffffff", "#80b8d8"]
    assert grid.texts == ["2", "-2", "0", "nan", "1"]
    for colour, ink in zip(grid.colours, grid.inks, strict=True):
        one, other = luminance(colour), luminance(ink)
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


def test_grid_values_have_the_shape_of_the_table_or_of_its_cells():
    table = np.array([[1.0, -1.0], [0.5, 0.0]])
    first, second = (lab.Grid(list("abcd"), columns=2) for _ in range(2))
    first.show(table, table, [["p", "q"], ["r", "s"]])
    second.show(table.ravel())
    assert first.colours == second.colours
    assert first.labels == ["p", "q", "r", "s"]
    assert second.labels == ["a", "b", "c", "d"]


def test_grid_limit_keeps_colours_comparable():
    grid = lab.Grid(list("ab"))
    grid.show([1.0, 0.5], limit=1.0)
    full, half = grid.colours
    grid.show([0.5, 0.25], limit=1.0)
    assert grid.colours[0] == half
    grid.show([0.5, 0.25])
    assert grid.colours[0] == full
    grid.show([0.0, 0.0])
    assert grid.colours == ["#ffffff"] * 2
    grid.show([np.nan, np.nan])
    assert grid.colours == ["#ffffff"] * 2


# ---- figure view, state, pad


@pytest.mark.parametrize(("width", "ratio"), [(640, 1.0), (358, 1.0), (358, 2.0), (900, 1.5)])
def test_figure_view_is_as_wide_as_its_column_in_device_pixels(width, ratio):
    view, figure = FigureView(), figures.bars({"a": [0.25, 0.75]}, title="Two classes")
    view.show(figure, width, ratio)
    sent = picture(view.png)
    assert sent.shape[1] == int(width * ratio)
    assert sent.shape[0] == pytest.approx(290 * ratio, abs=1)
    assert sent.std() > 10
    assert view.width == width
    assert view.description == figure.get_label()


def test_state_says_and_keeps_whether_it_is_stale():
    state = State()
    assert (state.state, state.message, state.stale) == ("idle", "", False)
    state.say("failed", "T must be above 0", stale=True)
    state.say("computing", "…")
    assert (state.state, state.message, state.stale) == ("computing", "…", True)
    state.say("idle", stale=False)
    assert (state.state, state.message, state.stale) == ("idle", "", False)


def test_every_panel_has_a_key_of_its_own():
    keys = [State().get_state()["key"] for _ in range(3)]
    assert len(set(keys)) == 3
    assert all(keys)


def test_pad_begins_clear():
    pad = lab.Pad(side=28)
    assert (pad.kind, pad.side, pad.value, pad.description) == ("pad", 28, [], "Drawing pad")
    assert pad.traits()["value"].metadata["echo_update"] is False  # or a slow kernel would undo what is drawn meanwhile


@pytest.mark.parametrize(
    "widget", [lambda: lab.Bars([1, 2]), lambda: lab.Grid(["a"]), lab.Pad, FigureView, State, lab.Page]
)
def test_all_are_one_module_that_knows_their_kind(widget):
    made = widget()
    assert f"  {made.kind}: {{ render: " in (STATIC / "lab.js").read_text("utf-8")
    assert made._code is State()._code
    assert len(made._esm) < 400
