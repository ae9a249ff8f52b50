"""Chapter 4's speeds: `python tests/benchmarks/medical.py`.

Prints: EfficientNetB0's time per image over the brain student's, at the same size and batch; seconds from the release of
a slider to the first point of a curve, by the panel's own thread and, where there is a Chromium, in it; an epoch of
`keras.distillation.Distiller` with the EfficientNetB0 teacher over an epoch from kept logits.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from kdlab import Distiller, models
from kdlab.backend import keras, tf
from kdlab.export import multiply_adds
from kdlab.lab.medical import Chapter
from kdlab.timing import time_per_example

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from conftest import FLAGS, Server, find_chromium

SHAPE, CLASSES = (128, 128, 3), 2


def speeds(x):
    """Print what an image takes in either network, and the ratio."""
    networks = {
        "EfficientNetB0": models.efficientnet(SHAPE, CLASSES, weights=None, seed=0),
        "small-cnn": models.small_cnn(SHAPE, CLASSES, seed=0),
    }
    counts = "; ".join(f"{n}: {m.count_params():,} parameters" for n, m in networks.items())
    print(f"{counts}; {multiply_adds(networks['small-cnn']).total:,} multiply-adds of the student's")
    for batch in (1, 32):
        taken = {}
        for name, network in networks.items():
            run = tf.function(lambda images, network=network: network(images, training=False))
            taken[name] = time_per_example(lambda images, run=run: run(images).numpy(), x, batch, seconds=6)
            print(f"  batch {batch:2}, {name:15}", " ".join(f"{1e3 * t:8.2f}" for t in taken[name][:3]), "ms per image")
        print(f"  batch {batch:2}, ratio {taken['EfficientNetB0'].median / taken['small-cnn'].median:.1f}")


def slider(moves=6):
    """Print the seconds from a request of the panel to the first epoch that it tells of, once all is warm."""
    panel = Chapter().training()
    first = {}
    panel.observe(
        lambda change: first.setdefault(change["new"]["position"]["temperature"], time.perf_counter()), "result"
    )

    def ask(temperature):
        asked = time.perf_counter()
        panel.request = {"temperature": temperature, "alpha": 0.9, "counter": temperature}
        return asked

    def wait(condition, seconds=300):
        end = time.perf_counter() + seconds
        while not condition() and time.perf_counter() < end:
            time.sleep(0.005)

    ask(1.0)
    wait(lambda: panel.result.get("difference") and panel.status == "idle")
    print(f"  a whole training of distilled students: {panel.result['seconds']:.1f} s")
    for name, pause in (("at rest", True), ("while another position trains", False)):
        taken = []
        for k in range(moves):
            temperature = 2.0 + k + 0.5 * pause
            asked = ask(temperature)
            wait(lambda t=temperature: t in first)
            taken.append(first[temperature] - asked)
            if pause:
                panel.request = {"stop": True, "counter": -temperature}
                wait(lambda: panel.status == "idle")
        print(f"  slider to first point, {name}: median {np.median(taken):.2f} s, longest {max(taken):.2f} s")
    panel.request = {"stop": True}


def in_the_browser(moves=5):
    """Print the same in Chromium: from the key that moves T to the first curve point of that T drawn."""
    from playwright.sync_api import sync_playwright

    server = Server("--port", "8953")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(server.page("04_medical_imaging"))
        page.wait_for_selector('[data-panel="images"] button', timeout=60_000)
        print(f"  page to first control: {time.perf_counter() - start:.2f} s")
        panel = page.locator('[data-panel="training"]')
        panel.scroll_into_view_if_needed()
        page.wait_for_selector('[data-panel="training"] .kd-verdict:not(:empty)', timeout=180_000)
        panel.get_by_label("Temperature T", exact=True).focus()
        taken = []
        for _ in range(moves):
            page.wait_for_timeout(1500)
            start = time.perf_counter()
            page.keyboard.press("ArrowRight")
            shown = panel.get_by_label("Temperature T, typed").input_value()
            page.wait_for_function(
                "text => document.querySelector('[data-panel=training] .kd-made').textContent.startsWith(text) && "
                "!document.querySelector('[data-panel=training] .kd-stale')",
                arg=f"Made for T = {shown}, α",
            )
            taken.append(time.perf_counter() - start)
        print(f"  key to first point, in the browser: median {np.median(taken):.2f} s, longest {max(taken):.2f} s")
        browser.close()
    server.stop()


def epochs(x, y, batch_size=32, rounds=3):
    """Print the seconds of an epoch from kept logits and of one of Keras's Distiller, the least of some."""
    teacher = models.efficientnet(SHAPE, CLASSES, weights=None, seed=0)
    ours = Distiller(student=models.small_cnn(SHAPE, CLASSES, seed=0))
    ours.compile(keras.optimizers.Adam(1e-3))
    logits = Distiller(teacher=teacher, student=ours.student).teacher_logits(x)
    theirs = keras.distillation.Distiller(
        teacher=teacher,
        student=models.small_cnn(SHAPE, CLASSES, seed=0),
        distillation_losses=keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=0.1,
    )
    theirs.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    taken = {"kept logits": [], "keras.distillation.Distiller": []}
    for _ in range(rounds + 1):  # the first compiles
        for (name, seconds), fit in zip(
            taken.items(),
            (
                lambda: ours.fit(x, y, batch_size=batch_size, verbose=0, teacher_logits=logits),
                lambda: theirs.fit(x, y, batch_size=batch_size, verbose=0),
            ),
            strict=True,
        ):
            start = time.perf_counter()
            fit()
            seconds.append(time.perf_counter() - start)
            print(f"    {name}: {seconds[-1]:.2f} s", flush=True)
    kept, keras_ = (min(seconds[1:]) for seconds in taken.values())
    print(f"  an epoch of {len(x)} images: kept logits {kept:.2f} s, Keras {keras_:.2f} s, ratio {keras_ / kept:.1f}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--only", choices=("speeds", "slider", "browser", "epochs"))
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    x, y = random.random((options.images, *SHAPE), np.float32), random.integers(0, CLASSES, options.images)
    parts = {
        "speeds": lambda: speeds(x),
        "slider": slider,
        "browser": in_the_browser if find_chromium() else lambda: print("  no Chromium"),
        "epochs": lambda: epochs(x, y),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            print(name, flush=True)
            part()


if __name__ == "__main__":
    main()
