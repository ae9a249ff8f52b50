"""How often a student alone is right about scans it has not seen: `python tests/benchmarks/brain_scans.py FOLDER`.

Cross-validation with the recipe of `kdlab train`, on a folder of brain scans as `kdlab.load` divides it, without its test
part: what a student should look like can be chosen here, and the test scans are left for the last word. Exact copies stay
on one side. Prints accuracy and AUC of each repetition, all scans of it judged by students that have not seen them.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

import kdlab
from kdlab import models
from kdlab.backend import keras
from kdlab.datasets.dataset import Dataset, Split
from kdlab.runs.runs import Settings, train


def divide(x, y, copies, parts, seed):
    """Yield the rows of (rest, held out) for each of some parts."""
    yield from StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(x, y, copies)


def judge(data, model, settings):
    """Train the model and return its logits on the test part, (N, 2)."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(models.build(model, data, settings.seed), data, Path(folder) / "student.keras", settings)
        return trained.model.predict(data.test.x, verbose=0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--model", default="small-cnn", help="one of kdlab's names (default: %(default)s)")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--image-size", type=int, default=128)
    options = parser.parse_args(arguments)
    data = kdlab.load(options.folder, preparation="brain-mri", image_size=options.image_size)
    x, y = (np.concatenate([getattr(part, name) for part in (data.train, data.validation)]) for name in ("x", "y"))
    copies = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in x])
    print(f"{len(y)} scans of {len(set(copies))} contents; the {len(data.test)} test scans are not among them")
    found = []
    for repetition in range(options.repetitions):
        margin = np.zeros(len(y))
        for fold, (rest, held) in enumerate(divide(x, y, copies, options.folds, repetition)):
            train_rows, check_rows = next(divide(x[rest], y[rest], copies[rest], 10, repetition))
            parts = (Split(x[rows], y[rows]) for rows in (rest[train_rows], rest[check_rows], held))
            settings = Settings(epochs=options.epochs, batch_size=16, patience=40, seed=100 * repetition + fold)
            logits = judge(Dataset(*parts, data.class_names, data.source, data.licence), options.model, settings)
            margin[held] = logits[:, 1] - logits[:, 0]
            keras.backend.clear_session()
        found.append((np.mean((margin > 0) == y), roc_auc_score(y, margin)))
        print(f"  repetition {repetition + 1}: accuracy {found[-1][0]:.3f}, AUC {found[-1][1]:.3f}", flush=True)
    accuracy, area = np.mean(found, axis=0)
    print(f"{options.model}: accuracy {accuracy:.3f}, AUC {area:.3f}, means of {options.repetitions} repetitions")


if __name__ == "__main__":
    main()
