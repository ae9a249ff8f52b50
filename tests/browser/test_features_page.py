"""Chapter 3 as a person uses it: layers are tied and students trained, looked into, stopped; the values are in the URL."""

import re

import pytest

NAME = "03_feature_based_kd"


def means(words):
    """The mean accuracies that the dots of a panel have, kind by kind."""
    return {name.strip(): float(mean) for name, mean in re.findall(r"([\w ]+): mean ([−\-\d.]+)", words)}


def choose(lab_page, panel, control, text):
    lab_page.panel(panel).get_by_label(control, exact=True).select_option(text)
    lab_page.settled(panel)


def press(lab_page, text):
    button = lab_page.page.get_by_role("button", name=text, exact=True)
    button.scroll_into_view_if_needed()
    button.click()


def test_a_unit_shows_the_digits_it_responds_to(lab_page):
    before = lab_page.words("responds")
    assert before.startswith("Unit 3: 6 classes among its twenty digits")
    lab_page.press("responds", "unit", "Home")
    assert lab_page.says("responds", "Unit 0: ")
    assert "0.0; 0.0; 0.0." in lab_page.words("responds")  # it responds to no digit
    choose(lab_page, "responds", "layer", "hidden 2")
    assert lab_page.words("responds") != before


def test_ties_and_students_follow_the_same_controls(lab_page):
    first = means(lab_page.words("students"))
    assert list(first) == ["alone", "labels and answers", "with features"]
    choose(lab_page, "students", "student", "hidden 1")
    second = means(lab_page.words("students"))
    assert list(second.values())[:2] == list(first.values())[:2]  # what does not depend on the features stays
    assert second["with features"] != first["with features"]
    assert lab_page.says(
        "compared", "the teacher's hidden 2 with the student's hidden 1; the softened answers (dashed)"
    )
    choose(lab_page, "students", "feature loss", "angles")
    assert means(lab_page.words("students"))["with features"] != second["with features"]
    choose(lab_page, "students", "feature loss", "hint")
    choose(lab_page, "students", "student", "hidden 2")
    assert means(lab_page.words("students")) == pytest.approx(first, abs=0.4)


def test_the_weight_moves_by_keys_to_its_ends(lab_page):
    slider = lab_page.panel("students").get_by_role("slider", name="α_f", exact=True)
    slider.focus()
    lab_page.page.keyboard.press("Home")
    found = means(lab_page.words("students"))
    assert found["with features"] == found["labels and answers"]  # a weight of 0
    assert lab_page.says("compared", "Weights: features 0, softened answers 0.5, labels 0.5.")
    slider.focus()
    lab_page.page.keyboard.press("End")
    assert means(lab_page.words("students"))["with features"] < 50  # neither labels nor answers
    assert lab_page.says("compared", "Weights: features 1, softened answers 0, labels 0.")


def test_buttons_lead_to_what_they_say(lab_page):
    for place, verdict in (
        ("where features help", "With features: better than without."),
        ("where no difference is detectable", "No detectable difference (the interval contains 0)."),
        ("where they hurt", "With features: worse than without."),
    ):
        press(lab_page, place)
        assert lab_page.says("students", verdict)


def test_inside_untrained_and_trained_students_are_compared_with_the_teacher(lab_page):
    press(lab_page, "where features help")
    assert lab_page.says("inside", "with features: hidden 2 and 1 ")
    found = [float(value) for value in re.findall(r"hidden 2 and 1 (\d\.\d\d)", lab_page.words("inside"))]
    assert len(found) == 4
    assert found[0] < found[1] <= found[2] + 0.1
    assert found[3] > found[0]
    assert "answers changed: 0 of 600" in lab_page.words("outliers")


def test_students_of_nuclei_are_watched_and_stopped(lab_page):
    panel = lab_page.panel("convolutional")
    panel.get_by_role("button", name="Train three students of each kind").click()
    lab_page.page.wait_for_function(
        "labPanel('convolutional').querySelector('[data-kdlab=state] p').innerText.match(/^[1-9]\\d* of 135/)",
        timeout=120_000,
    )
    panel.get_by_role("button", name="Stop").click()
    assert lab_page.says("convolutional", "There is no verdict on half-trained students.")
    assert re.match(r"Stopped at \d+ of 135", lab_page.said("convolutional"))
    assert "nucleus; teacher: " in lab_page.words("look")


def test_another_view_is_learned_step_by_step_and_a_stop_keeps_what_is_finished(lab_page):
    panel = lab_page.panel("other_view")
    panel.get_by_role("button", name="Train a second teacher").click()
    lab_page.page.wait_for_function(
        "labPanel('other_view').querySelector('[data-kdlab=state] p').innerText.includes('1 of 3')", polling=20
    )
    panel.get_by_role("button", name="Stop").click()
    assert lab_page.says("other_view", "On validation: 50 labels, no teacher")
    assert re.match(r"Stopped at [12] of 3", lab_page.said("other_view"))
    assert "a teacher that sees the whole" not in lab_page.words("other_view")


def test_values_of_the_url_and_garbage_in_it(server, open_lab_page):
    opened = open_lab_page(server.page(NAME, "?ours=hidden 1&alpha_f=0.99&method=hints&unit=300&T=2"))
    said = opened.page.locator("[data-kdlab=page] [role=status]")
    opened.page.wait_for_function("document.querySelector('[data-kdlab=page] [role=status]')?.innerText")
    for part in (
        "method = “hints”; accepted is one of hint, similarity,",
        "unit = “300”; accepted is a whole number from 0 to 255",
    ):
        assert part in said.inner_text()
    assert opened.says("compared", "Weights: features 0.99,")
    assert opened.says("compared", "the student's hidden 1")


def test_page_keeps_the_promises_of_every_page(lab_page, keeps_the_promises_of_every_page):
    for name in ("students", "inside", "look"):
        lab_page.settled(name)
    keeps_the_promises_of_every_page(lab_page.page)
