"""The default epochs, patience and batch size beside a small search: `python tests/benchmarks/defaults.py [--folder DIR]`.

`small-cnn` on so many of the shipped nuclei, drawn anew for each seed and divided as `kdlab train` divides a folder; judged
on the nuclei of the test region, which are many more than a small folder's own test images. With ``--folder``: all its
images, divided by each seed, as `kdlab train` does, and judged on its own test images. The best of the search is chosen
by its mean accuracy there, so that it is a little too good: the difference is a bound.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import kdlab
from kdlab import models
from kdlab.backend import keras
from kdlab.datasets.dataset import Dataset, Split
from kdlab.runs.runs import Settings, suggest, train


def draw(data, images, seed):
    """Return ``data`` with so many of its images to train and validate on, less a fifth as a folder's own test images."""
    x, y = (np.concatenate([getattr(part, name) for part in (data.train, data.validation)]) for name in ("x", "y"))
    kept = round(0.8 * images)
    rows = np.random.default_rng(seed).permutation(len(y))[:kept]
    trained, checked = train_test_split(rows, test_size=max(3, round(0.1 * kept)), stratify=y[rows], random_state=seed)
    parts = (Split(x[some], y[some]) for some in (trained, checked))
    return Dataset(*parts, data.test, data.class_names, data.source, data.licence)


def accuracy(data, settings):
    """Return the test accuracy of a student trained that way, and the seconds it took."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train(models.build("small-cnn", data, settings.seed), data, Path(folder) / "student.keras", settings)
        logits = run.model.predict(data.test.x, batch_size=512, verbose=0)
    keras.backend.clear_session()
    return np.mean(logits.argmax(1) == data.test.y), time.perf_counter() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"type": lambda text: [int(n) for n in text.split(",")]}
    parser.add_argument("--images", default=[60, 180, 1000], **numbers)
    parser.add_argument("--folder", metavar="DIR", help="of class folders of images, in place of the shipped nuclei")
    parser.add_argument("--epochs", default=[30, 100, 300], help="of the search", **numbers)
    parser.add_argument("--batches", default=[8, 32], help="sizes, of the search", **numbers)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-most", type=int, default=10**6, metavar="EPOCHS", help="the default, too, has no more")
    options = parser.parse_args(arguments)
    if options.folder:
        data = [kdlab.load(options.folder, seed=seed) for seed in range(options.seeds)]
        drawings = {sum(map(len, (data[0].train, data[0].validation, data[0].test))): data}
    else:
        data = kdlab.load("nuclei")
        drawings = {images: [draw(data, images, seed) for seed in range(options.seeds)] for images in options.images}
    test = next(iter(drawings.values()))[0].test
    share = np.bincount(test.y).max() / len(test)
    print(f"{len(test)} test images, the most frequent class is {100 * share:.1f} % of them\n")
    print(
        "| images | default: batch, epochs, patience | test accuracy, % | s | best of the search | test accuracy, % | difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for images, drawn in drawings.items():
        default = suggest(len(drawn[0].train))
        default["epochs"] = min(default["epochs"], options.at_most)
        searched = [
            {"batch_size": batch, "epochs": epochs, "patience": max(5, epochs // 2)}
            for batch, epochs in itertools.product(options.batches, options.epochs)
        ]
        found = [
            np.mean([accuracy(one, Settings(**way, seed=seed)) for seed, one in enumerate(drawn)], axis=0)
            for way in (default, *searched)
        ]
        ours, best = found[0], max(range(1, len(found)), key=lambda k: found[k][0])
        ways = [", ".join(map(str, way.values())) for way in (default, searched[best - 1])]
        difference = 100 * (ours[0] - found[best][0])
        print(
            f"| {images} | {ways[0]} | {100 * ours[0]:.1f} | {ours[1]:.0f} | {ways[1]} | {100 * found[best][0]:.1f} "
            f"| {difference:+.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
