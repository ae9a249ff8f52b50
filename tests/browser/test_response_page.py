"""Chapter 2 as a person uses it: students trained at the sliders' position, the landscape, a drawing, a link."""

import re

import numpy as np
import pytest
from pypdf import PdfReader

import kdlab
from kdlab.datasets.dataset import digits_logits
from kdlab.evaluation import paired_difference
from kdlab.lab import points
from kdlab.scenarios import SCENARIOS

NAME = "02_response_based_kd"


@pytest.fixture(scope="module")
def live():
    made = SCENARIOS["few"].prepare(kdlab.load("digits"), digits_logits("train")["teacher"][None])
    student = kdlab.models.mlp(64, (16,), 10)
    return kdlab.LiveTrainer(made.data, student, made.teacher_logits, epochs=made.epochs, batch_size=made.batch_size)


def test_a_move_trains_the_students_of_that_position(lab_page, live):
    alone = live.train(alpha=0.0).test_accuracy
    lab_page.settled("students")
    for keys in ([], ["ArrowRight"] * 8, ["End"]):
        temperature = 2 ** lab_page.press("students", "T", *keys)
        gain = paired_difference(live.train(temperature, 0.9).test_accuracy, alone)
        assert lab_page.says("students", f"{points(gain.mean)} percentage points, 95 % interval {points(gain.low)} to")
    lab_page.press("students", "T", "Home", *["PageUp"] * 8)
    assert lab_page.press("students", "T") == 2


def test_the_bias_is_chosen_on_validation_and_counted_on_test(lab_page):
    words = lab_page.words("with_bias")
    errors = re.search(r"distilled\s+(\d+)\s+([+-][\d.]+)\s+(\d+)\s+(\d+)", words)
    assert errors, words
    assert int(errors[3]) < int(errors[1])


def test_the_landscape_is_trained_chosen_from_and_sent_to_the_sliders(lab_page):
    panel = lab_page.panel("train_everywhere")
    panel.get_by_role("button", name="Train 440 students").click()
    assert lab_page.says("train_everywhere", "Best of 88 positions on validation: T = ")
    best = re.search(r"T = ([\d.]+), α = ([\d.]+)", lab_page.words("train_everywhere"))
    cells = panel.locator(".kdlab-cells button")
    assert cells.count() == 88
    panel.get_by_role("button", name="Choose by validation").click()
    lab_page.page.wait_for_function("new URLSearchParams(location.search).has('T')")
    shown = lab_page.page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    assert float(shown["T"]) == pytest.approx(float(best[1]), rel=0.01)
    assert float(shown.get("alpha", 0.9)) == float(best[2])
    pressed = panel.locator(".kdlab-cells button[aria-pressed=true]")
    assert pressed.get_attribute("aria-label").startswith(f"T {best[1]}, alpha {best[2]}: validation ")


def test_a_drawing_is_read_by_three_networks(lab_page):
    panel = lab_page.settled("three_answers")
    panel.get_by_role("button", name="Clear").click()
    assert lab_page.says("three_answers", "Draw a digit on the pad.")
    pad = panel.locator("canvas")
    box = pad.bounding_box()
    mouse = lab_page.page.mouse
    mouse.move(box["x"] + 100, box["y"] + 20)
    mouse.down()
    mouse.move(box["x"] + 100, box["y"] + 170, steps=12)
    mouse.up()
    assert lab_page.says("three_answers", "The teacher says 1")


def test_wrong_numbers_are_said_and_the_view_stays(lab_page):
    panel = lab_page.settled("by_chance")
    field = panel.get_by_label("test images")
    field.fill("0")
    field.press("Tab")
    lab_page.page.wait_for_function(
        "name => labPanel(name).querySelector('[data-kdlab=state] p').dataset.state === 'failed'", arg="by_chance"
    )
    said = lab_page.said("by_chance")
    assert "total must be a whole number" in said
    assert "What is shown was made for" in said
    assert "91.22% to 91.97%" in lab_page.panel("by_chance").inner_text()
    field.fill("20800")
    field.press("Tab")
    assert lab_page.settled("by_chance").locator("p[data-state=failed]").count() == 0


def test_a_link_shows_the_same_position(server, open_lab_page, live):
    page = open_lab_page(server.page(NAME, "?T=2&alpha=0.5&scenario=All+898+labels&student=abc"))
    made = SCENARIOS["all"].prepare(kdlab.load("digits"), digits_logits("train")["teacher"][None])
    student = kdlab.models.mlp(64, (16,), 10)
    sizes = {"epochs": made.epochs, "batch_size": made.batch_size}
    live = kdlab.LiveTrainer(made.data, student, made.teacher_logits, **sizes)
    gain = np.mean(live.train(2.0, 0.5).test_accuracy - live.train(alpha=0.0).test_accuracy)
    assert page.says("students", f"{points(gain)} percentage points")
    notes = page.page.locator("[data-kdlab=page] p").inner_text()
    assert "student = “abc”; accepted is one of 16 units" in notes


def test_page_keeps_the_promises_of_every_page(lab_page, keeps_the_promises_of_every_page):
    for name in ("students", "everywhere", "three_virtues", "translated"):
        lab_page.settled(name)
    keeps_the_promises_of_every_page(lab_page.page)


def test_a_table_of_ones_own_is_distilled_on_or_refused_in_a_sentence(lab_page):
    panel = lab_page.settled("own_table")
    assert lab_page.says(
        "own_table", "Rows to train on: 410, to test on: 113. Classes: benign, malignant."
    )  # an example, until there is one
    random = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = random.normal(0, 1, (300, 4)) + 1.5 * y[:, None]

    def choose(name, text):
        with lab_page.page.expect_file_chooser() as chooser:
            panel.get_by_role("button", name="Choose a table").click()
        chooser.value.set_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})

    kinds = np.array(["ash", "birch", "<oak>"])[y]
    rows = [",".join([kind, *map(str, row)]) for kind, row in zip(kinds, x.tolist(), strict=True)]
    choose("trees.csv", "\n".join(["class,a,b,c,d", *rows]))
    assert lab_page.says("own_table", "Rows to train on: 216, to test on: 60. Classes: <oak>, ash, birch.")
    words = lab_page.words("own_table")
    assert re.search(r"[Dd]istilled − alone: [+−]\d+\.\d percentage points, 95 % interval", words)
    for bad, said in (
        ("\n".join(["class,a,b,c,d", *rows, "ash,,1,2,3"]), "The uploaded file has missing values in 'a' (line 302)"),
        ("\n".join(["class,a,b,c,d", *rows * 600]), "bytes; accepted are at most 5,000,000."),
        ("\n".join(["class,a,b,c,d", *rows[:60]]), "This panel needs 50 rows to train on; the table has 42 of them."),
    ):
        choose("bad.csv", bad)
        lab_page.page.wait_for_function("said => labPanel('own_table').innerText.includes(said)", arg=said)
        assert "kdlab-stale" in panel.get_attribute("class")
        above, below = (panel.locator(part).bounding_box() for part in ("[data-kdlab=state] p", ".kdlab-result"))
        assert above["y"] + above["height"] <= below["y"]  # beside the controls, not below the picture


WIDTH = 690  # CSS pixels between the margins of A4

# What reaches over the edge of the paper, and what is on it though it can only be pressed
# (cells of a landscape say their numbers).
CROPPED = """() => [...document.querySelectorAll('#rendered_cells *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && !e.closest('.kdlab-hidden, mjx-assistive-mml') && box.right > innerWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""
BUTTONS = """() => [...document.querySelectorAll('button:not(.kdlab-cells button), .kd-code summary')]
    .filter(e => e.checkVisibility()).length"""


def test_a_chapter_is_printed_in_pages_with_all_that_it_computes(lab_page, tmp_path):
    page = lab_page.page
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.get_by_role("button", name="Print this page").click()
    page.wait_for_function("window.printed", timeout=300_000)
    empty = ".kdlab-empty, [data-kdlab=figure]:not(:has(img[src]))"
    assert page.locator(empty).count() == 0
    page.wait_for_function("!document.documentElement.classList.contains('kdlab-printing')")

    margins = dict.fromkeys(("left", "right", "top", "bottom"), "14mm")
    page.pdf(path=tmp_path / "chapter.pdf", format="A4", margin=margins)
    pages = PdfReader(tmp_path / "chapter.pdf").pages
    assert 8 <= len(pages) <= 25
    words = [" ".join(one.extract_text().split()) for one in pages]
    assert words[0].startswith("kdlab Response-based distillation")
    everything = " ".join(words)
    for said in (
        "Distilled: better than alone.",
        "Five situations on one axis",
        "Distillation helps by 0.2 points",
        "Romero et al.",
    ):
        assert said in everything, said
    assert "Distilling the Knowledge in a Neural Network" in " ".join(words[-2:])

    # No figure is cut in two: it would be on two pages.
    drawn = page.locator("[data-kdlab=figure] img").evaluate_all("all => all.filter(e => e.checkVisibility()).length")
    assert drawn >= 12
    pads = page.locator("canvas.kdlab-ink").count()
    assert sum(len(one.images) for one in pages) == drawn + pads
    page.emulate_media(media="print")
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    assert page.evaluate(CROPPED) == []
    assert page.evaluate(BUTTONS) == 0
