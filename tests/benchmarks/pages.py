"""The pages in a real browser: `python tests/benchmarks/pages.py`.

Chapter 1 against the same bars drawn by the kernel, and chapter 2, where every update is ten trained students.

Prints a table: page open → first control; key → bars changed (median, p95); updates per second under a 60 Hz drag.
The rival is what a notebook does without a module of its own: an ipywidgets slider whose observer computes softmax in
the kernel and draws the bars as SVG into an HTML widget, served by plain Voila.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from conftest import FLAGS, Server, find_chromium

RIVAL = """
import ipywidgets, numpy as np
from kdlab import softmax
from kdlab.datasets import digits_logits
logits = digits_logits()["teacher"][0]
slider = ipywidgets.FloatLogSlider(4.0, min=-1, max=2, step=0.01)
bars = ipywidgets.HTML()
def draw(_=None):
    q = softmax(logits, slider.value)
    bars.value = "<svg class='rival' viewBox='0 0 200 100'>" + "".join(
        f"<rect x='{20 * k}' y='{100 - 100 * p}' width='16' height='{100 * p}'/>" for k, p in enumerate(q)) + "</svg>"
slider.observe(draw, "value")
draw()
ipywidgets.VBox([slider, bars])
"""

# In the page: how many frames of a drag show a new picture; and how long after a key the picture has changed.
FRAMES = """([watched, seconds]) => new Promise(done => {
    const ANY = { subtree: true, childList: true, attributes: true, characterData: true };
    let [fresh, changes] = [false, 0];
    const start = performance.now();
    new MutationObserver(() => { fresh = true; }).observe(document.querySelector(watched), ANY);
    const look = () => {
        changes += fresh;
        fresh = false;
        if (performance.now() - start < 1000 * seconds) requestAnimationFrame(look);
        else done(changes / seconds);
    };
    requestAnimationFrame(look);
})"""
WATCH = """watched => {
    const ANY = { subtree: true, childList: true, attributes: true, characterData: true };
    globalThis.keyTimes = [];
    let pressed;
    addEventListener("keydown", () => { pressed = performance.now(); }, true);
    new MutationObserver(() => {
        if (pressed === undefined) return;
        keyTimes.push(performance.now() - pressed);
        pressed = undefined;
    }).observe(document.querySelector(watched), ANY);
}"""


def measure(browser, url, handle, watched, visits=7, keys=60, rest=60):
    """Return (first control s, [key → changed ms], updates per second)."""
    opened = []
    for _ in range(visits):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector(handle, timeout=60_000)
        opened.append(time.perf_counter() - start)
        if len(opened) < visits:
            page.close(run_before_unload=True)
            context.close()
            time.sleep(4)
    page.wait_for_selector(watched, timeout=60_000)
    page.wait_for_timeout(3000)
    page.evaluate(WATCH, watched)
    knob = page.locator(handle).first
    knob.focus()
    for k in range(keys):
        page.keyboard.press("ArrowRight" if k % 20 < 10 else "ArrowLeft")
        page.wait_for_timeout(rest)
    times = page.evaluate("keyTimes")
    box = knob.bounding_box()
    y = box["y"] + box["height"] / 2
    page.evaluate(f"void ({FRAMES})({json.dumps([watched, 2])}).then(rate => {{ globalThis.rate = rate; }})")
    track = page.locator(f"{handle}").first.evaluate(
        "e => { const t = (e.closest('.noUi-target') ?? e).getBoundingClientRect(); return [t.left, t.width]; }"
    )
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    start = time.perf_counter()
    for i in range(140):
        there_and_back = abs((i / 35) % 2 - 1)  # at one speed, so that every move is a new value
        page.mouse.move(track[0] + track[1] * (0.1 + 0.8 * there_and_back), y)
        time.sleep(max(0, start + (i + 1) / 60 - time.perf_counter()))
    page.mouse.up()
    page.wait_for_function("globalThis.rate !== undefined")
    rate = page.evaluate("rate")
    context.close()
    return np.median(opened), np.array(times), rate


def first_result(browser, url, watched):
    """Return the seconds from opening the page to its first trained students."""
    page = browser.new_page()
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(watched, timeout=60_000)
    seconds = time.perf_counter() - start
    page.close(run_before_unload=True)
    return seconds


def main():
    """Measure both and print the table."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        server = Server("--port", "8951")
        time.sleep(6)
        bars = '[data-panel="bars"] tbody'
        ours = measure(browser, server.page("01_temperature_softening"), '[data-panel="bars"] input[type=range]', bars)
        time.sleep(4)
        live = server.page("02_response_based_kd")
        first = first_result(browser, live, ".kd-strip svg")
        time.sleep(6)
        knob = '[data-panel="live"] input[type=range]'
        trained = measure(browser, live, knob, ".kd-strip", visits=3, rest=400)
        server.stop()
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(RIVAL)])
        nbformat.write(book, Path(folder) / "rival.ipynb")
        command = [sys.executable, "-m", "voila", folder, "--no-browser", "--port", "8952"]
        rival = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(6)
        try:
            address = "http://localhost:8952/voila/render/rival.ipynb"
            theirs = measure(browser, address, ".noUi-handle", ".widget-html-content, .jupyter-widgets.widget-html")
        finally:
            rival.terminate()
            rival.wait()
        browser.close()
    print("| what | kdlab | plain Voila, drawn by the kernel | ratio |")
    print("|---|---|---|---|")
    print(f"| open → first control, s | {ours[0]:.2f} | {theirs[0]:.2f} | {theirs[0] / ours[0]:.1f} |")
    for name, share in (("median", 50), ("p95", 95)):
        a, b = np.percentile(ours[1], share), np.percentile(theirs[1], share)
        print(f"| key → bars changed, {name}, ms | {a:.1f} | {b:.1f} | {b / a:.1f} |")
    print(f"| updates/s under a 60 Hz drag | {ours[2]:.0f} | {theirs[2]:.0f} | {ours[2] / theirs[2]:.1f} |")
    print("\n| chapter 2, ten students trained per update | |")
    print("|---|---|")
    print(f"| open → first control, s | {trained[0]:.2f} |")
    print(f"| open → first trained students, s | {first:.2f} |")
    print(f"| key → new accuracies drawn, median, ms | {np.percentile(trained[1], 50):.0f} |")
    print(f"| key → new accuracies drawn, p95, ms | {np.percentile(trained[1], 95):.0f} |")
    print(f"| updates/s under a 60 Hz drag | {trained[2]:.1f} |")


if __name__ == "__main__":
    main()
