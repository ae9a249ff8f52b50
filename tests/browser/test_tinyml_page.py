"""Chapter 5 as a person uses it: a student is converted, held against boards, compared in pairs, rounded, downloaded."""

import re

import pytest

from kdlab.export.boards import BOARDS
from kdlab.lab.tinyml_state import DEFAULTS

NAME = "05_tinyml_export"
SIGNS = {"fits": "✓ fits", "close": "≈ close", "does not fit": "✗ does not fit"}


def panel(page, name):
    return page.locator(f'[data-panel="{name}"]')


def wait_for(page, condition):
    page.wait_for_function(condition, timeout=120_000)


def rows(page, name):
    """The cells of a panel's table, row after row."""
    return (
        panel(page, name)
        .locator("tbody tr")
        .evaluate_all("rows => rows.map(row => [...row.children].map(cell => cell.textContent))")
    )


def size(text):
    number, unit = text.split()
    return float(number) * {"bytes": 1, "KiB": 1024, "MiB": 1024**2}[unit]


@pytest.fixture
def page(server, open_page):
    """The page with both students and teacher converted."""
    page = open_page(server.page(NAME, "?bits=3&width=huge"), '[data-panel="convert"]')
    panel(page, "convert").scroll_into_view_if_needed()
    wait_for(page, "document.querySelectorAll('[data-panel=convert] tbody tr').length === 6")
    wait_for(page, "atRest('convert')")
    return page


def test_a_student_goes_all_the_way_and_the_page_is_whole(page, fits_and_is_accessible):
    # What the address asks for and there is not.
    assert "width = “huge”; accepted is one of narrow, medium, wide" in panel(page, "convert").inner_text()

    # Converted: the file, and what it needs.
    forms = rows(page, "convert")
    assert [row[0] for row in forms][:3] == ["student, Keras", "student, LiteRT float32", "student, LiteRT int8"]
    assert [row[2] for row in forms][:2] == ["", "100.0 %"]
    assert (forms[1][4], forms[2][4]) == ("320 bytes", "80 bytes")
    assert size(forms[2][3]) < size(forms[1][3]) < size(forms[4][3])
    assert all(" to " in row[6] for row in forms)

    # Boards: the verdicts are those of these numbers.
    boards = rows(page, "boards")
    assert [row[0] for row in boards] == [board.name for board in BOARDS]
    for board, row in zip(BOARDS, boards, strict=True):
        for form, cell in zip((forms[1], forms[2], forms[4], forms[5]), row[3:7], strict=True):
            assert cell.startswith(SIGNS[board.verdict(size(form[3]), size(form[4]))])
    assert panel(page, "boards").locator("svg.kd-memory path[data-bytes]").count() == 8

    # The C source that is downloaded holds the file of the table.
    panel(page, "source").scroll_into_view_if_needed()
    with page.expect_download() as download:
        panel(page, "source").get_by_role("link", name="Download student_few.h").click()
    source = download.value.path().read_text()
    length = int(re.search(r"student_few_tflite_len = (\d+);", source)[1])
    assert len(re.findall(r"0x[0-9a-f]{2},", source)) == length == pytest.approx(size(forms[2][3]), abs=6)
    assert source.splitlines()[4] in panel(page, "source").locator("pre").inner_text()

    # Fewer bits, from the keyboard and from the address.
    panel(page, "bits").scroll_into_view_if_needed()
    wait_for(page, "document.querySelectorAll('[data-panel=bits] .kd-rounded').length === 16")
    assert "With 3 bits a weight" in panel(page, "bits").inner_text()

    def levels():
        values = panel(page, "bits").locator(".kd-rounded").evaluate_all("all => all.map(e => e.dataset.value)")
        return len(set(values))

    assert levels() <= 7
    panel(page, "bits").get_by_label("Bits", exact=True).focus()
    page.keyboard.press("End")
    assert levels() > 7
    assert "With 8 bits a weight" in panel(page, "bits").inner_text()
    page.wait_for_function("location.search.includes('bits=8')")

    # Pairs: a stop keeps those that are done.
    pairs = panel(page, "pairs")
    pairs.scroll_into_view_if_needed()
    pairs.get_by_role("button", name="Train and quantise the pairs").click()
    wait_for(page, "/converted: [3-9] of 10/.test(document.querySelector('[data-panel=pairs]').innerText)")
    pairs.get_by_role("button", name="Stop").click()
    wait_for(page, "document.querySelector('[data-panel=pairs] .kd-verdict').textContent")
    wait_for(page, "/pairs in/.test(document.querySelector('[data-panel=pairs]').innerText)")
    done = int(re.search(r"(\d+) pairs in", pairs.inner_text())[1])
    assert 3 <= done < 10
    assert pairs.locator(".kd-run").count() == 4 * done
    assert pairs.locator("tbody tr").count() == 4

    # Nuclei take their time: started by hand, watched, stopped; what was there stays, marked as of before.
    convert = panel(page, "convert")
    convert.scroll_into_view_if_needed()
    convert.get_by_label("Task", exact=True).select_option("nuclei")
    convert.get_by_role("button", name="Train and convert").click()
    wait_for(page, "/Training: [1-9]/.test(document.querySelector('[data-panel=convert]').innerText)")
    convert.get_by_role("button", name="Stop").click()
    wait_for(page, "/Stopped: nothing was converted/.test(document.querySelector('[data-panel=convert]').innerText)")
    assert rows(page, "convert") == forms
    assert "the controls have moved on" in convert.inner_text()
    assert page.evaluate("new URLSearchParams(location.search).get('task')") == "nuclei"

    # All of it, filled, fits and is accessible.
    convert.get_by_label("Task", exact=True).select_option(DEFAULTS["task"])
    wait_for(page, "!document.querySelector('.kd-stale')")
    fits_and_is_accessible(page)
