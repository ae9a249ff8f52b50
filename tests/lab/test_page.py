"""The URL: values that are accepted move the controls, garbage is one sentence each and moves nothing."""

import ipywidgets
import pytest

from kdlab import lab


@pytest.fixture
def controls():
    return {
        "T": lab.temperature(),
        "alpha": lab.alpha(),
        "seeds": ipywidgets.IntSlider(10, 2, 30),
        "scenario": lab.choice("scenario", {"ten labels": 10, "all labels": 898}),
        "epochs": ipywidgets.SelectionSlider(options=[1, 5, 30], value=30),
        "fixed": ipywidgets.Checkbox(False),
        "logits": ipywidgets.Text(),
        "cell": lab.Grid(["a", "b", "c"], value=2),
        "free": lab.Grid(["a", "b", "c"]),
        "field": ipywidgets.FloatText(0.5),
        "count": ipywidgets.IntText(3),
        "images": ipywidgets.BoundedIntText(100, 1, 500, step=5),
        "place": ipywidgets.Combobox(options=["here", "there"], value="here"),
    }


@pytest.fixture
def page(controls):
    return lab.Page(**controls)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("T", "8", 8.0),
        ("T", "0.125", 0.125),
        ("T", "64", 64.0),
        ("alpha", "0", 0.0),
        ("alpha", "1.0", 1.0),
        ("seeds", "2", 2),
        ("scenario", "all labels", 898),
        ("scenario", "all+labels", 898),
        ("epochs", "5", 5),
        ("fixed", "true", True),
        ("logits", "6,%202,%200", "6, 2, 0"),
        ("logits", "%3Cscript%3E", "<script>"),
        ("cell", "0", 0),
        ("free", "2", 2),
        ("field", "-1e9", -1e9),
        ("field", "0.123", 0.123),
        ("count", "-12", -12),
        ("images", "500", 500),
        ("place", "elsewhere", "elsewhere"),
    ],
)
def test_a_value_moves_its_control_and_stands_in_the_url(page, controls, name, text, value):
    page.asked = f"?{name}={text}"
    assert controls[name].value == value
    assert page.notes == ""
    assert page.values[name] is not None
    assert [other for other, said in page.values.items() if said is not None] == [name]


GARBAGE = [
    ("T", "abc", "a number from 0.125 to 64"),
    ("T", "nan", "a number from 0.125 to 64"),
    ("T", "inf", "a number from 0.125 to 64"),
    ("T", "1e999", "a number from 0.125 to 64"),
    ("T", "0", "a number from 0.125 to 64"),
    ("T", "-4", "a number from 0.125 to 64"),
    ("T", "4,5", "a number from 0.125 to 64"),
    ("T", "%3Cscript%3Ealert(1)%3C/script%3E", "a number from 0.125 to 64"),
    ("alpha", "1.0001", "a number from 0 to 1"),
    ("seeds", "3.5", "a whole number from 2 to 30"),
    ("seeds", "31", "a whole number from 2 to 30"),
    ("seeds", "9" * 5000, "a whole number from 2 to 30"),
    ("scenario", "898", "one of ten labels, all labels"),
    ("scenario", "Ten labels", "one of ten labels, all labels"),
    ("epochs", "4", "one of 1, 5, 30"),
    ("fixed", "yes", "true or false"),
    ("fixed", "1", "true or false"),
    ("cell", "3", "a whole number from 0 to 2"),
    ("cell", "-1", "a whole number from 0 to 2"),
    ("cell", "b", "a whole number from 0 to 2"),
    ("free", "x", "a whole number from 0 to 2"),
    ("field", "a", "a number"),
    ("field", "inf", "a number"),
    ("field", "nan", "a number"),
    ("count", "2.5", "a whole number"),
    ("count", "inf", "a whole number"),
    ("count", "1" + "0" * 400, "a whole number"),
    ("images", "0", "a whole number from 1 to 500"),
]


@pytest.mark.parametrize(("name", "text", "accepted"), GARBAGE)
def test_garbage_is_one_sentence_and_the_control_keeps_what_it_had(page, controls, name, text, accepted):
    before = {key: control.value for key, control in controls.items()}
    page.asked = f"?{name}={text}"
    assert page.notes.startswith(f"The link asks for {name} = “")
    assert f"accepted is {accepted}. The page keeps " in page.notes
    assert page.notes.count("The link asks") == 1
    assert len(page.notes) < 300
    assert {key: control.value for key, control in controls.items()} == before
    assert set(page.values.values()) == {None}


def test_garbage_beside_what_is_right(page, controls):
    page.asked = "?T=8&alpha=2&seeds=&scenario=all+labels&T=nan&token=secret&utm_source=x&seeds=x"
    assert controls["T"].value == 8
    assert controls["scenario"].value == 898
    assert page.notes.count("The link asks") == 2
    assert "alpha = “2”" in page.notes
    assert "seeds = “x”" in page.notes
    assert "secret" not in page.notes
    assert {name: text for name, text in page.values.items() if text} == {"T": "8", "scenario": "all labels"}


@pytest.mark.parametrize("asked", ["", "?", "?=&&=", "?T", "?%FF%FE=%00", "?other=1"])
def test_a_url_that_says_nothing_of_ours_says_nothing(page, asked):
    page.asked = asked
    assert page.notes == ""
    assert set(page.values.values()) == {None}


def test_the_url_holds_what_differs_from_the_defaults_and_forgets_what_came_back(page, controls):
    controls["T"].value, controls["cell"].value, controls["fixed"].value = 2**0.5, 1, True
    assert {n: t for n, t in page.values.items() if t is not None} == {"T": "1.41421", "cell": "1", "fixed": "true"}
    controls["T"].value, controls["fixed"].value = 4.0, False
    assert {n: t for n, t in page.values.items() if t is not None} == {"cell": "1"}


def test_what_a_page_writes_another_reads(page, controls):
    from urllib.parse import urlencode

    moved = {
        "T": 2**-1.125,
        "alpha": 0.35,
        "seeds": 7,
        "scenario": 898,
        "epochs": 1,
        "fixed": True,
        "logits": "1;2 & 3",
        "cell": 0,
        "field": -1234567.125,
        "count": 8,
        "images": 17,
    }
    for name, value in moved.items():
        controls[name].value = value
    sent = urlencode({name: text for name, text in page.values.items() if text is not None})
    for name, value in {
        "T": 4.0,
        "alpha": 0.9,
        "seeds": 10,
        "scenario": 10,
        "epochs": 30,
        "fixed": False,
        "logits": "",
        "cell": 2,
        "field": 0.5,
        "count": 3,
        "images": 100,
    }.items():
        controls[name].value = value
    other = lab.Page(**controls)
    other.asked = f"?{sent}"
    assert other.notes == ""
    assert {name: controls[name].value for name in moved} == moved  # to the last digit: they are on the sliders' grids


@pytest.mark.parametrize(
    "control",
    [
        ipywidgets.DatePicker(),
        ipywidgets.IntRangeSlider(value=(1, 3)),
        ipywidgets.SelectMultiple(options="abc"),
        ipywidgets.SelectionRangeSlider(options="abc"),
        ipywidgets.FileUpload(),
        lab.Pad(),
    ],
    ids=lambda control: type(control).__name__,
)
def test_a_control_that_a_link_cannot_hold_is_refused_when_the_page_is_made(control):
    with pytest.raises(
        ValueError, match=f"odd is a {type(control).__name__}, whose value is .*: leave it out of lab.Page"
    ):
        lab.Page(T=lab.temperature(), odd=control)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("T", "5.3", 2**2.375),
        ("T", "1.41421", 2**0.5),
        ("alpha", "0.41", 0.4),
        ("alpha", "0.4", 0.4),
        ("even", "7", 8),
        ("even", "8", 8),
    ],
)
def test_a_value_between_two_steps_goes_to_the_nearest(controls, name, text, value):
    controls["even"] = ipywidgets.IntSlider(4, min=0, max=20, step=2)
    page = lab.Page(**controls)
    page.asked = f"?{name}={text}"
    assert controls[name].value == value
    assert page.notes == ""
