"""Chapter 4 as a person uses it, on one page: nuclei are looked at, students trained, a threshold moved, a leak shown."""

import re
from io import BytesIO

import numpy as np
from PIL import Image

NAME = "04_medical_imaging"


def panel(page, name):
    return page.locator(f'[data-panel="{name}"]')


def idle(page, name):
    page.wait_for_function("name => atRest(name)", arg=name, timeout=120_000)


def says(page, name, selector, text):
    page.wait_for_function(
        "([where, text]) => document.querySelector(where)?.textContent.includes(text)",
        arg=[f'[data-panel="{name}"] {selector}', text],
        timeout=120_000,
    )


def figures(page):
    """The cells of the decision's table, a list per network."""
    rows = panel(page, "decision").locator(".kd-plain tbody tr")
    return {row.get_attribute("data-network"): row.locator("td").all_inner_texts() for row in rows.all()}


def file_of(image, kind="PNG"):
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def bad_uploads():
    """Files that are refused: their names, their bytes, and what the page says."""
    whole = file_of(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    yield "cut.png", whole[: len(whole) // 2], "cut off"
    yield "huge.png", file_of(Image.new("1", (20_000, 20_000))), "pixels; accepted are at most 40,000,000"
    yield "text.png", b"a text file that calls itself an image", "text"


def good_uploads():
    """Unusual files that are read."""
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    yield "grey.png", file_of(Image.fromarray(grey))
    yield "cmyk.jpg", file_of(Image.new("CMYK", (60, 60), (200, 20, 90, 10)), "JPEG")


def test_from_the_first_nucleus_to_the_leak(server, open_page, fits_and_is_accessible):
    page = open_page(server.page(NAME, "?T=2&threshold=0.3&positive=stroma"))

    images = panel(page, "images")
    assert "positive = “stroma”; accepted is one of inflammatory, connective, neoplastic" in images.inner_text()
    assert "Not for clinical use." in images.inner_text()
    nuclei = images.locator("canvas")
    assert nuclei.count() == 24
    before = nuclei.first.evaluate("c => c.toDataURL()")
    images.get_by_role("button", name="Show other nuclei").click()
    page.wait_for_function(
        "before => document.querySelector('[data-panel=images] canvas').toDataURL() !== before", arg=before
    )

    chance = panel(page, "chance")
    says(page, "chance", ".kd-verdict", "So few images cannot tell these two apart.")
    assert "That is 228 and 227 of 253 right." in chance.inner_text()
    chance.get_by_label("Test images n, typed").fill("100000")
    chance.get_by_label("Test images n, typed").press("Enter")
    says(page, "chance", ".kd-verdict", "So many images can tell these two apart.")
    page.wait_for_function("new URLSearchParams(location.search).get('n') === '100000'")
    chance.get_by_label("Student right, typed").fill("1.2")
    chance.get_by_label("Student right, typed").press("Enter")
    assert "Student right must be a number from 0 to 1, got “1.2”" in chance.inner_text()

    panel(page, "decision").scroll_into_view_if_needed()
    says(page, "decision", ".kd-plain tbody td", "(")  # with its interval
    assert list(figures(page)) == ["teacher"]

    training = panel(page, "training")
    training.scroll_into_view_if_needed()
    page.wait_for_selector('[data-panel="training"] .kd-verdict:not(:empty)', timeout=180_000)
    idle(page, "training")
    assert training.locator(".kd-run").count() == 6
    assert "Made for T = 2, α = 0.9." in training.inner_text()
    says(page, "decision", ".kd-plain tbody", "distilled")

    # Another position trains at once; a stop keeps the networks.
    training.get_by_label("Alpha α", exact=True).focus()
    page.keyboard.press("Home")
    says(page, "training", ".kd-made", "Made for T = 2, α = 0.")
    training.get_by_role("button", name="Stop").click()
    says(page, "training", ".kd-status", "there is no verdict on half-trained students")

    decision = panel(page, "decision")
    decision.scroll_into_view_if_needed()
    idle(page, "decision")
    assert list(figures(page)) == ["teacher", "alone", "distilled"]
    decision.get_by_label("Threshold", exact=True).focus()
    page.keyboard.press("Home")
    assert [cells[:2] for cells in figures(page).values()] == [["100.0 %", "0.0 %"]] * 3  # at once, without the kernel
    best = decision.get_by_role("button", name=re.compile(r"^distilled student \("))
    best.click()
    chosen = best.inner_text().split("(")[1].rstrip(")")
    assert decision.get_by_label("Threshold, typed").input_value() == chosen
    page.wait_for_function(
        "[...document.querySelectorAll('[data-panel=decision] .kd-plain tbody td')].every(c => c.textContent.includes('('))"
    )
    for sensitivity, specificity, area in figures(page).values():
        for cell in (sensitivity, specificity):
            value, low, high = map(float, re.findall(r"\d+\.\d", cell))
            assert low <= value <= high
        assert 0.5 < float(area.split()[0]) <= 1
    page.wait_for_function(f"Math.abs(new URLSearchParams(location.search).get('threshold') - {chosen}) < 1e-3")
    assert "Distilled minus alone, on the same nuclei: sensitivity" in decision.inner_text()

    for name in ("cost", "calibration"):
        panel(page, name).scroll_into_view_if_needed()
        idle(page, name)
    says(page, "cost", "tbody", "alone")
    assert "6,299" in panel(page, "cost").inner_text()
    assert panel(page, "calibration").locator("figure").count() == 3

    look = panel(page, "look")
    look.scroll_into_view_if_needed()
    says(page, "look", ".kd-summary", "distilled student")
    assert look.locator(".kd-digit").count() == 12
    seen = look.locator(".kd-cams canvas")
    before = seen.nth(1).evaluate("c => c.toDataURL()")
    look.get_by_label("Evidence for", exact=True).select_option("connective")
    says(page, "look", ".kd-summary", "What speaks for “connective” to the teacher")
    assert seen.nth(1).evaluate("c => c.toDataURL()") != before
    look.get_by_label("Show nuclei", exact=True).select_option("teacher_wrong")
    says(page, "look", ".kd-made", "that the teacher reads wrong")
    idle(page, "look")
    truth = look.locator(".kd-cams figcaption").first.inner_text().removeprefix("it is ")
    assert look.locator(".kd-cams figcaption").nth(1).inner_text() != f"teacher: {truth}"
    assert "group=teacher_wrong" in page.url

    upload = panel(page, "upload")
    upload.get_by_role("button", name="Take a test nucleus").click()
    says(page, "upload", ".kd-summary", "The distilled student calls it")
    shown = upload.locator(".kd-cams canvas").first.evaluate("c => c.toDataURL()")
    choose = upload.get_by_label("Your image")
    for name, data, sentence in bad_uploads():
        choose.set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
        says(page, "upload", ".kd-status", sentence)
        assert upload.locator(".kd-cams canvas").first.evaluate("c => c.toDataURL()") == shown
    choose.set_input_files({"name": "large.png", "mimeType": "image/png", "buffer": bytes(5_000_001)})
    says(page, "upload", ".kd-message", "“large.png” has 5,000,001 bytes; accepted are at most 5,000,000.")
    for name, data in good_uploads():
        choose.set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
        says(page, "upload", ".kd-cams figcaption", name)
        idle(page, "upload")
        assert upload.locator(".kd-cams canvas").first.evaluate("c => c.toDataURL()") != shown

    segmentation = panel(page, "segmentation")
    segmentation.scroll_into_view_if_needed()
    says(page, "segmentation", "tbody", "185,803")
    segmentation.get_by_role("button", name="Train 2 students of each kind").click()
    says(page, "segmentation", ".kd-status", "Training")
    segmentation.get_by_role("button", name="Stop").click()
    says(page, "segmentation", ".kd-status", "there is no verdict on half-trained students")

    leakage = panel(page, "leakage")
    leakage.get_by_role("button", name="Train 3 students on each split").click()
    page.wait_for_function(
        "document.querySelector('[data-panel=leakage] .kd-status').textContent.startsWith('Training')", timeout=60_000
    )
    leakage.get_by_role("button", name="Stop").click()
    says(page, "leakage", ".kd-status", "Stopped after")

    fits_and_is_accessible(page)
