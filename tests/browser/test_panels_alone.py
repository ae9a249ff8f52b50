"""Chapter 2's panels without a kernel: the test says what the kernel would, also what is rare: divergence, failure."""

import base64
import json

import pytest
from kdlab.lab.response import Chapter

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>panel</title><style>%s</style><body>
<main style="max-width: 1040px"></main><script type="module">
class Model {
  constructor(values) { Object.assign(this, { values, listeners: [], saved: [] }); }
  get(name) { return this.values[name]; }
  set(name, value) { this.values[name] = value; }
  save_changes() { this.saved.push(structuredClone(this.values.request)); }
  on(names, listener) { for (const name of names.split(" ")) this.listeners.push([name, listener]); }
  off(name, listener) { this.listeners = this.listeners.filter(([n, l]) => n !== name || l !== listener); }
  say(changes) {
    Object.assign(this.values, changes);
    for (const [name, listener] of this.listeners) if (name.slice("change:".length) in changes) listener();
  }
}
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const widget = await import(URL.createObjectURL(new Blob([%s], { type: "text/javascript" })));
for (const values of %s) {
  for (const name of Object.keys(values)) if (name.endsWith("_bytes")) values[name] = bytes(values[name]);
  const host = document.createElement("div");
  document.querySelector("main").append(host);
  const model = new Model(values);
  (globalThis.models ??= {})[values.panel] = model;
  widget.default.render({ model, el: host });
}
</script></body></html>"""


def plain(state):
    """What the browser gets of a panel."""
    skipped = ("_esm", "_css", "layout", "tooltip", "_anywidget_id")
    values = {name: value for name, value in state.items() if name not in skipped and not name.startswith(("_m", "_v"))}
    return {n: base64.b64encode(v).decode() if isinstance(v, (bytes, memoryview)) else v for n, v in values.items()}


@pytest.fixture
def show(browser):
    """Return a function that shows panels of one chapter on an empty page, and gives back that page."""
    pages, problems = [], []

    def show_(*panels, width=1280):
        page = browser.new_page(viewport={"width": width, "height": 1600})
        pages.append(page)
        page.on("pageerror", lambda error: problems.append(str(error)))
        values = [plain(panel.get_state()) for panel in panels]
        page.set_content(PAGE % (panels[0]._css, json.dumps(panels[0]._esm).replace("</", "<\\/"), json.dumps(values)))
        page.wait_for_function(f"Object.keys(globalThis.models ?? {{}}).length === {len(panels)}")
        return page

    yield show_
    for page in pages:
        page.close()
    assert problems == []


def say(page, name, **changes):
    page.evaluate("([name, changes]) => models[name].say(changes)", [name, changes])


def requests(page, name):
    return page.evaluate("name => models[name].saved", name)


SHAPE = (11, 8)


def landscape(**changes):
    rows = [[None] * SHAPE[1] for _ in range(SHAPE[0])]
    rows[5][6], rows[5][7], rows[6][6] = 0.031, 0.048, -0.02
    validation = [row[:] for row in rows]
    validation[5][6], validation[5][7] = 0.05, 0.01
    diverged = [[0] * SHAPE[1] for _ in range(SHAPE[0])]
    return {
        "position": {"scenario": "few", "width": 16},
        "done": 15,
        "seconds": 0.4,
        "differences": rows,
        "validation": validation,
        "diverged": diverged,
        "best": [5, 6],
        "message": "",
    } | changes


def test_the_landscapes_best_cell_is_chosen_by_validation_not_by_test(show):
    page = show(Chapter().landscape())
    say(page, "landscape", status="computing", result=landscape())
    best = page.locator(".kd-cell.kd-best")
    assert best.get_attribute("aria-label") == "T 4, alpha 0.9: +3.1 points, best on the validation set"
    text = page.locator(".kd-summary").inner_text()
    assert "Best on the validation set so far: T = 4, α = 0.9, with +5.0 points there and +3.1 on the test set." in text
    assert "never on test" in text
    page.locator(".kd-cell").nth(6 * SHAPE[1] + 6).click()
    assert best.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Choose by validation").click()
    assert best.get_attribute("aria-pressed") == "true"


def test_diverged_cells_are_marked_and_said(show):
    page = show(Chapter().landscape())
    message = "3 of 15 students diverged (the loss is not a finite number), the first in epoch 2"
    result = landscape(message=message)
    result["diverged"][6][6], result["differences"][6][6] = 3, None
    say(page, "landscape", status="idle", result=result)
    cell = page.locator(".kd-cell.kd-diverged")
    assert cell.inner_text() == "✕"
    assert cell.get_attribute("aria-label") == "T 6, alpha 0.9: 3 of 5 students diverged"
    assert page.locator(".kd-message", has_text="3 of 15 students diverged").is_visible()
    say(page, "landscape", result=landscape())
    assert page.locator(".kd-diverged").count() == 0
    assert not page.locator(".kd-message").is_visible()


def test_a_result_says_its_position_and_fades_while_the_controls_are_elsewhere(show):
    page = show(Chapter().from_ten_to_one())
    assert page.locator(".kd-made").inner_text() == ""
    result = {
        "position": {"temperature": 4, "alpha": 0.9, "width": 16},
        "samples": 600,
        "one": [0.8, 0.79, 0.81],
        "together": [0.9, 0.87, 0.92],
        "distilled": [0.87, 0.86, 0.88],
        "share": 0.7,
    }
    say(page, "ten", status="idle", result=result)
    assert "90.0 % (87.0 % to 92.0 %)" in page.inner_text("table")
    assert "(Wilson)" in page.inner_text(".kd-caption")
    assert page.locator(".kd-made").inner_text() == "Made for T = 4, α = 0.9, 16 hidden units."
    assert page.locator(".kd-stale").count() == 0
    box = page.get_by_label("Alpha α, typed")
    box.fill("0.9999")
    box.press("Tab")
    assert box.input_value() == "0.9999"  # not a false 1
    page.wait_for_function("document.querySelectorAll('.kd-stale').length === 2")
    assert "Made for T = 4, α = 0.9, 16 hidden units; the controls have moved on." in page.inner_text("main")
    assert requests(page, "ten")[-1]["alpha"] == 0.9999
    say(page, "ten", status="failed", message="10 of 10 students diverged")
    assert "This did not work: 10 of 10 students diverged. The last good view stays." in page.inner_text(".kd-status")
    assert page.locator(".kd-stale").count() == 2
    say(page, "ten", status="idle", message="", result=result | {"position": result["position"] | {"alpha": 0.9999}})
    assert page.locator(".kd-stale").count() == 0
    assert page.locator(".kd-made").inner_text() == "Made for T = 4, α = 0.9999, 16 hidden units."


def test_keras_own_distiller_says_what_it_shares_and_how_many_teachers_it_takes(show):
    chapter = Chapter()
    page = show(chapter.live(), chapter.mistakes())
    mistakes = page.locator('[data-panel="mistakes"]')
    assert not mistakes.get_by_text("Keras shuffles in its own way").is_visible()
    mistakes.get_by_label("Mistake", exact=True).select_option("keras_default")
    mistakes.get_by_text("Keras shuffles in its own way").wait_for()
    assert not mistakes.get_by_text("It takes one teacher").is_visible()
    page.get_by_label("Scenario", exact=True).select_option("ensemble")
    mistakes.get_by_text("It takes one teacher").wait_for()
    keras = mistakes.get_by_role("button", name="Train three students")
    say(page, "mistakes", status="computing", message="")
    assert keras.is_disabled()


def test_numbers_in_words_are_never_falsely_round(show):
    expected = {
        "plain(0.9999)": "0.9999",
        "plain(3.9996)": "3.9996",
        "plain(1)": "1",
        "plain(0.1 + 0.2)": "0.3",
        "plain(1 - 1e-16)": "1",
        "plain(151.71)": "152",
        "plain(0.00012)": "1.2e-4",
        "share(0.9996)": "> 99.9 %",
        "share(1)": "100.0 %",
        "share(0.0001)": "< 0.1 %",
        "share(0)": "0.0 %",
        "interval([0.99, 0.97, 1.01])": "99.0 % (97.0 % to 100.0 %)",
        "interval([0.5, 0.5, 0.5])": "50.0 %",
        "points(-0.0004)": "+0.0",
        "signed(-4.5)": "−4.5",
    }
    panel = Chapter().landscape()
    page = show(panel)
    words = panel._esm.split("// ---- the page's store")[0]
    said = page.evaluate(f"(() => {{ {words}; return [{', '.join(expected)}]; }})()")
    assert dict(zip(expected, said, strict=True)) == expected
