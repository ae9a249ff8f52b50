"""A chapter for the room, by `?present=1`, in which no other template can be asked for."""

import re
from urllib.parse import urlsplit

PROSE = "details.kd-prose:not([open])"


def test_with_present_prose_is_folded_and_all_is_larger_and_no_other_template_brings_lab_cells_back(
    open_lab_page, light_server, fits_and_is_accessible
):
    lab = open_lab_page(
        light_server.page("01_temperature_softening", "?present=1&template=lab&T=8"), width=1280, height=720
    )
    page = lab.page
    assert lab.says("how_soft", "At T = 8 the teacher leaves")
    for hidden in ("largest difference", "def soft_gradient", "right of 600"):
        assert hidden not in page.content()

    panel = lab.settled("softened")
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
