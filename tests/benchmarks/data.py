"""Seconds and memory of reading data: an EMNIST-letters-sized .mat, and a folder of images decoded or from the cache.

    python tests/benchmarks/data.py [--images 145600] [--files 3000] [--rounds 3] [--mnist mnist.npz]

Each reading runs in a fresh process; the least of ``rounds`` counts ("of CPU" is what other work on the machine does
not touch). Memory is that process's greatest resident set
(``resource.getrusage``), with the interpreter and all libraries, divided by the size of the float32 images it returns;
"÷, own part" leaves out what was resident before the reading began. The rivals do what tutorials do: ``loadmat``,
``astype``, a division, ``reshape`` and scikit-learn's ``train_test_split``; one pass of Keras's
``image_dataset_from_directory``, which decodes in every epoch.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE = 64  # pixels of the folder's images after reading


def make_mat(path, images, mnist):
    """Write ``images`` images as NIST ships letters: MNIST's digits over and over, or blobs without them."""
    import scipy.io

    if mnist:
        with np.load(mnist) as file:
            digits = np.concatenate([file["x_train"], file["x_test"]])
    else:
        grid = np.mgrid[:28, :28][:, None]
        centres = np.random.default_rng(0).uniform(8, 20, (2, 20_000, 1, 1))
        digits = (255 * np.exp(-((grid - centres) ** 2).sum(axis=0) / 20)).astype(np.uint8)
        digits[digits < 60] = 0
    pixels = digits[np.arange(images) % len(digits)].transpose(0, 2, 1).reshape(images, 784)
    labels = (np.arange(images) % 26 + 1).astype(np.uint8)[:, None]
    border = images * 6 // 7  # letters: 124,800 and 20,800
    parts = {
        name: {"images": pixels[part], "labels": labels[part], "writers": np.zeros_like(labels[part], np.uint16)}
        for name, part in (("train", slice(border)), ("test", slice(border, None)))
    }
    mapping = np.array([[k + 1, 65 + k, 97 + k] for k in range(26)], np.uint8)
    scipy.io.savemat(path, {"dataset": {**parts, "mapping": mapping}}, do_compression=True)


def make_folder(path, files):
    """Write ``files`` colour JPEGs of 200 to 400 pixels a side, two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for k in range(files):
        small = random.integers(0, 256, (12, 12, 3), np.uint8)
        folder = Path(path, "ab"[k % 2])
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(small).resize(tuple(random.integers(200, 401, 2).tolist()), Image.Resampling.BICUBIC)
        image.save(folder / f"{k}.jpg", quality=90)


def by_kdlab(path):
    import kdlab

    options = {"image_size": SIDE} if Path(path).is_dir() else {}
    data = kdlab.load(path, **options)
    return [data.train.x, data.validation.x, data.test.x]


def as_tutorials_do(path):
    import scipy.io
    from sklearn.model_selection import train_test_split

    dataset = scipy.io.loadmat(path)["dataset"]
    arrays = []
    for part in ("train", "test"):
        x = dataset[part][0, 0]["images"][0, 0].astype("float32") / 255
        arrays.append(x.reshape(len(x), 28, 28, 1, order="A").transpose(0, 2, 1, 3))
    y = dataset["train"][0, 0]["labels"][0, 0]
    return [*train_test_split(arrays[0], test_size=0.1, stratify=y, random_state=0), arrays[1]]


def by_keras(path):
    from kdlab.backend import keras

    dataset = keras.utils.image_dataset_from_directory(path, image_size=(SIDE, SIDE), batch_size=64, verbose=False)
    return [x.numpy() for x, _ in dataset]


READERS = {reader.__name__: reader for reader in (by_kdlab, as_tutorials_do, by_keras)}


def read(reader, path):
    """In a process of its own: read, and print what it took."""
    if reader == "by_keras":
        import kdlab.backend  # starting TensorFlow is not counted
    else:
        import scipy.io  # noqa: F401
        import sklearn.model_selection  # noqa: F401

        import kdlab.datasets.dataset  # noqa: F401
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, start_of_work = time.perf_counter(), time.process_time()
    arrays = READERS[reader](path)
    seconds, work = time.perf_counter() - start, time.process_time() - start_of_work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(array.nbytes for array in arrays) / 1024
    print(json.dumps({"seconds": seconds, "work": work, "size": size, "peak": peak, "before": before}))


def fresh(*arguments):
    """Run this script with these arguments in a fresh process; return what it printed last."""
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout.strip().split("\n")[-1]


def best(rounds, reader, path):
    """The reading that took the least time, and the greatest memory of all."""
    found = [json.loads(fresh("--read", reader, path)) for _ in range(rounds)]
    return {**min(found, key=lambda one: one["seconds"]), "peak": max(one["peak"] for one in found)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=145_600)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mnist", metavar="NPZ", help="MNIST as an .npz; blobs without it")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        return read(*options.read)
    if options.make:  # in a process of its own too: a child begins with its parent's greatest resident set
        kind, path = options.make
        return make_mat(path, options.images, options.mnist) if kind == "mat" else make_folder(path, options.files)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDLAB_CACHE"] = str(Path(folder, "cache"))
        mat, images = Path(folder, "emnist-letters.mat"), Path(folder, "images")
        fresh("--make", "mat", mat, "--images", options.images, *(["--mnist", options.mnist] if options.mnist else []))
        fresh("--make", "folder", images, "--files", options.files)

        ours, theirs = best(options.rounds, "by_kdlab", mat), best(options.rounds, "as_tutorials_do", mat)
        print(
            f"{mat.name}, {options.images} images, {mat.stat().st_size / 1e6:.0f} MB; {ours['size'] / 1024:.0f} MiB as float32\n"
        )
        print(f"{'':32}{'seconds':>9}{'of CPU':>9}{'÷ kdlab':>9}{'peak MiB':>10}{'÷ float32':>11}{'÷, own part':>13}")
        for name, one in (("kdlab.load", ours), ("loadmat and numpy", theirs)):
            print(
                f"{name:32}{one['seconds']:9.2f}{one['work']:9.2f}{one['seconds'] / ours['seconds']:9.2f}{one['peak'] / 1024:10.0f}"
                f"{one['peak'] / one['size']:11.2f}{(one['peak'] - one['before']) / one['size']:13.2f}"
            )

        first = best(1, "by_kdlab", images)
        again, keras = best(options.rounds, "by_kdlab", images), best(options.rounds, "by_keras", images)
        print(f"\n{options.files} JPEGs of 200 to 400 pixels a side, to {SIDE}×{SIDE}\n")
        print(f"{'':32}{'seconds':>9}{'of CPU':>9}{'÷ cache':>9}")
        rows = (
            ("kdlab.load, the first time", first),
            ("kdlab.load, from the cache", again),
            ("Keras, each epoch", keras),
        )
        for name, one in rows:
            print(f"{name:32}{one['seconds']:9.2f}{one['work']:9.2f}{one['seconds'] / again['seconds']:9.2f}")
    return None


if __name__ == "__main__":
    main()
