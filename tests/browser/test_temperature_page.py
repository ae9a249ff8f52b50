"""Chapter 1 as a person uses it: ipywidgets' sliders, bars drawn in the browser, figures drawn by the kernel."""

import json
import re
from importlib.metadata import version

import numpy as np
import pytest

import kdlab
from kdlab.datasets.dataset import digits_logits

NAME = "01_temperature_softening"
TEACHER, LABELS = digits_logits()["teacher"], kdlab.load("digits").test.y
UNSURE = np.argsort(np.ptp(np.sort(kdlab.softmax(TEACHER))[:, -2:], axis=1))


def bars(panel, column=-1):
    """The numbers of a column of the bars that the browser draws, all rows."""
    return panel.locator(".kdlab-bars tbody tr").evaluate_all(
        "(rows, column) => rows.map(row => Number([...row.querySelectorAll('td')].at(column).dataset.value))", column
    )


def drawn(panel):
    return int(panel.locator("[data-kdlab=figure]").first.get_attribute("data-drawn"))


def three_largest(logits, temperature):
    p = kdlab.softmax(logits, temperature)
    return ", ".join(f"{k} {p[k]:.3g}" for k in np.argsort(-p)[:3])


def test_keyboard_moves_t_and_the_browsers_bars_are_softmax(lab_page):
    panel = lab_page.settled("softened")
    for keys in (["Home"], ["ArrowRight"] * 5, ["PageUp"], ["End"], ["ArrowLeft"] * 3):
        temperature = 2 ** lab_page.press("softened", "T", *keys)
        assert bars(panel) == pytest.approx(kdlab.softmax(TEACHER[UNSURE[0]], temperature).tolist(), rel=1e-6)
        assert panel.locator(".kdlab-bars th").all_inner_texts()[3] == f"T = {temperature:.3g}"
    assert bars(panel, 0) == np.eye(10)[LABELS[UNSURE[0]]].tolist()
    assert bars(panel, 1) == pytest.approx(kdlab.softmax(TEACHER[UNSURE[0]]).tolist(), rel=1e-6)


def test_figures_are_drawn_again_and_say_their_numbers(lab_page):
    panel = lab_page.settled("answer")
    lab_page.press("answer", "T", "Home")
    lab_page.press("answer", "digit", "Home")
    for name, keys in (("T", ["PageUp"]), ("T", ["End"]), ("digit", ["ArrowRight"] * 3)):
        before = drawn(panel)
        moved = lab_page.press("answer", name, *keys)
        assert drawn(panel) > before
        temperature = 2**moved if name == "T" else 64
        digit = UNSURE[int(moved) if name == "digit" else 0]
        assert lab_page.says("answer", f"T = {temperature:.3g}: {three_largest(TEACHER[digit], temperature)}.")
        assert lab_page.says("answer", f"hard label: {LABELS[digit]} 1,")


@pytest.mark.parametrize("width", [1280, 390])
def test_figures_have_the_pixels_of_their_column(lab_page, width):
    lab_page.page.set_viewport_size({"width": width, "height": 900})
    panel = lab_page.panel("answer")
    fits = """name => {
        const panel = labPanel(name), image = panel.querySelector("img");
        const room = Math.min(panel.querySelector("[data-kdlab=state]").clientWidth, 1000);
        return image.naturalWidth === Math.floor(room * devicePixelRatio) && Math.abs(image.clientWidth - room) < 1;
    }"""
    lab_page.page.wait_for_function(fits, arg="answer", timeout=20_000)
    assert panel.locator("img").bounding_box()["width"] > 300


def test_a_digit_is_chosen_with_the_keyboard(lab_page):
    panel = lab_page.settled("softened")
    panel.locator(".kdlab-cells button[tabindex='0']").focus()
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", 39), ("ArrowLeft", 38)):
        lab_page.page.keyboard.press(key)
        lab_page.page.keyboard.press("Enter")
        lab_page.settled("softened")
        chosen = panel.locator(".kdlab-cells button[aria-pressed='true']")
        assert chosen.count() == 1
        assert chosen.get_attribute("aria-label") == f"digit {place}, a {LABELS[UNSURE[place]]}"
        assert bars(panel, 0) == np.eye(10)[LABELS[UNSURE[place]]].tolist()
        assert bars(panel, 1) == pytest.approx(kdlab.softmax(TEACHER[UNSURE[place]]).tolist(), rel=1e-6)
    across = panel.locator(".kdlab-cells").evaluate("e => getComputedStyle(e).gridTemplateColumns.split(' ').length")
    lab_page.page.keyboard.press("ArrowUp")
    assert panel.locator(".kdlab-cells button:focus").get_attribute("aria-label").startswith(f"digit {38 - across},")


def test_own_logits_good_and_bad(lab_page):
    panel = lab_page.settled("softened")
    box = panel.get_by_label("own logits")
    box.fill("6, 2, 0, 0, 0, 0, 0, 0, 0, -3.5")
    box.press("Enter")
    lab_page.settled("softened")
    own = np.array([6, 2, 0, 0, 0, 0, 0, 0, 0, -3.5])
    assert bars(panel, 0) == pytest.approx(kdlab.softmax(own).tolist(), rel=1e-6)  # there is no hard label
    for bad, came in (("6, 2", "2 numbers"), ("6, two, 0, 0, 0, 0, 0, 0, 0, 0", "'two'"), ("<b>", "'<b>'")):
        box.fill(bad)
        box.press("Enter")
        lab_page.page.wait_for_function("came => labPanel('softened').innerText.includes(`got ${came}`)", arg=came)
        said = lab_page.said("softened")
        assert said.startswith(f"logits must be 10 finite numbers with commas or blanks between them, got {came}.")
        assert "What is shown was made for" in said
        assert "own logits = 6, 2, 0" in said
        assert "kdlab-stale" in panel.get_attribute("class")
        assert bars(panel, 0) == pytest.approx(kdlab.softmax(own).tolist(), rel=1e-6)
    box.fill("")
    box.press("Enter")
    lab_page.settled("softened")
    assert lab_page.said("softened") == ""
    assert "kdlab-stale" not in panel.get_attribute("class")


def test_one_t_for_all_panels_and_only_those_on_the_screen_compute(lab_page):
    lab_page.settled("two_soft_targets")
    lab_page.press("two_soft_targets", "T", "Home")
    lab_page.press("answer", "T", "End")
    lab_page.settled(
        "answer"
    )  # the kernel has heard that the other panel left the screen, and what it drew came before
    before = lab_page.page.evaluate("labPanel('two_soft_targets').querySelector('img').alt")
    moved = lab_page.press("answer", "T", "Home", *["ArrowRight"] * 13)
    assert moved == -1.375
    shown = lab_page.page.evaluate(
        """() => [...document.querySelectorAll(".widget-slider")].filter(e => e.querySelector(".widget-label").textContent === "T")
            .map(e => e.querySelector(".noUi-handle").ariaValueNow)"""
    )
    assert shown.count("-1.4") >= 6  # all but the one that is its own
    off_screen = "labPanel('two_soft_targets').querySelector('img').alt"
    assert lab_page.page.evaluate(off_screen) == before
    digit = UNSURE[
        int(
            float(
                lab_page.page.evaluate("labPanel('two_soft_targets').querySelectorAll('.noUi-handle')[1].ariaValueNow")
            )
        )
    ]
    assert lab_page.says("two_soft_targets", f"teacher: {three_largest(TEACHER[digit], 2**-1.375)};")  # on the screen


def test_a_cell_of_the_table_shows_the_digits_behind_it(lab_page):
    panel = lab_page.settled("behind")
    assert "Digits 3, by their share of 8" in lab_page.words("behind")
    panel.locator(".kdlab-cells button[tabindex='0']").focus()
    lab_page.page.keyboard.press("ArrowDown")
    lab_page.page.keyboard.press(" ")
    rows = np.flatnonzero(LABELS == 4)
    best = np.sort(100 * kdlab.softmax(TEACHER[rows], 4.0)[:, 8])[::-1][:3]
    said = "; ".join(f"{share:.2g} %" for share in best)
    assert lab_page.says("behind", f"Digits 4, by their share of 8 at T = 4: {said};")


def test_students_that_never_saw_a_three(lab_page):
    said = lab_page.words("heard_of_threes")
    means = [float(mean) for mean in re.findall(r"mean ([\d.]+)", said)]
    assert means[0] == 0  # hard labels mention no 3
    lab_page.press("heard_of_threes", "T", "Home", *["PageUp"] * 9, *["ArrowRight"] * 3)
    assert lab_page.says("heard_of_threes", "softened, T = 8: mean")
    said = lab_page.words("heard_of_threes")
    assert [float(mean) for mean in re.findall(r"mean ([\d.]+)", said)][1] > 30


def test_questions_are_answered_with_the_keyboard(lab_page):
    page = lab_page.page
    prompts = "A teacher's logits are (6, 2, 0).", "You raise T from 1 to 10."
    first, second = (page.locator(".kdlab-question", has_text=prompt) for prompt in prompts)
    first.scroll_into_view_if_needed()
    first.get_by_label("answer").fill("0.982")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    first.get_by_text("✗ Not quite. That is T = 1: the logits were not divided by 2.").wait_for(timeout=10_000)
    first.get_by_label("answer").fill("0.844")
    page.keyboard.press("Enter")
    first.get_by_text("✓ Right.").wait_for(timeout=10_000)
    second.get_by_label("Another class becomes the likeliest").focus()
    page.keyboard.press("Space")
    second.get_by_text("✓ Right. z / T keeps the order").wait_for(timeout=10_000)
    assert second.locator("[role=status]").count() == 1


def test_show_the_code_opens_the_cell_and_nothing_else_of_the_server(lab_page):
    page = lab_page.page
    lab_page.panel("answer")
    page.locator("[cell-index]:has([data-test=answer]) + .kd-code summary").focus()
    page.keyboard.press("Enter")
    code = page.locator(".kd-code[open] pre").inner_text()
    assert code.startswith("def soften(z, T):")
    assert code.rstrip().endswith("lab.interact(answer, T=T, digit=digit)")
    source = page.content()
    for hidden in (
        "digits_logits().values()",
        "SCENARIOS[",
        "def never_saw_a_three",
        "def soft_gradient",
        "train_digits_teacher",
    ):
        assert hidden not in page.inner_text("body"), hidden
        assert hidden not in source, hidden
    assert "largest difference" not in source  # what a lab cell would show


# ---- the URL, and what the browser keeps


# Where there is no clipboard, the link is shown.
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
PROMPT, NUMBER = "You raise T from 1 to 10.", "A teacher's logits are (6, 2, 0)."


def question(page, prompt):
    found = page.locator(".kdlab-question", has_text=prompt)
    found.scroll_into_view_if_needed(timeout=60_000)
    return found


def test_a_link_its_copy_answers_over_a_reload_and_garbage_in_the_link(server, open_lab_page):
    opened = open_lab_page(server.page(NAME, "?token=secret&T=8&digit=7&utm_source=mail"), script=NO_CLIPBOARD)
    page = opened.page

    # Values of the URL are there, and what is moved is written.
    assert opened.says("answer", f"T = 8: {three_largest(TEACHER[UNSURE[7]], 8)}.")
    opened.press("answer", "digit", "ArrowRight")
    page.wait_for_function("location.search === '?token=secret&T=8&digit=8&utm_source=mail'")

    # A link is copied without the token.
    page.get_by_role("button", name="Copy a link to these values").click()
    said = page.locator("[data-kdlab=page] [role=status]")
    assert said.inner_text() == f"The link: {server.page(NAME, '?T=8&digit=8&utm_source=mail')}"

    # What is at its default is not written.
    opened.press("answer", "T", *["ArrowLeft"] * 8)
    page.wait_for_function("location.search === '?token=secret&digit=8&utm_source=mail'")

    # Questions are answered.
    assert page.get_by_role("button", name="Download my answers").count() == 0
    question(page, PROMPT).get_by_label("A class of probability 0.001 gets a larger share").check()
    question(page, PROMPT).get_by_text("✗ Not quite. It does happen").wait_for(timeout=30_000)
    question(page, PROMPT).get_by_label("Another class becomes the likeliest").check()
    question(page, PROMPT).get_by_text("✓ Right.").wait_for(timeout=30_000)
    number = question(page, NUMBER)
    number.get_by_label("answer").fill("0.982")
    page.keyboard.press("Enter")
    number.get_by_text("✗ Not quite.").wait_for(timeout=30_000)

    # A reload, whose kernel is new, loses neither.
    page.reload()
    assert opened.says("answer", f"T = 4: {three_largest(TEACHER[UNSURE[8]], 4)}.")
    question(page, PROMPT).get_by_text("✓ Right. z / T keeps the order").wait_for(timeout=60_000)
    assert question(page, PROMPT).get_by_label("Another class becomes the likeliest").is_checked()
    assert question(page, NUMBER).get_by_label("answer").input_value() == "0.982"

    # Another tab has the same answers, and what is answered there is answered here.
    assert question(page, NUMBER).locator("[role=status]").inner_text().startswith("✗ Not quite.")
    other = page.context.new_page()
    other.goto(server.page(NAME))
    question(other, PROMPT).get_by_text("✓ Right.").wait_for(timeout=60_000)
    question(other, NUMBER).get_by_label("answer").fill("0.844")
    other.keyboard.press("Enter")
    question(page, NUMBER).get_by_text("✓ Right.").wait_for(timeout=30_000)
    assert question(page, NUMBER).get_by_label("answer").input_value() == "0.844"

    # Answers are downloaded, and forgotten.
    box = page.locator(".kdlab-answers")
    assert box.locator("span").inner_text() == "Answered on this page: 2, of them correct: 2. This browser keeps them."
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
    assert (second["answer"], second["correct"], second["tries"]) == ("0.844", True, 2)
    box.get_by_role("button", name="Forget them").click()
    for tab in (page, other):
        tab.wait_for_function("document.querySelectorAll('.kdlab-question input:checked').length === 0")
    other.close()

    # Garbage in the URL is said, and the page keeps its defaults.
    page.goto(server.page(NAME, "?T=abc&digit=3.5&picture=40&cell=-1&logits=1,2&T=8"))
    page.wait_for_selector(".kdlab-panel [data-kdlab=state] p", timeout=120_000)
    page.wait_for_function("document.querySelector('[data-kdlab=page] [role=status]')?.innerText", timeout=60_000)
    assert said.inner_text() == " ".join(
        f"The link asks for {name} = “{text}”; accepted is {accepted}. The page keeps {kept}."
        for name, text, accepted, kept in (
            ("T", "abc", "a number from 0.125 to 64", "4"),
            ("digit", "3.5", "a whole number from 0 to 599", "0"),
            ("picture", "40", "a whole number from 0 to 39", "0"),
            ("cell", "-1", "a whole number from 0 to 99", "38"),
        )
    )
    assert opened.says("answer", f"T = 4: {three_largest(TEACHER[UNSURE[0]], 4)}.")
    opened.panel("softened")
    page.wait_for_function("labPanel('softened').innerText.includes('logits must be 10 finite numbers')")
    assert "What is shown" not in opened.said("softened")
    page.wait_for_function("location.search === '?logits=1%2C2'")

    # What was forgotten does not come back.
    question(page, PROMPT)
    page.get_by_text("Copy a link to these values").wait_for(timeout=60_000)
    assert page.locator(".kdlab-feedback.kdlab-right, .kdlab-feedback.kdlab-wrong").count() == 0


def test_page_keeps_the_promises_of_every_page(lab_page, keeps_the_promises_of_every_page):
    for name in ("softened", "answer", "behind"):
        lab_page.settled(name)
    keeps_the_promises_of_every_page(lab_page.page)
