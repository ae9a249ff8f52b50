"""Controls on their grids, sentences and tables as they stand on the page."""

from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest

from kdlab import evaluation, lab


@pytest.mark.parametrize("value", [0.125, 1, 1.4142135623730951, 2, 4, 10.374716437208077, 64])
def test_temperatures_are_on_the_sliders_grid(value):
    slider = lab.temperature(value)
    assert isinstance(slider, ipywidgets.FloatLogSlider)
    steps = (np.log2(slider.value) - slider.min) / slider.step
    assert steps == pytest.approx(round(steps), abs=1e-9)
    assert slider.value == pytest.approx(value)
    assert (slider.base**slider.min, slider.base**slider.max) == (0.125, 64)


def test_controls_take_options_of_ipywidgets():
    assert lab.temperature(2, description="of the second teacher").description == "of the second teacher"
    slider = lab.alpha(0.35, continuous_update=False)
    assert (slider.value, slider.min, slider.max, slider.continuous_update) == (0.35, 0, 1, False)


def test_choice_takes_texts_with_values_or_values():
    named = lab.choice("scenario", {"ten labels": 10, "all": 898}, 898)
    assert (named.value, named.label, named.description) == (898, "all", "scenario")
    plain = lab.choice("width", [4, 8, 16])
    assert (plain.value, plain.label, plain._options_labels) == (4, "4", ("4", "8", "16"))


@pytest.mark.parametrize("text", ["6, 2, 0", "6 2 0", "6;2;0", " 6,2 ,  0 ", "6.0,2e0,-0"])
def test_numbers_are_read(text):
    assert np.array_equal(lab.numbers(text, 3), [6, 2, 0])


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("", "0 numbers"),
        ("1 2", "2 numbers"),
        ("1 2 3 4", "4 numbers"),
        ("1, two, 3", "'two'"),
        ("1 2 nan", "one that is not finite"),
        ("1 2 1e999", "one that is not finite"),
        ("<b>", "'<b>'"),
    ],
)
def test_numbers_say_what_came_and_what_is_accepted(text, came):
    with pytest.raises(ValueError, match="logits must be 3 finite numbers with commas or blanks between them") as error:
        lab.numbers(text, 3, "logits")
    assert str(error.value).endswith(f"got {came}")


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0123, "+1.2"), (-0.02, "−2.0"), (0.0, "+0.0"), (-0.0001, "+0.0"), (1.0, "+100.0")]
)
def test_points(difference, text):
    assert lab.points(difference) == text


def test_table_shows_its_cells_as_they_are():
    html = lab.table([["<T>", 4], ["α & more", 0.5]], ["what", "value"], "Two <rows>")._repr_html_()
    assert "<caption>Two &lt;rows&gt;</caption>" in html
    assert '<thead><tr><th scope="col">what</th><th scope="col">value</th></tr></thead>' in html
    assert '<tr><th scope="row">&lt;T&gt;</th><td>4</td></tr>' in html
    assert '<tr><th scope="row">α &amp; more</th><td>0.5</td></tr>' in html
    assert "<caption>" not in lab.table([["a"]], ["b"])._repr_html_()
    assert repr(lab.table([["mean", 1]], ["what", "value"])) == "what  value\nmean  1"


@pytest.mark.parametrize(
    ("second", "kind", "words"),
    [
        ([0.80, 0.81, 0.79, 0.80], "better", "Distilled: better than alone."),
        ([0.99, 0.98, 0.99, 0.98], "worse", "Distilled: worse than alone."),
        ([0.90, 0.93, 0.88, 0.91], "open", "No detectable difference (the interval contains 0)."),
    ],
)
def test_verdict_says_the_difference_and_its_interval(second, kind, words):
    first = [0.90, 0.91, 0.90, 0.91]
    difference = evaluation.paired_difference(first, second)
    sentence = lab.verdict(difference)
    assert sentence.startswith(words)
    numbers = [lab.points(value) for value in (np.mean(np.subtract(first, second)), difference.low, difference.high)]
    assert sentence.endswith("{} percentage points, 95 % interval {} to {}.".format(*numbers))
    assert f'class="kdlab-verdict kdlab-{kind}"' in sentence._repr_html_()
    assert lab.verdict(difference, "<b>", "none")._repr_html_().count("<b>") == 0


def test_a_press_sets_the_controls_of_its_place():
    slider, kind = lab.temperature(4), lab.choice("kind", ("hint", "similarity"))
    row = lab.positions({"first": {slider: 16.0, kind: "similarity"}, "second": {slider: 1.0}})
    assert [button.description for button in row.children] == ["first", "second"]
    row.children[0].click()
    assert (slider.value, kind.value) == (16.0, "similarity")
    row.children[1].click()
    assert (slider.value, kind.value) == (1.0, "similarity")


def test_validation_is_said_of_results_and_of_pairs():
    def result(*last):
        return SimpleNamespace(validation_accuracy=np.array([[0.1, value] for value in last]))

    one, other = result(0.9, 0.8), result(0.805, 0.775)
    assert lab.on_validation({"a": one, "b": other}) == "On validation: a 85.0%; b 79.0%."
    assert lab.on_validation({"a": one, "b": [0.5, 0.7]}) == "On validation: a 85.0%; b 60.0%."
    assert (
        lab.on_validation({"few": (one, other), "all": (other, one)})
        == "On validation: few +6.0 points; all −6.0 points."
    )
