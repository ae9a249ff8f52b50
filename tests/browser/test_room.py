"""A chapter for the room, by `?present=1`, and on paper."""

import re
from urllib.parse import urlsplit

from pypdf import PdfReader

PROSE = "details.kd-prose:not([open])"
WIDTH = 690  # CSS pixels between the margins of A4

# What reaches over the edge of the paper, and what is on it though it can only be pressed.
CROPPED = """() => [...document.querySelectorAll('#rendered_cells *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && !e.closest('.kdlab-hidden, mjx-assistive-mml') && box.right > innerWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""
BUTTONS = "() => [...document.querySelectorAll('button, .kd-code summary')].filter(e => e.checkVisibility()).length"


def test_with_present_prose_is_folded_and_all_is_larger(open_lab_page, server, fits_and_is_accessible):
    lab = open_lab_page(server.page("01_temperature_softening", "?present=1&T=8"), width=1280, height=720)
    page, panel = lab.page, lab.settled("softened")
    assert page.locator(f"{PROSE} > summary h1").inner_text() == "Temperature softening"
    assert page.locator(f"{PROSE} > summary h2").count() >= 6
    assert not page.get_by_text("You will be able to").is_visible()
    page.locator("details.kd-prose h1").click()
    assert page.get_by_text("You will be able to").is_visible()
    assert round(panel.evaluate("e => e.currentCSSZoom"), 3) == 1.3

    # The pointer meets the slider where it is seen, and figures have the pixels of the screen.
    handle = panel.get_by_role("slider", name="T", exact=True)
    handle.drag_to(panel.locator(".noUi-base").first)  # to its middle
    lab.settled("softened")
    assert abs(float(handle.get_attribute("aria-valuenow")) - 1.5) <= 0.13  # of the exponents −3 to 6
    lab.settled("answer")
    sharp = """name => {
        const image = labPanel(name).querySelector("img");
        return Math.abs(image.naturalWidth - image.getBoundingClientRect().width) < 3;
    }"""
    page.wait_for_function(sharp, arg="answer", timeout=20_000)
    assert re.search(r"\bpresent=1\b", urlsplit(page.url).query)
    fits_and_is_accessible(page, height=720)

    page.evaluate("() => addEventListener('click', (event) => event.preventDefault())")
    link = page.locator(".kd-nav .kd-next").first
    link.click()
    assert link.get_attribute("href").endswith("/02_response_based_kd.ipynb?present=1")


def test_a_chapter_is_printed_in_pages_with_all_that_it_computes(open_lab_page, server, tmp_path):
    lab = open_lab_page(server.page("02_response_based_kd"))
    page = lab.page
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
        "Distilled is better than alone.",
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
