"""The picture of a sweep: its numbers, its colours, its frame, and that everybody can read it."""

import io

import matplotlib.image
import numpy as np
import pytest

from kdlab.lab.landscape_figure import landscape_figure, png

TEMPERATURES, ALPHAS = (1.0, 4.0, 20.0), (0.1, 0.9)
DIFFERENCES = np.array([[0.0123, -0.02], [0.0, 0.004], [-0.00001, 0.0051]])


def axes(**keywords):
    return landscape_figure(TEMPERATURES, ALPHAS, DIFFERENCES, **keywords).axes[0]


def luminance(colour):
    c = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def test_every_cell_has_its_number_in_its_place():
    texts = {text.get_position(): text.get_text() for text in axes().texts}
    assert texts == {
        (0, 0): "+1.23",
        (1, 0): "−2.00",
        (0, 1): "+0.00",
        (1, 1): "+0.40",
        (0, 2): "+0.00",
        (1, 2): "+0.51",
    }


@pytest.mark.parametrize("title", ["costs $x_$", "a$b$c", "$", "🧠 腫瘍", r"$\frac$ {"])
def test_a_title_of_file_names_is_no_formula(title):
    figure = landscape_figure(TEMPERATURES, ALPHAS, DIFFERENCES, title=title)
    assert figure.axes[0].get_title().replace("\\$", "$") == title
    assert png(figure).startswith(b"\x89PNG")


def test_axes_are_named_and_labelled():
    found = axes(title="mlp from teacher.keras")
    assert [label.get_text() for label in found.get_xticklabels()] == ["0.1", "0.9"]
    assert [label.get_text() for label in found.get_yticklabels()] == ["1", "4", "20"]
    assert found.get_xlabel() == "alpha, the weight of the teacher"
    assert found.get_ylabel() == "temperature T"
    assert found.get_title() == "mlp from teacher.keras"
    assert "percentage points" in found.figure.axes[1].get_ylabel()


def test_better_is_blue_worse_is_vermillion_and_equal_is_grey():
    cells = axes().images[0]
    better, worse, equal = (np.array(cells.to_rgba(value)[:3]) for value in (1.23, -2.0, 0.0))
    assert better[2] > better[0] + 0.2
    assert worse[0] > worse[2] + 0.2
    assert np.ptp(equal) < 0.01
    # Zero is in the middle, however lopsided the values are.
    assert cells.norm.vmin == -cells.norm.vmax == -2.0


def test_every_number_can_be_read_on_its_colour():
    found = axes()
    for text in found.texts:
        column, row = text.get_position()
        background = luminance(found.images[0].to_rgba(100 * DIFFERENCES[row, column]))
        light, dark = sorted([luminance(text.get_color()), background], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, AA


def test_the_chosen_cell_is_framed():
    found = axes(chosen=(20.0, 0.1), title="mlp")
    (frame,) = found.patches
    assert found.get_title() == "mlp\n(framed: the best of them)"
    assert frame.get_bbox().bounds == (-0.5, 1.5, 1, 1)
    assert not axes().patches


@pytest.mark.parametrize("differences", [np.zeros((1, 1)), np.full((1, 1), 0.3)])
def test_one_point_and_all_zero_are_drawn(differences):
    picture = png(landscape_figure((1.0,), (0.5,), differences, chosen=(1.0, 0.5)))
    image = matplotlib.image.imread(io.BytesIO(picture))
    assert image.shape[2] == 4
    assert image.std() > 0.05


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"differences must have shape \(3, 2\), got \(2, 3\)"):
        landscape_figure(TEMPERATURES, ALPHAS, DIFFERENCES.T)
