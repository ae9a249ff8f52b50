"""The pages in a real browser, beside those of another checkout in the same run: `python tests/benchmarks/pages.py --old DIR`.

Prints a table of medians with the ratio of each (new by old): chapter 1's bars, which the browser draws, and chapter 2's
students, of which twenty are trained and drawn at every position; what a page costs to open, with a kernel started ahead,
and with a processor throttled six times. `--quick` measures only this checkout's bars, briefly.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import TimeoutError, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from conftest import FLAGS, LAB_PANELS, Server, find_chromium

THROTTLED = 6
CHAPTERS = {"bars": "01_temperature_softening", "students": "02_response_based_kd"}

# The panel in which a page has what is measured, its slider of T, and what changes when it is drawn.
OLD = {
    "bars": ("document.querySelector('[data-panel=bars]')", "input[type=range]", "tbody"),
    "students": ("document.querySelector('[data-panel=live]')", "input[type=range]", ".kd-strip"),
}
NEW = {
    "bars": ("labPanel('softened')", ".noUi-handle", "[data-kdlab=bars]"),
    "students": ("labPanel('students')", ".noUi-handle", "[data-kdlab=figure]"),
}

# Marks the panel and what is watched in it; true when both, and the slider, are there and something is drawn.
FIND = """([panel, handle, watched]) => {
    const found = globalThis.measured ??= eval(panel);
    const [knob, picture] = [found?.querySelector(handle), found?.querySelector(watched)];
    if (found && performance.now() > scrollAt) {  // again, where what is above it has grown
        globalThis.scrollAt = performance.now() + 1000;
        found.scrollIntoView({ block: "center" });
    }
    if (knob) knob.dataset.knob = "T";
    if (!knob || !picture || (picture.dataset.kdlab ? !picture.dataset.drawn : !picture.childElementCount)) return false;
    picture.dataset.watched = "yes";
    return true;
}"""
# Where a widget counts its drawings, only that is one; elsewhere every change of the picture is.
OBSERVE = """const observe = (seen) => {
    const picture = document.querySelector("[data-watched]");
    const every = { subtree: true, childList: true, attributes: true, characterData: true };
    new MutationObserver(seen).observe(picture, picture.dataset.kdlab ? { attributeFilter: ["data-drawn"] } : every);
};"""
# keyTimes are the ms from each key to the changed picture; pressed is when the one was that is still waited for.
WATCH = f"""() => {{
    {OBSERVE}
    [globalThis.keyTimes, globalThis.pressed] = [[], undefined];
    addEventListener("keydown", () => {{ globalThis.pressed ??= performance.now(); }}, true);
    observe(() => {{
        if (!globalThis.pressed) return;
        keyTimes.push(performance.now() - pressed);
        globalThis.pressed = undefined;
    }});
}}"""
FRAMES = f"""(seconds) => {{
    {OBSERVE}
    let [fresh, changes] = [false, 0];
    const start = performance.now();
    observe(() => {{ fresh = true; }});
    const look = () => {{
        changes += fresh;
        fresh = false;
        if (performance.now() - start < 1000 * seconds) requestAnimationFrame(look);
        else globalThis.changes = changes;
    }};
    requestAnimationFrame(look);
}}"""
MODELS = "Object.keys(globalThis.jupyterapp?.widgetManager?._models ?? {}).length"


@contextlib.contextmanager
def serving(port, folder=None):
    """Serve this checkout's pages, or those of the checkout in ``folder``, with what it starts ahead by default."""
    with tempfile.TemporaryDirectory() as data:
        environment = {}
        if folder:
            template = Path(data) / "voila" / "templates" / "kdlab"
            template.parent.mkdir(parents=True)
            template.symlink_to(folder / "kdlab" / "lab" / "voila_template")
            environment = {"PYTHONPATH": str(folder), "JUPYTER_PATH": data}
        server = Server("--port", str(port), folder=folder, environment=environment)
        try:
            yield server
        finally:
            server.stop()


def seconds_of(processes):
    """Return the processor time that processes have taken, in seconds."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(Exception):
            total += sum(process.cpu_times()[:2])
    return total


def calm(server):
    """Wait until the kernels of the server, those started ahead too, have nothing to do for two seconds."""
    before, end = None, time.monotonic() + 180
    while time.monotonic() < end:
        now = len(server.kernel_processes()), round(seconds_of(server.kernel_processes()), 1)
        if now == before:
            return
        before = now
        time.sleep(2)


@contextlib.contextmanager
def opened(browser, server, what, where, throttle=1):
    """Open the page with ``what``; yield it with the seconds to its first control and to the first picture."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(LAB_PANELS + "globalThis.scrollAt = 0;")
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    try:
        start = time.perf_counter()
        page.goto(server.page(CHAPTERS[what]), timeout=180_000)
        page.wait_for_selector(".noUi-handle, input[type=range]", timeout=180_000)
        control = time.perf_counter() - start
        page.wait_for_function(FIND, arg=list(where[what]), polling=50, timeout=180_000)
        picture = time.perf_counter() - start
        found = session.send("Performance.getMetrics")["metrics"]
        page.script_seconds = next(m["value"] for m in found if m["name"] == "ScriptDuration")
        yield page, control, picture
    finally:
        page.goto("about:blank")
        context.close()


def press_keys(page, count, rest):
    """Return the ms from each of ``count`` keys on T to the changed picture."""
    page.evaluate(WATCH)
    page.locator("[data-knob]").focus()
    for k in range(count):
        page.keyboard.press("ArrowRight" if k % 20 < 10 else "ArrowLeft")
        page.wait_for_timeout(rest)
    return page.evaluate("keyTimes")


def drag(page, server, seconds):
    """Return the pictures per second under a 60 Hz drag of T, and the kernels' processor time per picture in ms."""
    knob = page.locator("[data-knob]")
    left, width, y = knob.evaluate(
        "e => { const t = (e.closest('.noUi-target') ?? e).getBoundingClientRect(); return [t.left, t.width, t.top + t.height / 2]; }"
    )
    box = knob.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 if box["width"] < 60 else left + width / 2, y)
    page.mouse.down()
    before, i = seconds_of(server.kernel_processes()), 0
    page.evaluate(FRAMES, seconds)
    start = time.perf_counter()
    while (now := time.perf_counter() - start) < seconds:
        there_and_back = abs((60 * now / 35) % 2 - 1)  # at one speed, so that every move is a new value
        page.mouse.move(left + width * (0.1 + 0.8 * there_and_back), y)
        i += 1
        time.sleep(max(0, start + i / 60 - time.perf_counter()))
    used = seconds_of(server.kernel_processes()) - before
    page.mouse.up()
    page.wait_for_function("globalThis.changes !== undefined")
    changes = page.evaluate("changes")
    page.evaluate("delete globalThis.changes")
    return changes / seconds, 1000 * used / max(changes, 1)


def measure(browser, server, where, visits, keys, seconds, quick):
    """Return {row: value} of a server's two chapters, or quickly of one."""
    rows = {}
    for what, rest in (("bars", 60), ("students", 400))[: 1 if quick else 2]:
        controls, pictures = [], []
        for visit in range(visits):
            if not quick:
                calm(server)
            with opened(browser, server, what, where) as (page, control, picture):
                controls.append(control)
                pictures.append(picture)
                if visit < visits - 1:
                    continue
                page.wait_for_timeout(2000)
                times = press_keys(page, keys, rest)
                rows[f"{what}: key on T → drawn, median, ms"] = np.median(times)
                rows[f"{what}: key on T → drawn, p95, ms"] = np.percentile(times, 95)
                name = f"{what}: pictures/s under a 60 Hz drag"
                rows[name], rows[f"{what}: kernel's processor time per picture, ms"] = drag(page, server, seconds)
                rows[f"{what}: widget models on the page"] = page.evaluate(MODELS)
        rows[f"{what}: open → first control, s"] = np.median(controls)
        rows[f"{what}: open → first picture, s"] = np.median(pictures)
        if quick:
            continue
        calm(server)
        slow = [
            f"{what}: {part}, processor ÷ {THROTTLED}, s"
            for part in ("open → first control", "scripts to first picture")
        ]
        try:
            with opened(browser, server, what, where, THROTTLED) as (page, control, _):
                rows.update(zip(slow, (control, page.script_seconds), strict=True))
        except TimeoutError:  # a page whose widgets come too late for it never shows them
            rows.update(dict.fromkeys(slow, np.inf))
    return rows


def main(arguments=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, metavar="DIR", help="another checkout, to compare with")
    parser.add_argument("--port", type=int, default=8951)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="this checkout only, few repeats, nothing waited for")
    options = parser.parse_args(arguments)
    if options.quick:
        options.old, options.visits, options.keys = None, 1, 10
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for where, folder in ((NEW, None), (OLD, options.old and options.old.resolve())):
            if where is OLD and folder is None:
                continue
            with serving(options.port, folder) as server:
                seconds = 1 if options.quick else 4
                found.append(measure(browser, server, where, options.visits, options.keys, seconds, options.quick))
        browser.close()
    new, *old = found
    print("| what | new | old | new ÷ old |\n|---|---|---|---|" if old else "| what | new |\n|---|---|")
    for name, value in new.items():
        against = (
            f" {old[0][name]:.2f} | {value / old[0][name]:.2f} |" if old and old[0][name] else " | |" if old else ""
        )
        print(f"| {name} | {value:.2f} |{against}")


if __name__ == "__main__":
    main()
