"""The panel of segmentation without a kernel: the test says what the kernel would."""

import base64
import json

import pytest

from kdlab.lab.segmentation import RULES, segmentation_panel

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>panel</title><style>%s</style><body>
<main style="max-width: 1040px"></main><script type="module">
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const revive = (text) => JSON.parse(text, (_, value) => (value?.base64 === undefined ? value : bytes(value.base64)));
const listeners = [];
globalThis.model = {
  values: revive(%s), saved: [],
  get(name) { return this.values[name]; },
  set(name, value) { this.values[name] = value; },
  save_changes() { this.saved.push(structuredClone(this.values.request)); },
  on(names, listener) { for (const name of names.split(" ")) listeners.push([name, listener]); },
  say(text) {
    const changes = revive(text);
    Object.assign(this.values, changes);
    for (const [name, listener] of listeners) if (name.slice("change:".length) in changes) listener();
  },
};
const widget = await import(URL.createObjectURL(new Blob([%s], { type: "text/javascript" })));
const host = document.createElement("div");
document.querySelector("main").append(host);
widget.default.render({ model, el: host });
globalThis.drawn = true;
</script></body></html>"""


def text(values):
    """JSON in which bytes are {"base64": …}."""
    return json.dumps(values, default=lambda value: {"base64": base64.b64encode(value).decode()})


def figures(value, maps, **more):
    return {"parameters": 30259, "maps": maps, "dice": [[value, value - 0.05, value + 0.05]] * 4} | more


@pytest.fixture(scope="module")
def panel():
    return segmentation_panel({"page_id": "segmentation", "rules": RULES})


@pytest.fixture
def page(browser, panel):
    page, problems = browser.new_page(viewport={"width": 1280, "height": 1400}), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    skipped = ("_esm", "_css", "layout", "tooltip", "_anywidget_id")
    state = {n: v for n, v in panel.get_state().items() if n not in skipped and not n.startswith(("_m", "_v"))}
    module, values = (json.dumps(one).replace("</", "<\\/") for one in (panel._esm, text(state)))
    page.set_content(PAGE % (panel._css, values, module))
    page.wait_for_function("globalThis.drawn")
    yield page
    page.close()
    assert problems == []


def test_a_tile_is_chosen_students_train_stop_and_are_compared(page, panel, fits_and_is_accessible):
    def say(**changes):
        page.evaluate("text => model.say(text)", text(changes))

    def requests():
        return [{k: v for k, v in one.items() if k != "counter"} for one in page.evaluate("() => model.saved")]

    # At rest: the tissue and its labels; the teacher is asked for once.
    assert page.locator(".kd-masks canvas").count() == 2
    page.wait_for_function("model.saved.length === 1")
    assert requests() == [{"look": True}]
    truth = panel.tiles["classes"]
    teacher = figures(0.7, truth)
    say(status="computing")
    say(status="idle", result={"networks": {"teacher": teacher}})
    assert page.locator(".kd-masks canvas").count() == 3
    assert "Dice in this tile, mean of the classes it has: teacher 1.00." in page.inner_text("main")
    first = page.locator(".kd-masks canvas").nth(1).evaluate("c => c.toDataURL()")

    # Another tile, by the keyboard.
    page.locator(".kd-tiles button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".kd-tiles button").nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator(".kd-masks canvas").nth(1).evaluate("c => c.toDataURL()") != first
    assert f"Tile 2 ({panel.tiles['places'][1]})" in page.inner_text("main")

    # Training, and a stop.
    page.get_by_label("Labels", exact=True).select_option("all")
    page.get_by_label("Alpha α, typed").fill("0.5")
    page.get_by_label("Alpha α, typed").press("Enter")
    page.get_by_role("button", name="Train 2 students of each kind").click()
    position = {"temperature": RULES["seg_temperature"]["default"], "alpha": 0.5, "labelled": "all"}
    assert requests()[-1] == position
    nothing = bytes(len(truth))
    half = figures(0, nothing, curves=[[0.1, 0.3]], dice=None)
    result = {"position": position, "done": 2, "total": 40, "seconds": 3.0, "differences": None, "pairs": None}
    say(status="computing", message="")
    say(result=result | {"networks": {"teacher": teacher, "alone": half}})
    assert "Training … 5.0 %, 3 s." in page.inner_text("main")
    assert "student alone …" in page.inner_text(".kd-masks")
    assert page.locator(".kd-masks canvas").nth(3).get_attribute("aria-label") == (
        "student alone: inflammatory 0.0 %, connective 0.0 %, neoplastic 0.0 %"
    )
    page.get_by_role("button", name="Stop").click()
    assert requests()[-1] == {"stop": True}
    say(status="idle")
    assert "there is no verdict on half-trained students" in page.inner_text(".kd-status")
    assert page.inner_text(".kd-verdict") == ""

    # To the end: each verdict, the figures as they are, and what they were made for.
    students = {
        kind: figures(v, truth, curves=[[0.1, 0.3], [0.2, 0.4]]) for kind, v in (("alone", 0.5), ("distilled", 0.6))
    }
    for verdict, words in (("worse", "are worse"), ("not told apart", "Not told apart"), ("better", "are better")):
        mean = {"mean": 0.1, "low": 0.05, "high": 0.15, "verdict": verdict}
        whole = {
            "done": 40,
            "differences": [mean] * 4,
            "pairs": [0.08, 0.12],
            "networks": {"teacher": teacher} | students,
        }
        say(result=result | whole)
        assert words in page.inner_text(".kd-verdict")
    say(result=result | whole | {"pairs": [0.25, -0.05]})
    assert page.inner_text(".kd-verdict") == "Not told apart: one pair says this, another that."
    say(result=result | whole)
    assert "+0.100, 95 % interval +0.050 to +0.150" in page.inner_text("main")
    assert "from the same beginnings: +0.080, +0.120." in page.inner_text("main")
    dots = page.locator(".kd-dice .kd-dot").evaluate_all("dots => dots.map(d => Number(d.dataset.value))")
    assert dots == [0.7, 0.5, 0.6] * 4
    rows = page.locator("table tbody tr").all_inner_texts()
    assert rows[2].split("\t")[:3] == ["distilled student", "30,259", "0.60 (0.55 to 0.65)"]
    assert "Made for labels of 110 tiles, T = 1, α = 0.5." in page.inner_text("main")
    page.get_by_label("Labels", exact=True).select_option("few")
    page.wait_for_function("document.querySelectorAll('.kd-stale').length > 0")
    say(status="failed", message="training diverged")
    assert "This did not work: training diverged. The last good view stays." in page.inner_text(".kd-status")

    # It fits, and can be read by all.
    page.get_by_label("Labels", exact=True).select_option("all")
    page.wait_for_function("document.querySelectorAll('.kd-stale').length === 0")
    fits_and_is_accessible(page, 1400)
