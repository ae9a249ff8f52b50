"""Chapter 5 as a person uses it: weights are rounded, a range is measured, a student is converted and downloaded."""

import re

import pytest

NAME = "05_tinyml_export"
STATES = "[...document.querySelectorAll('[data-kdlab=state] p')].map(p => p.dataset.state)"


def panel(page, function):
    """The panel whose code, shown below it, calls ``function``."""
    code = page.locator(".kd-code", has_text=f"lab.interact({function},")
    return code.locator("xpath=preceding::*[contains(@class, 'kdlab-panel')][1]")


def at_rest(page, one):
    one.scroll_into_view_if_needed()
    one.locator(":is([data-kdlab=figure], table, pre)").first.wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(500)
    page.wait_for_function(f"!{STATES}.some(s => ['computing', 'waiting'].includes(s))", timeout=120_000)


@pytest.fixture(scope="module")
def opened(browser, server):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, problems = context.new_page(), []
    page.on("console", lambda m: m.type == "error" and problems.append(m.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.page(NAME, "?bits=9&draw=3&set=200+samples"), timeout=120_000)
    page.wait_for_selector(".noUi-handle", timeout=120_000)
    yield page
    page.close(run_before_unload=True)
    context.close()
    assert problems == []


def test_the_address_is_read_and_what_it_may_not_say_is_named(opened):
    said = "[data-kdlab=page] [role=status]"
    opened.wait_for_function(f"document.querySelector('{said}').textContent !== ''", timeout=120_000)
    assert "bits = “9”; accepted is a whole number from 2 to 8" in opened.locator(said).text_content()
    one = panel(opened, "measured")
    at_rest(opened, one)
    assert one.locator("select").nth(2).evaluate("e => e.selectedOptions[0].text.replace(/\\s/g, ' ')") == "200 samples"
    assert re.search(r"S = .* / 255 = .*; Z = round", one.inner_text())


def test_bits_are_moved_by_key_and_the_picture_follows(opened):
    one = panel(opened, "channel")
    at_rest(opened, one)
    assert "7 levels" in one.locator("[data-kdlab=figure] img").get_attribute("alt")
    one.get_by_role("slider", name="bits").press("End")
    opened.wait_for_function("location.search.includes('bits=8')")
    at_rest(opened, one)
    assert "255 levels" in one.locator("[data-kdlab=figure] img").get_attribute("alt")
    assert "/ 127 =" in one.inner_text()


def test_what_is_downloaded_is_the_file_of_the_table(opened):
    table = panel(opened, "converted")
    at_rest(opened, table)
    forms = table.locator("tbody tr").all_inner_texts()
    assert [form.split("\t")[0] for form in forms][:3] == ["student, Keras", "student, float32", "student, int8"]
    one = panel(opened, "c_source")
    at_rest(opened, one)
    with opened.expect_download() as download:
        one.get_by_role("link", name="Download student_few.h").click()
    source = download.value.path().read_text()
    length = int(re.search(r"student_few_tflite_len = (\d+);", source)[1])
    assert len(re.findall(r"0x[0-9a-f]{2},", source)) == length
    assert f"{length / 1024:.3g} KiB" in forms[2]


def test_boards_name_their_sources_and_what_does_not_fit(opened):
    one = panel(opened, "boards")
    at_rest(opened, one)
    assert "EfficientNetB0, a byte a weight: file 3,957 KiB" in one.locator("[data-kdlab=figure] img").get_attribute(
        "alt"
    )
    assert one.locator("tbody tr a[href^='https://']").count() == one.locator("tbody tr").count() == 6
    assert "✗ does not fit: flash 386" in one.inner_text()


def test_a_run_is_stopped_and_nothing_is_lost(opened):
    one = panel(opened, "converted_nucleus_student")
    one.scroll_into_view_if_needed()
    one.get_by_role("button", name="Train and convert").click()
    one.get_by_role("button", name="Stop").click()
    one.get_by_text("Stopped before the student was trained: nothing was converted").wait_for(timeout=120_000)
    assert one.get_by_role("button", name="Train and convert").is_enabled()


def test_the_page_fits_and_is_accessible(opened, fits_and_is_accessible):
    fits_and_is_accessible(opened)
