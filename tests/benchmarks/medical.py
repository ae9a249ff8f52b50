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
from kdlab.datasets.dataset import Dataset, Split
from kdlab.export.convert import latency, multiply_adds, to_tflite
from kdlab.lab.medical import Chapter
from kdlab.lab.pages import CHAPTERS
from kdlab.live.convolutional import ConvolutionalTrainer
from kdlab.timing import time_per_example

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from conftest import FLAGS, Server, find_chromium

SHAPE, CLASSES = (128, 128, 1), 2  # of brain scans as they are prepared


def speeds(x, rounds=8):
    """Print what an image takes in either network, and the ratio: the two take turns, so that both meet the same noise."""
    networks = {
        "EfficientNetB0": models.efficientnet(SHAPE, CLASSES, weights=None, seed=0),
        "small-cnn": models.small_cnn(SHAPE, CLASSES, seed=0),
    }
    counts = "; ".join(f"{n}: {m.count_params():,} parameters" for n, m in networks.items())
    print(f"{counts}; {multiply_adds(networks['small-cnn']).total:,} multiply-adds of the student's")
    files = {name: to_tflite(network) for name, network in networks.items()}
    ways = {f"Keras, batch {batch}": lambda name, batch=batch: in_keras(networks[name], x, batch) for batch in (1, 32)}
    ways["LiteRT, batch 1, one core"] = lambda name: latency(files[name], x, seconds=1).median
    for way, median in ways.items():
        taken = np.array([[1e3 * median(name) for name in networks] for _ in range(rounds)])
        for name, milliseconds in zip(networks, taken.T, strict=True):
            print(f"  {way}: {name:15}", quartiles(milliseconds, 2), "ms per image")
        print(f"  {way}: ratio", quartiles(taken[:, 0] / taken[:, 1], 1))
    empty = time_per_example(lambda images: tf.identity(tf.constant(images)).numpy(), x, 1, seconds=1).median
    print(f"  (an empty call, batch 1: {1e3 * empty:.2f} ms)")


def in_keras(network, x, batch):
    """Return the median of the seconds that an image takes a compiled network, in batches of this size."""
    call = tf.function(lambda images: network(images, training=False))
    call = call.get_concrete_function(tf.TensorSpec((batch, *x.shape[1:]), tf.float32))
    return time_per_example(lambda images: call(tf.constant(images)).numpy(), x, batch, seconds=1).median


def quartiles(values, digits):
    """Return a median and its quartiles in words."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


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
    server.wait(lambda: server.kernels() == 1 + len(CHAPTERS), 120)
    time.sleep(5)  # the last one imports TensorFlow
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(server.page("04_medical_imaging"))
        page.wait_for_selector('[data-panel="images"] button', timeout=60_000)
        print(f"  page to first control, kernels ahead: {time.perf_counter() - start:.2f} s")
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


def epochs(x, y, batch_size=32, epochs=20, rounds=3):
    """Print the seconds of an epoch from kept logits and of one of Keras's Distiller; they take turns as well."""
    teacher = models.efficientnet(SHAPE, CLASSES, weights=None, seed=0)
    ours = Distiller(student=models.small_cnn(SHAPE, CLASSES, seed=0))
    ours.compile(keras.optimizers.Adam(1e-3))
    logits = Distiller(teacher=teacher, student=ours.student).teacher_logits(x)
    none = Split(x[:0], y[:0])
    trainer = ConvolutionalTrainer(
        Dataset(Split(x, y), none, none, ("a", "b"), "noise", "none"),
        teacher,
        lambda seed: models.small_cnn(SHAPE, CLASSES, seed),
        epochs,
        batch_size,
    )
    theirs = keras.distillation.Distiller(
        teacher=teacher,
        student=models.small_cnn(SHAPE, CLASSES, seed=0),
        distillation_losses=keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=0.1,
    )
    theirs.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitting = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
    ways = {
        "keras.distillation.Distiller": lambda: theirs.fit(x, y, **fitting),
        "kept logits, kdlab.Distiller": lambda: ours.fit(x, y, teacher_logits=logits, **fitting),
        "kept logits, ConvolutionalTrainer": lambda: trainer.train(seeds=1),
    }
    taken = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first compiles
        for name, fit in ways.items():
            start = time.perf_counter()
            fit()
            taken[name].append((time.perf_counter() - start) / epochs)
    keras_ = taken["keras.distillation.Distiller"][1:]
    print(f"  an epoch of {len(x)} images, in runs of {epochs}")
    for name, seconds in taken.items():
        print(
            f"  {name:33}", quartiles(seconds[1:], 3), "s, Keras's ÷ it", quartiles(np.divide(keras_, seconds[1:]), 1)
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--only", choices=("speeds", "slider", "browser", "epochs"))
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    x = random.random((options.images, *SHAPE), np.float32)
    y = random.integers(0, CLASSES, options.images, np.int32)
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
