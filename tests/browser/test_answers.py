"""Answers outlive a reload of a dashboard, whose kernel is new, and can be downloaded."""

import json
import re
from importlib.metadata import version

PROMPT = "You raise T from 1 to 10."


def question(page, prompt):
    found = page.locator(".kdlab-question", has_text=prompt)
    found.scroll_into_view_if_needed(timeout=60_000)
    return found


def test_a_reload_loses_no_answer_and_they_are_downloaded_and_forgotten(open_page, server):
    page = open_page(server.page("01_temperature_softening", "?T=8"))
    assert page.get_by_role("button", name="Download my answers").count() == 0
    question(page, PROMPT).get_by_label("A class of probability 0.001 gets a larger share").check()
    question(page, PROMPT).get_by_text("✗ Not quite. It does happen").wait_for(timeout=30_000)
    question(page, PROMPT).get_by_label("Another class becomes the likeliest").check()
    question(page, PROMPT).get_by_text("✓ Right.").wait_for(timeout=30_000)
    number = question(page, "A teacher's logits are (6, 2, 0).")
    number.get_by_label("answer").fill("0.982")
    page.keyboard.press("Enter")
    number.get_by_text("✗ Not quite.").wait_for(timeout=30_000)

    page.reload()
    question(page, PROMPT).get_by_text("✓ Right. z / T keeps the order").wait_for(timeout=60_000)
    assert question(page, PROMPT).get_by_label("Another class becomes the likeliest").is_checked()
    assert question(page, "A teacher's logits are (6, 2, 0).").get_by_label("answer").input_value() == "0.982"
    box = page.locator(".kdlab-answers")
    assert box.locator("span").inner_text() == "Answered on this page: 2, of them correct: 1. This browser keeps them."
    box.get_by_label("Your name").fill("Ada <L.>")
    with page.expect_download() as got:
        box.get_by_role("button", name="Download my answers").click()
    assert got.value.suggested_filename == "01_temperature_softening answers.json"
    with open(got.value.path(), encoding="utf-8") as file:
        saved = json.load(file)
    about = {"program": "kdlab", "version": version("kdlab"), "page": "01_temperature_softening", "name": "Ada <L.>"}
    assert {name: saved[name] for name in about} == about
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", saved["time"])
    first, second = saved["answers"]
    assert first["question"].startswith(PROMPT)
    assert (first["answer"], first["correct"], first["tries"]) == ("Another class becomes the likeliest", True, 2)
    assert (second["answer"], second["correct"], second["tries"]) == ("0.982", False, 1)

    box.get_by_role("button", name="Forget them").click()
    page.wait_for_function("document.querySelectorAll('.kdlab-question input:checked').length === 0")
    page.reload()
    question(page, PROMPT)
    page.get_by_text("Copy a link to these values").wait_for(timeout=60_000)
    assert page.locator(".kdlab-feedback.kdlab-right, .kdlab-feedback.kdlab-wrong").count() == 0
