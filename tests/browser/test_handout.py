"""``kdlab handout``: chapter 1 as a page, opened from the disk, where there is neither a kernel nor a network."""

import os

import numpy as np
import psutil
import pytest

import kdlab
from kdlab.commands.command_line import main
from kdlab.lab.handout import widgets_script
from kdlab.lab.pages import CHAPTERS

PAGE = f"{CHAPTERS[0].name}.html"


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    """The folder. Without a network the tests skip, unless KDLAB_REQUIRE_NETWORK says they must not."""
    try:
        widgets_script()
    except OSError as error:
        if os.environ.get("KDLAB_REQUIRE_NETWORK"):
            raise
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("handout") / "new"
    assert main(["handout", str(folder), "--chapter", "1"]) == 0
    assert not any("ipykernel" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))
    return folder


@pytest.fixture(scope="module")
def page(handout, browser):
    """The page, opened once; at the end it may have asked for nothing but its two files, and logged no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page, asked, problems = context.new_page(), set(), []
    page.on("request", lambda request: asked.add(request.url))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((handout / PAGE).as_uri())
    page.wait_for_selector("[data-kdlab=bars] td", timeout=60_000)
    yield page
    context.close()
    assert problems == []
    files = {(handout / PAGE).as_uri(), (handout / "static" / "widgets.js").as_uri()}
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == files


def test_bars_move_with_their_slider(page):
    bars = page.locator("[data-kdlab=bars]")
    slider = page.locator(".kdlab-panel", has=bars).get_by_role("slider", name="T", exact=True)
    assert page.get_by_role("slider").count() == 1  # what would move nothing is words

    def columns():
        rows = bars.locator("tbody tr").evaluate_all(
            "all => all.map(r => [...r.cells].slice(1).map(c => +c.dataset.value))"
        )
        return np.array(rows).T

    slider.focus()
    for key, temperature in (("Home", 0.125), ("ArrowRight", 2**-2.875), ("End", 64)):
        page.keyboard.press(key)
        assert bars.locator("thead th").last.inner_text() == f"T = {temperature:.3g}"
        hard, at_one, softened = columns()
        assert sorted(hard) == [0] * 9 + [1]
        np.testing.assert_allclose(softened, kdlab.softmax(np.log(at_one), temperature), atol=1e-9)


def test_figures_and_words_are_there_and_nothing_says_that_it_failed(page):
    figures = page.locator("[data-kdlab=figure] img").evaluate_all("all => all.map(e => [e.alt, e.naturalWidth])")
    assert len(figures) == 9
    assert all(len(alt) > 40 and width > 500 for alt, width in figures)
    assert "The 61 test 3s. hard labels: mean 0.00" in figures[4][0]
    assert set(page.locator(".kd-nav").all_inner_texts()) == {"kdlab"}  # the other chapters are not there
    text = page.locator("main").inner_text()
    for words in (
        "Shown for T = 4, digit = 0.",
        "least certain first = digit 0, a 6.",
        "At T = 4 the teacher leaves 1.10 of 3.32",
    ):
        assert words in text
    for wrong in ("Error", "Failed", "Loading widget", "Click to show", "run the notebook", "$$", "\\frac"):
        assert wrong not in text


def test_code_is_folded_but_for_what_only_makes_sense_with_it(page):
    folded = page.locator("details.kd-code:not([open])").all_text_contents()
    opened = page.locator("details.kd-code[open]").all_text_contents()
    assert any("def soften(z, T):" in code for code in folded)
    assert len(opened) == 3
    assert "largest difference to kdlab.softmax" in opened[0]
    assert "'largest difference to kdlab.softmax: " in page.locator("main").inner_text()


def test_formulas_need_no_program(page):
    assert page.locator("math").count() > 10
    rows = page.locator("math mtable").first.locator("mtr").all_inner_texts()
    assert len(rows) == 2
    assert page.locator("math").first.evaluate("e => e.getBoundingClientRect().height") > 30  # a fraction


def test_it_fits_and_is_accessible(page, fits_and_is_accessible):
    fits_and_is_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_pages_that_are_there_are_not_written_over(handout, capsys):
    before = (handout / PAGE).read_bytes()
    assert main(["handout", str(handout), "--chapter", "1"]) == 2
    assert f"{PAGE} exists already; --force replaces it, or give another folder" in capsys.readouterr().err
    assert (handout / PAGE).read_bytes() == before
