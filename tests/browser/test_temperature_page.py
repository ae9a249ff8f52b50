"""Chapter 1 as a person uses it."""

import numpy as np
import pytest

from kdlab.datasets.dataset import digits_logits
from kdlab.lab.temperature_state import TemperatureState
from kdlab.softening import dark_knowledge, entropy, softmax

NAME = "01_temperature_softening"
TEACHER = digits_logits()["teacher"].astype(float)


def bars(page, column=4, panel="bars"):
    """Return the probabilities a column of the bars shows, read back from the page."""
    page.wait_for_timeout(200)  # a panel that is not on the screen follows when the hand rests
    cells = page.locator(f'[data-panel="{panel}"] tbody tr td:nth-child({column + 1})')
    return np.array([float(value) for value in cells.evaluate_all("cells => cells.map(c => c.dataset.value)")])


def slider(page, panel="bars"):
    return page.locator(f'[data-panel="{panel}"] input[type=range]').first


def shown_temperature(page, panel="bars"):
    return float(page.locator(f'[data-panel="{panel}"] .kd-control .kd-box').first.input_value())


def test_keyboard_moves_the_slider_and_the_bars_are_softmax(page_at):
    page = page_at()
    logits = TEACHER[TemperatureState().digit]
    np.testing.assert_allclose(bars(page), softmax(logits, 4), atol=1e-6)
    np.testing.assert_allclose(bars(page, 3), softmax(logits, 1), atol=1e-6)
    slider(page).focus()
    seen = set()
    for key in ["ArrowRight"] * 5 + ["PageUp", "Home", "End"] + ["ArrowLeft"] * 3:
        page.keyboard.press(key)
        exponent = float(slider(page).input_value())
        seen.add(exponent)
        temperature = float(f"{10**exponent:.3g}")
        np.testing.assert_allclose(bars(page), softmax(logits, temperature), atol=1e-6)
        assert (np.argsort(bars(page)) == np.argsort(logits)).all()
    assert len(seen) > 8
    expected = f"{entropy(softmax(logits, temperature), base=2):.2f} bits"
    assert page.locator('[data-panel="bars"] tfoot td').last.inner_text() == expected


def test_picking_a_digit_with_mouse_and_keyboard(page_at):
    page = page_at()
    order = TemperatureState().order
    digits = page.locator('[data-panel="bars"] .kd-digit')
    digits.nth(2).click()
    np.testing.assert_allclose(bars(page), softmax(TEACHER[order[2]], 4), atol=1e-6)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    np.testing.assert_allclose(bars(page), softmax(TEACHER[order[3]], 4), atol=1e-6)
    assert digits.nth(3).get_attribute("aria-pressed") == "true"


def test_all_panels_follow_one_temperature(page_at):
    page = page_at()
    slider(page, "knowledge").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(400)  # panels that are not on the screen follow when the hand rests
    for panel in ("bars", "knowledge", "gradients", "limits"):
        assert shown_temperature(page, panel) == pytest.approx(0.1)


def test_dark_knowledge_is_the_mean_softened_distribution(page_at, open_page):
    page = page_at(temperature=3)
    cells = page.locator(".kd-cell").evaluate_all("cells => cells.map(c => Number(c.dataset.value))")
    expected = dark_knowledge(TEACHER, TemperatureState().test.y, 3)
    np.testing.assert_allclose(np.reshape(cells, (10, 10)), expected, atol=1e-6)
    assert expected[9, 3] > expected[9, 6]  # the page's prose says so
    page.locator(".kd-cell").nth(52).click()
    assert page.locator('[data-panel="knowledge"] h3').inner_text() == "Which 5s look like 2s to this teacher"
    labels = TemperatureState().test.y
    fives = np.flatnonzero(labels == 5)
    best = fives[np.argsort(-softmax(TEACHER, 3)[fives, 2])[:6]]
    alike = "all => all.map(b => Number(b.dataset.digit))"
    assert page.locator(".kd-alike .kd-digit").evaluate_all(alike) == best.tolist()
    page.wait_for_function("location.search.includes('cell=5-2')")
    other = open_page(page.url)
    assert other.locator('[data-panel="knowledge"] h3').inner_text() == "Which 5s look like 2s to this teacher"
    assert other.locator(".kd-alike .kd-digit").evaluate_all(alike) == best.tolist()
    assert other.locator(".kd-cell[aria-pressed=true]").get_attribute("tabindex") == "0"


def test_limits_and_label_smoothing(page_at):
    page = page_at()
    logits = TEACHER[TemperatureState().digit]
    np.testing.assert_allclose(bars(page, 3, "limits"), 0.1, atol=1e-4)
    np.testing.assert_allclose(bars(page, 1, "limits"), softmax(logits, 0.001), atol=1e-6)
    page.get_by_role("button", name="Give it the teacher's entropy").click()
    smoothed, teacher = bars(page, 4, "limits"), bars(page, 2, "limits")
    assert entropy(smoothed, base=2) == pytest.approx(entropy(teacher, base=2), abs=0.02)
    assert len(set(np.round(np.sort(smoothed)[:9], 9))) == 1


def test_position_survives_reload_and_being_sent(server, open_page):
    page = open_page(server.page(NAME))
    page.locator('[data-panel="bars"] .kd-digit').nth(4).click()
    slider(page).focus()
    page.keyboard.press("End")
    page.wait_for_function("location.search.includes('T=100')")
    digit = TemperatureState().order[4]
    assert f"digit={digit}" in page.url
    page.reload()
    page.wait_for_selector('[data-panel="bars"] tbody td')
    np.testing.assert_allclose(bars(page), softmax(TEACHER[digit], 100), atol=1e-6)
    other = open_page(page.url)
    np.testing.assert_allclose(bars(other), softmax(TEACHER[digit], 100), atol=1e-6)


def test_logits_by_hand_are_in_the_url(page_at, open_page):
    page = page_at()
    page.get_by_text("Set the logits by hand").click()
    for k in range(10):
        box = page.get_by_label(f"logit of class {k}", exact=True)
        box.fill(str(k / 2 - 1.5))
        box.press("Tab")
    logits = np.arange(10) / 2 - 1.5
    np.testing.assert_allclose(bars(page), softmax(logits, 4), atol=1e-6)
    page.wait_for_function("location.search.includes('logits=-1.5,-1,')")
    other = open_page(page.url)
    np.testing.assert_allclose(bars(other), softmax(logits, 4), atol=1e-6)


def test_a_bad_temperature_is_said_beside_the_control_and_changes_nothing(page_at):
    page = page_at()
    before = bars(page)
    box = page.get_by_label("Temperature T, typed").first
    for typed in ("0", "-3", "abc", "", "Infinity"):
        box.fill(typed)
        box.press("Tab")
        message = page.locator('[data-panel="bars"] .kd-control .kd-message').inner_text()
        assert message == f"Temperature T must be a finite number above 0, got “{typed}”. Still showing 4."
        np.testing.assert_array_equal(bars(page), before)
    box.fill("2,5")
    box.press("Tab")
    page.wait_for_timeout(300)
    np.testing.assert_allclose(bars(page), softmax(TEACHER[TemperatureState().digit], 2.5), atol=1e-6)
    assert page.locator('[data-panel="bars"] .kd-control .kd-message').inner_text() == ""


def test_a_bad_logit_is_said_and_the_last_good_view_stays(page_at):
    page = page_at()
    before = bars(page)
    page.get_by_text("Set the logits by hand").click()
    box = page.get_by_label("logit of class 3", exact=True)
    box.fill("NaN")
    box.press("Tab")
    message = page.locator('[data-panel="bars"] .kd-details .kd-message').inner_text()
    assert "logit of class 3 must be a finite number, got “NaN”" in message
    np.testing.assert_array_equal(bars(page), before)


def test_garbage_in_the_url_gives_defaults_and_a_note(server, open_page):
    page = open_page(server.page(NAME, "?T=-5&digit=99999&logits=1,2,x&epsilon=%3Cscript%3E&cell=3-10"))
    np.testing.assert_allclose(bars(page), softmax(TEACHER[TemperatureState().digit], 4), atol=1e-6)
    note = page.locator('[data-panel="bars"] > .kd-message').inner_text()
    for part in (
        "T = “-5”; accepted is a finite number above 0",
        "digit = “99999”",
        "logits = “1,2,x”",
        "epsilon = “<script>”",
        "cell = “3-10”; accepted is a true class, a dash and the class it is taken for, such as 3-8",
    ):
        assert part in note


def test_questions_answer_at_once_and_explain(page_at):
    page = page_at()
    first, second, third = (page.locator(".kd-question").nth(k) for k in range(3))
    first.locator("input").fill("0.982")
    first.get_by_role("button").click()
    page.wait_for_function("document.querySelector('.kd-feedback').textContent.includes('were not divided by 2')")
    first.locator("input").fill("0.844")
    first.locator("input").press("Enter")
    page.wait_for_function("document.querySelector('.kd-feedback').textContent.startsWith('✓ Right.')")
    second.get_by_label("Another class becomes the likeliest").check()
    page.wait_for_function("document.querySelectorAll('.kd-feedback')[1].textContent.startsWith('✓ Right.')")
    third.get_by_label("The soft term pushes harder").check()
    page.wait_for_function("document.querySelectorAll('.kd-feedback')[2].textContent.startsWith('✗ Not quite.')")
