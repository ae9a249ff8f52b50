"""Chapter 3 as a person uses it: layers are tied, students trained and looked into while the page looks on."""

import pytest

from kdlab.lab.features_state import CASES, DEFAULTS, FeaturesState

NAME = "03_feature_based_kd"
READY = '[data-panel="live"] .kd-verdict:not(:empty)'
VERDICTS = {
    "better": "Yes: features help here.",
    "worse": "No: features hurt here.",
    "not told apart": "Not told apart from chance.",
}


@pytest.fixture(scope="module")
def state():
    return FeaturesState()


def panel(page, name="live"):
    return page.locator(f'[data-panel="{name}"]')


def runs(page, name="live"):
    """The accuracies of the dots of a panel, kind after kind."""
    return panel(page, name).locator(".kd-run").evaluate_all("dots => dots.map(d => Number(d.dataset.value))")


def settled(page, name="live"):
    page.wait_for_function("name => atRest(name)", arg=name, timeout=90_000)


def look_at(page, name, ready):
    panel(page, name).scroll_into_view_if_needed()
    page.wait_for_selector(f'[data-panel="{name}"] {ready}', timeout=90_000)
    settled(page, name)


def heat(page):
    """The similarities of the panel's tables, table after table."""
    return [float(text.split()[0]) for text in panel(page, "inside").locator("tbody td").all_inner_texts()]


def test_dots_are_the_students_of_the_position(page_at, state):
    page = page_at()
    expected = state.train(**DEFAULTS)
    last = [run[-1] for kind in ("alone", "response", "features") for run in expected["students"][kind]["per_epoch"]]
    assert runs(page) == pytest.approx(last, abs=0.006)  # two processes, float32: a digit or two may fall otherwise
    assert panel(page).locator(".kd-verdict").inner_text() == VERDICTS[expected["differences"]["response"]["verdict"]]


def test_another_layer_and_another_loss_train_other_students_and_stay_in_the_address(page_at):
    page = page_at()
    before = runs(page)
    panel(page).get_by_label("Teacher’s layer", exact=True).select_option("hidden_1")
    settled(page)
    layer = runs(page)
    panel(page).get_by_label("Feature loss", exact=True).select_option("similarity")
    settled(page)
    method = runs(page)
    assert before[:20] == layer[:20] == method[:20]  # without distillation, and from answers only
    assert before[20:] != layer[20:] != method[20:]
    # In the order in which they were written, which depends on the time between the two.
    page.wait_for_function(
        "[...new URLSearchParams(location.search)].sort().join(' ') === 'method,similarity teacher,hidden_1'"
    )
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    settled(page)
    assert runs(page) == method
    assert "The feature loss ties the teacher’s hidden 1 with the student’s hidden 2" in panel(page).inner_html()


def test_the_keyboard_moves_the_weight_and_the_diagram_says_it(page_at):
    page = page_at()
    panel(page).get_by_label("Features α_f", exact=True).focus()
    page.keyboard.press("Home")
    settled(page)
    assert "Weights: features 0, softened answers 0.5, labels 0.5." in panel(page).inner_text()
    assert runs(page)[20:] == runs(page)[10:20]  # without weight the features change nothing
    page.keyboard.press("End")
    assert "Weights: features 1, softened answers 0, labels 0." in panel(page).inner_text()
    settled(page)
    assert max(runs(page)[20:]) < 0.5  # neither labels nor answers


def test_the_buttons_lead_to_what_they_say(page_at):
    page = page_at()
    for case, verdict in zip(CASES, ("better", "not told apart", "worse"), strict=True):
        button = panel(page).get_by_role("button", name=case.title)
        button.click()
        page.wait_for_function(
            f"document.querySelector('[data-panel=live] .kd-verdict').textContent === {VERDICTS[verdict]!r}",
            timeout=60_000,
        )
        assert button.get_attribute("aria-pressed") == "true"


def test_the_inside_is_trained_for_only_once_it_is_seen_and_follows_the_controls(server, open_page):
    page = open_page(server.page(NAME), READY)
    page.wait_for_timeout(500)
    assert panel(page, "inside").locator("tbody td").count() == 0
    look_at(page, "inside", ".kd-numerals")
    before = heat(page)
    assert len(before) == 4 * 9
    assert panel(page, "inside").locator(".kd-tied").count() == 4
    assert panel(page, "inside").locator(".kd-numerals").count() == 4
    panel(page).get_by_label("Student’s layer", exact=True).select_option("both")
    look_at(page, "inside", ".kd-heat:last-child .kd-tied + .kd-tied")
    after = heat(page)
    assert after[:27] == before[:27]
    assert after[27:] != before[27:]


def test_relatives_are_trained_and_a_view_is_chosen(page_at):
    page = page_at()
    for name in ("mutual", "view"):
        look_at(page, name, ".kd-verdict:not(:empty)")
    assert len(runs(page, "mutual")) == 40
    before, drawn = runs(page, "view"), panel(page, "view").locator("canvas").last.screenshot()
    panel(page, "view").get_by_label("Student sees", exact=True).select_option("edges")
    settled(page, "view")
    assert runs(page, "view") != before
    assert panel(page, "view").locator("canvas").last.screenshot() != drawn
    look_at(page, "ensemble", "tbody")
    assert "5 students together" in panel(page, "ensemble").inner_text()


def test_convolutional_students_are_watched_and_stopped(page_at):
    page = page_at()
    convolution = panel(page, "convolution")
    convolution.scroll_into_view_if_needed()
    convolution.get_by_label("Feature loss", exact=True).select_option("hint")
    convolution.get_by_role("button", name="Train three students of each kind").click()
    page.wait_for_function(
        """Number(document.querySelector('[data-panel="convolution"] progress').value) > 0.02""", timeout=90_000
    )
    drawn = convolution.locator(".kd-chart path").first.get_attribute("d")
    assert drawn.count("L") >= 1  # the curve grows while they learn
    convolution.get_by_role("button", name="Stop").click()
    settled(page, "convolution")
    assert "there is no verdict on half-trained students" in convolution.locator(".kd-status").inner_text()
    assert "Made for Hint (FitNets), middle layers" in convolution.inner_text()
    assert convolution.locator(".kd-verdict").inner_text() == ""
    assert "conv_method=hint" in page.url


def test_the_maps_follow_the_nucleus_and_the_layers(page_at):
    page = page_at(nucleus=3)
    look_at(page, "maps", ".kd-channels canvas")
    maps = panel(page, "maps")
    assert maps.locator(".kd-digit").nth(3).get_attribute("aria-pressed") == "true"
    maps.get_by_text("nucleus 4: inflammatory").wait_for()
    attention = maps.locator(".kd-seen canvas").nth(1)
    before = attention.evaluate("c => c.toDataURL()")
    maps.locator(".kd-digit").nth(3).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page, "maps")
    maps.get_by_text("nucleus 5: connective").wait_for()
    other = attention.evaluate("c => c.toDataURL()")
    assert other != before
    assert attention.evaluate("c => c.width") == 12
    maps.get_by_label("Layers", exact=True).select_option("late")
    settled(page, "maps")
    assert attention.evaluate("c => c.width") == 6


def test_garbage_in_the_address_is_said(server, open_page):
    page = open_page(server.page(NAME, "?teacher=block7&alpha_f=2&method=crd"))
    note = panel(page).locator("> .kd-message").inner_text()
    assert "teacher = “block7”; accepted is one of hidden_1, hidden_2, both" in note
    assert "alpha_f = “2”; accepted is a number from 0 to 1" in note
    assert "method = “crd”; accepted is one of hint, similarity" in note
    assert panel(page).get_by_label("Teacher’s layer", exact=True).input_value() == DEFAULTS["teacher_layer"]


def test_filled_panels_fit_and_are_accessible(page_at, fits_and_is_accessible):
    page = page_at()
    for name, ready in (
        ("inside", ".kd-numerals"),
        ("maps", ".kd-channels canvas"),
        ("mutual", ".kd-strip svg"),
        ("ensemble", "tbody"),
        ("view", ".kd-strip svg"),
    ):
        look_at(page, name, ready)
    fits_and_is_accessible(page)
