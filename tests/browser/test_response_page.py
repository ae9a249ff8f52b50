"""Chapter 2 as a person uses it: every number comes from students trained while the page looks on."""

import re

import pytest

from kdlab.lab.response_state import DEFAULTS, ResponseState

NAME = "02_response_based_kd"
READY = ".kd-verdict:not(:empty)"


@pytest.fixture(scope="module")
def state():
    return ResponseState()


def panel(page, name):
    return page.locator(f'[data-panel="{name}"]')


def verdict(page):
    return page.locator(".kd-verdict").inner_text()


def runs(page):
    """The accuracies of the dots, ten alone and ten distilled."""
    return page.locator(".kd-run").evaluate_all("dots => dots.map(d => Number(d.dataset.value))")


def settled(page, name="live"):
    page.wait_for_function("name => atRest(name)", arg=name, timeout=60_000)


def test_dots_are_the_students_of_the_position(page_at, state):
    page = page_at()
    expected = state.train(**DEFAULTS)
    shown = runs(page)
    last = [run[-1] for kind in ("alone", "distilled") for run in expected[kind]["per_epoch"]]
    assert shown == pytest.approx(last, abs=0.004)  # two processes, float32: a digit or two may fall otherwise
    assert verdict(page) == "Yes: distillation helps here."


def test_keyboard_trains_new_students_and_all_labels_lose(page_at):
    page = page_at(scenario="all", width=4, alpha=1)
    before = runs(page)
    slider = panel(page, "live").get_by_label("Temperature T", exact=True)
    slider.focus()
    for _ in range(6):
        page.keyboard.press("PageUp")
    settled(page)
    assert runs(page)[10:] != before[10:]
    assert runs(page)[:10] == before[:10]  # the students alone do not depend on T
    assert verdict(page) == "No: distillation loses here."
    page.wait_for_function("location.search.includes('scenario=all')")
    assert "width=4" in page.url


def test_replay_goes_back_through_the_training(page_at):
    page = page_at()
    end = runs(page)
    panel(page, "live").get_by_label("Epoch", exact=True).focus()
    page.keyboard.press("Home")
    start = runs(page)
    assert sum(start) < sum(end) - 5
    page.keyboard.press("End")
    page.wait_for_function(f"Number(document.querySelector('.kd-run').dataset.value) === {end[0]}")
    assert runs(page) == end
    page.get_by_role("button", name="Replay the training").click()
    page.wait_for_timeout(300)
    assert runs(page) != end
    page.get_by_role("button", name="▶ Replay the training").wait_for(timeout=20_000)
    assert runs(page) == end


def test_the_bias_mends_the_missing_three(page_at):
    page = page_at(scenario="no3", temperature=8)
    settled(page)
    text = panel(page, "live").get_by_text("With +0.0 on the logit of class 3")
    assert text.is_visible()
    page.get_by_role("button", name="Take the bias that is best on the validation set").click()
    text.wait_for(state="hidden")
    assert panel(page, "live").get_by_text("on the logit of class 3, best on the validation set").is_visible()


def biases(page):
    """The biases that the page says: of the distilled students, and of the students alone where it is another."""
    said = panel(page, "live").get_by_text("on the logit of class 3").inner_text()
    return [float(text.replace("−", "-")) for text in re.findall(r"[Ww]ith ([+−][\d.]+)", said)]


def test_the_bias_is_chosen_anew_for_new_students_but_one_set_by_hand_stays(page_at, state):
    def best(temperature):
        bias = state.train(temperature, 0.9, "no3", 16)["bias"]
        return [bias["values"][bias[kind]["chosen"]] for kind in ("distilled", "alone")]

    cold, warm = best(1.5), best(8.0)
    assert cold[0] != warm[0]  # else this test could not tell
    page = page_at(scenario="no3", temperature=1.5, bias="validation")
    settled(page)
    assert biases(page) == cold
    box = panel(page, "live").get_by_label("Temperature T, typed")
    box.fill("8")
    box.press("Tab")
    settled(page)
    assert biases(page) == warm
    panel(page, "live").get_by_label("Bias", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"location.search.includes('bias={warm[0] + 0.5:g}')")
    box.fill("1.5")
    box.press("Tab")
    settled(page)
    assert biases(page) == [warm[0] + 0.5]


def test_a_link_shows_the_same_view(server, open_page):
    page = open_page(server.page(NAME, "?scenario=no3&T=8"), READY)
    settled(page)
    panel(page, "live").get_by_label("Epoch, typed").fill("3")
    panel(page, "live").get_by_label("Epoch, typed").press("Tab")
    panel(page, "live").get_by_label("Bias", exact=True).focus()
    page.keyboard.press("End")
    panel(page, "mistakes").get_by_label("Mistake", exact=True).select_option("swapped")
    panel(page, "translator").get_by_label("Write it for").select_option("pytorch")
    page.wait_for_function("location.search === '?scenario=no3&T=8&epoch=3&bias=12&mistake=swapped&code=pytorch'")

    def view(page):
        page.wait_for_function("document.querySelector('.kd-code').textContent.includes('torch')")
        chosen = panel(page, "mistakes").get_by_label("Mistake", exact=True).input_value()
        return runs(page), panel(page, "live").locator("h3").first.inner_text(), biases(page), chosen

    seen = view(page)
    assert seen[1:] == ("Test accuracy after epoch 3: each dot is a student", [12.0], "swapped")
    for again in (page, open_page(page.url, READY)):
        if again is page:
            again.reload()
            again.wait_for_selector(READY, timeout=60_000)
        settled(again)
        assert view(again)[0] == pytest.approx(seen[0], abs=0.004)
        assert view(again)[1:] == seen[1:]
    # New students are shown as they end; what is at its default leaves the address.
    panel(page, "live").get_by_label("Scenario", exact=True).select_option("few")
    page.wait_for_function("location.search === '?T=8&mistake=swapped&code=pytorch'")


def test_the_landscape_fills_stops_and_sets_the_sliders(page_at):
    page = page_at()
    land = panel(page, "landscape")
    land.get_by_role("button", name="Train 440 students").click()
    cells = "document.querySelectorAll('[data-panel=\"landscape\"] .kd-cell:not([disabled])').length"
    page.wait_for_function(f"{cells} > 3")
    land.get_by_role("button", name="Stop").click()
    settled(page, "landscape")
    kept = page.evaluate(cells)
    assert 3 < kept < 88
    assert f"{5 * kept} of 440 students trained" in land.inner_text()
    land.get_by_role("button", name="Train 440 students").click()
    page.wait_for_function(f"{cells} === 88", timeout=60_000)
    settled(page, "landscape")
    cell = land.locator(".kd-cell").nth(8 * 8 + 2)  # T = 12, alpha = 0.4
    cell.click()
    settled(page)
    page.wait_for_function("location.search.includes('T=12') && location.search.includes('alpha=0.4')")
    assert cell.get_attribute("aria-pressed") == "true"


def test_regions_drawing_translator_and_fidelity(page_at):
    page = page_at()
    panel(page, "regions").scroll_into_view_if_needed()
    page.wait_for_selector('[data-panel="regions"] .kd-map', timeout=60_000)
    before = panel(page, "regions").locator("figcaption").all_inner_texts()
    panel(page, "regions").get_by_label("Data", exact=True).select_option("spirals")
    page.wait_for_timeout(300)
    settled(page, "regions")
    after = panel(page, "regions").locator("figcaption").all_inner_texts()
    assert len(before) == len(after) == 3
    assert all(a != b for a, b in zip(before, after, strict=True))
    page.get_by_role("button", name="Take a test digit").click()
    page.wait_for_function("document.querySelector('[data-panel=\"draw\"] .kd-summary').textContent.includes('read')")
    panel(page, "translator").scroll_into_view_if_needed()
    panel(page, "translator").get_by_label("Write it for").select_option("pytorch")
    page.wait_for_function("document.querySelector('.kd-code').textContent.includes('torch')")
    assert "0.006944" in panel(page, "translator").inner_text()
    two_headed = panel(page, "translator").locator("tbody tr", has_text="two-headed").locator("td").all_inner_texts()
    assert two_headed[2:] == ["T = 10, lambda = 0.5", "α = 0.0196, scale 0.51"]
    assert panel(page, "fidelity").locator("tbody tr").count() == 3


def test_mistakes_are_trained_beside_the_right_loss(page_at):
    page = page_at(temperature=8)
    panel(page, "mistakes").scroll_into_view_if_needed()
    page.wait_for_selector("[data-mistake]", timeout=60_000)
    settled(page, "mistakes")
    rows = dict(page.locator("[data-mistake]").evaluate_all("rows => rows.map(r => [r.dataset.mistake, r.innerText])"))
    assert "no gradient" in rows["swapped"]
    assert "1 ×" in rows["none"]
    accuracy = {name: float(text.split("\t")[3].split(" %")[0]) for name, text in rows.items() if "%" in text}
    assert accuracy["swapped"] < 30 < accuracy["probabilities"] < accuracy["none"]
    assert "not trained yet" in rows["keras_default"]
    panel(page, "mistakes").get_by_label("Mistake", exact=True).select_option("keras_default")
    page.get_by_role("button", name="Train three students with Keras's own Distiller").click()
    page.wait_for_function(
        "!document.querySelector('[data-mistake=keras_default]').innerText.includes('not trained')", timeout=120_000
    )


def test_ten_are_distilled_into_one_beside_the_speech_table(page_at):
    page = page_at()
    panel(page, "ten").scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelector('[data-panel=ten] .kd-summary').textContent.includes('comes through')"
    )
    assert "60.8 %" in panel(page, "ten").inner_text()


def test_drawing_with_the_mouse(page_at):
    page = page_at()
    paper = page.locator(".kd-paper")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.15 * box["height"])
    page.mouse.down()
    for i in range(20):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + (0.15 + 0.035 * i) * box["height"])
    page.mouse.up()
    page.wait_for_function("document.querySelector('[data-panel=\"draw\"] .kd-summary').textContent.includes('read')")
    shares = page.locator('[data-panel="draw"] tbody td').evaluate_all("c => c.map(x => Number(x.dataset.value))")
    assert sum(shares) == pytest.approx(3, abs=1e-6)


def test_nothing_is_compared_where_alpha_leaves_the_teacher_out(page_at):
    page = page_at(alpha=0)
    assert verdict(page) == "α = 0 is the student alone, so there is nothing to compare."


def test_the_logits_of_two_classes_are_biased_together(page_at):
    page = page_at(scenario="only78")
    assert panel(page, "live").get_by_text("With +0.0 on the logits of classes 7 and 8 the distilled").is_visible()


def test_a_bad_alpha_is_said_and_garbage_in_the_url_noted(server, open_page):
    page = open_page(server.page(NAME, "?scenario=moon&alpha=7&epoch=0&bias=0.3&mistake=none&code=C"), READY)
    note = panel(page, "live").locator("> .kd-message").inner_text()
    assert "scenario = “moon”; accepted is one of few, all" in note
    assert "alpha = “7”; accepted is a number from 0 to 1" in note
    assert "epoch = “0”; accepted is a whole number from 1 to 420" in note
    assert "bias = “0.3”; accepted is “validation”, or a number from -12 to 12 in steps of 0.5" in note
    assert "mistake = “none”; accepted is one of no_square, class_mean" in note
    assert "code = “C”; accepted is one of keras, keras.distillation, pytorch" in note
    before = runs(page)
    box = panel(page, "live").get_by_label("Alpha α, typed")
    box.fill("1.2")
    box.press("Tab")
    assert (
        panel(page, "live")
        .get_by_text("Alpha α must be a number from 0 to 1, got “1.2”. Still showing 0.9.")
        .is_visible()
    )
    assert runs(page) == before
