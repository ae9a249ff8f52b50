"""Chapter 5 as a person uses it: weights are rounded, a range is measured, a student is converted and downloaded."""

import re

NAME = "05_tinyml_export"
QUERY = "?bits=9&draw=3&set=up+to+200+samples&data=digits"


def test_the_address_is_read_and_what_it_may_not_say_is_named(lab_page):
    said = "[data-kdlab=page] [role=status]"
    lab_page.page.wait_for_function(f"document.querySelector('{said}')?.textContent", timeout=120_000)
    assert "bits = “9”; accepted is a whole number from 2 to 8" in lab_page.page.locator(said).text_content()
    one = lab_page.settled("measured")
    set_of = one.locator("select").nth(2).evaluate("e => e.selectedOptions[0].text.replace(/\\s/g, ' ')")
    assert set_of == "up to 200 samples"
    assert re.search(r"S = .* / 255 = .*; Z = round", one.inner_text())


def test_bits_are_moved_by_key_and_the_picture_follows(lab_page):
    one = lab_page.settled("channel")
    assert "7 levels" in one.locator("[data-kdlab=figure] img").get_attribute("alt")
    one.get_by_role("slider", name="bits").press("End")
    lab_page.page.wait_for_function("location.search.includes('bits=8')")
    lab_page.settled("channel")
    assert "255 levels" in one.locator("[data-kdlab=figure] img").get_attribute("alt")
    assert "/ 127 =" in one.inner_text()


def test_what_is_downloaded_is_the_file_of_the_table(lab_page):
    table = lab_page.settled("converted")
    forms = table.locator("tbody tr").all_inner_texts()
    assert [form.split("\t")[0] for form in forms][:3] == ["student, Keras", "student, float32", "student, int8"]
    one = lab_page.settled("c_source")
    with lab_page.page.expect_download() as download:
        one.get_by_role("link", name="Download student_few.h").click()
    source = download.value.path().read_text()
    length = int(re.search(r"student_few_tflite_len = (\d+);", source)[1])
    assert len(re.findall(r"0x[0-9a-f]{2},", source)) == length
    assert f"{length / 1024:.3g} KiB" in forms[2]


def test_boards_name_their_sources_and_what_does_not_fit(lab_page):
    one = lab_page.settled("boards")
    assert "EfficientNetB0, a byte a weight: file 3,957 KiB" in one.locator("[data-kdlab=figure] img").get_attribute(
        "alt"
    )
    assert one.locator("tbody tr a[href^='https://']").count() == one.locator("tbody tr").count() == 6
    assert "✗ does not fit: flash 386" in one.inner_text()


def test_a_run_is_stopped_and_nothing_is_lost(lab_page):
    one = lab_page.panel("converted_nucleus_student")
    one.scroll_into_view_if_needed()
    one.get_by_role("button", name="Train and convert").click()
    one.get_by_role("button", name="Stop").click()
    one.get_by_text("Stopped before the student was trained: nothing was converted").wait_for(timeout=120_000)
    assert one.get_by_role("button", name="Train and convert").is_enabled()


def test_page_keeps_the_promises_of_every_page(lab_page, keeps_the_promises_of_every_page):
    keeps_the_promises_of_every_page(lab_page.page)
