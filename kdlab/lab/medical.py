"""What chapter 4's cells call: speeds, scans from a folder, and what trained networks come to, as tables and figures."""

from pathlib import Path

import numpy as np

from .. import figures
from ..clinical import auc, bootstrap_interval, scores_for_auc, sensitivity, specificity
from ..evaluation import paired_difference, wilson_interval
from ..softening import softmax
from .controls import points, table, verdict

NO_SCANS = (
    "There are no scans yet: download “Brain MRI Images for Brain Tumor Detection” from "
    "kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection and type the path of the folder holding yes and no, "
    "or type brain-tumor to let this page download it."
)
SECONDS = 0.4  # that each speed is measured for


def speed(network, x):
    """Return a network's multiply-adds for an image, and milliseconds (median) alone and in a batch of 32."""
    from ..backend import tf
    from ..export.convert import multiply_adds
    from ..timing import time_per_example

    run = tf.function(lambda images: network(images, training=False))
    times = [1000 * time_per_example(lambda b: run(b).numpy(), x, batch, SECONDS).median for batch in (1, 32)]
    return multiply_adds(network).total, *times


def on_test(scores, ill, threshold):
    """Return sensitivity, specificity and their sum minus 1 at a ``threshold``, as words; scores and ``ill`` (N,)."""
    threshold = float(np.clip(threshold, 0, 1))  # scikit-learn's highest is infinity: nothing is called positive
    found, left = (f(scores, np.asarray(ill).astype(int), threshold) for f in (sensitivity, specificity))
    return [f"{found:.3f}", f"{left:.3f}", f"{found + left - 1:.3f}"]


def with_random_top(model, last, seed=1):
    """Return a copy of ``model`` with its weights up to the layer named ``last``, "" for none, and random ones above it.

    ``seed`` must not be the one that the model itself began with: trained weights are similar to their initial values.
    """
    from ..backend import keras

    keras.utils.set_random_seed(seed)
    copy = keras.models.clone_model(model)
    names = [layer.name for layer in model.layers]
    for name in names[: names.index(last) + 1 if last else 0]:
        copy.get_layer(name).set_weights(model.get_layer(name).get_weights())
    return copy


def scan_folder(text):
    """Return the folder of scans that ``text`` names: a path, or "brain-tumor" for the one from Kaggle.

    Raises ValueError for a path that is no folder, OSError where the download fails.
    """
    if text.strip() == "brain-tumor":
        from ..datasets.image_folders import brain_tumor_folder

        return brain_tumor_folder()
    path = Path(text.strip()).expanduser()
    if not path.is_dir():
        raise ValueError(
            f"folder must be brain-tumor or the path of a folder with one folder of images per class, got {text!r}"
        )
    return path


def judged(data, kinds):
    """Return a table of networks on ``data.test``, of two classes, words, and the verdict on distilled − alone.

    ``kinds`` is {name: ``ConvolutionalResult``}; class 1 is the positive one. The table is of the first student of each, the
    verdict of all.
    """
    x, y, rows = data.test.x, data.test.y, []
    for name, result in kinds.items():
        logits = result.logits(x)[0]
        p = softmax(logits.astype(np.float64))
        right, scores = np.sum(p.argmax(axis=1) == y), p[:, 1]
        share = "{:.1%} ({:.1%} to {:.1%})".format(right / len(y), *wilson_interval(int(right), len(y))[-2:])
        clinical = [f"{f(scores, y):.3f}" for f in (sensitivity, specificity)]
        count = result.students[0].count_params()
        rows.append([name, f"{count:,}", share, *clinical, _area(scores_for_auc(logits), y)])
    majority = np.bincount(y).max() / len(y)
    heads = ["network", "parameters", "accuracy (95 %)", "sensitivity", "specificity", "AUC (95 %)"]
    caption = f"{len(y)} test scans, the first student of each kind; positive: {data.class_names[1]}; "
    caption += f"the larger class alone would be right on {majority:.1%}"
    gain = paired_difference(kinds["distilled"].test_accuracy, kinds["alone"].test_accuracy)
    return table(rows, heads, caption), "All pairs of students:", verdict(gain)


def _area(scores, y):
    """Return the AUC with its interval, where there are samples for one, in words."""
    if min(np.bincount(y, minlength=2)) < 2:
        return f"{auc(scores, y):.3f}"
    return "{:.3f} ({:.3f} to {:.3f})".format(*bootstrap_interval("auc", scores, y, resamples=1000))


def dice_curves(kinds):
    """Return the figure of the validation Dice of U-Nets while they learn: ``kinds`` is {name: ``UNetResult``}."""
    most = max(result.validation_dice.shape[1] for result in kinds.values())
    series = {
        f"{name}, student {seed + 1}": np.pad(row, (0, most - len(row)), constant_values=np.nan)
        for name, result in kinds.items()
        for seed, row in enumerate(result.validation_dice)
    }
    return figures.curves(np.arange(1, most + 1), series, xlabel="epoch", ylabel="Dice, validation tiles", log=False)


def dice_verdicts(kinds, tiles):
    """Return a table of Dice on ``tiles`` by class, with intervals and the paired difference, distilled − alone."""
    from ..datasets.nuclei import CLASS_NAMES
    from ..segmentation import dice_differences, dice_intervals, overlaps
    from ..unet import segment

    counts = {n: np.stack([overlaps(segment(s, tiles.x), tiles.classes) for s in r.students]) for n, r in kinds.items()}
    rows = [
        [name, *(f"{v:.3f} ({low:.3f} to {high:.3f})" for v, low, high in dice_intervals(of))]
        for name, of in counts.items()
    ]
    gains = dice_differences(counts["distilled"], counts["alone"])
    rows.append(
        ["distilled − alone", *(f"{points(g.mean)} ({points(g.low)} to {points(g.high)}) points" for g in gains)]
    )
    return table(rows, ["", *CLASS_NAMES, "mean"], f"Dice on {len(tiles)} test tiles, 95 % intervals over tiles")
