"""Models that were made elsewhere: the pixels they take, their softmax taken off, and what is likely where they know nothing.

kdlab's samples lie in [0, 1], colours in the order red, green, blue, classes in the order of ``Dataset.class_names``.
"""

from typing import NamedTuple

import numpy as np

from .backend import keras
from .evaluation import at_chance, balanced_accuracy
from .transfer_set import over_batches

__all__ = ["Inputs", "adapt", "explain_chance", "guess_pixel_range", "judge", "take_softmax_off"]

RANGES = ((0.0, 255.0), (-1.0, 1.0), (0.0, 1.0))
ENOUGH, MOST_JUDGED = 100, 500  # samples that tell knowing from guessing, and that are looked at


class Inputs(NamedTuple):
    """How a model's samples and classes differ from kdlab's.

    ``pixel_range`` is what 0 and 1 become; ``bgr`` whether blue comes first; ``classes`` the indices of its outputs in
    the order of the data's classes, None for the same order.
    """

    pixel_range: tuple[float, float] = (0.0, 1.0)
    bgr: bool = False
    classes: tuple[int, ...] | None = None


def take_softmax_off(model, name="model"):
    """Return ``model`` or, where a layer shows a softmax as its last step, a model of the logits before it, and whether it did.

    Layers and weights are shared; a softmax that is a layer's activation is taken off ``model`` itself. Raises
    ValueError for a sigmoid at the end.
    """
    last = _last_layer(model)
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if activation == "sigmoid":
        raise ValueError(
            f"{name} ends in a sigmoid, an answer for each class by itself: kdlab needs a logit per class. Build it with "
            "Dense(number of classes) and no activation, for two classes Dense(2), and train it with "
            "SparseCategoricalCrossentropy(from_logits=True)"
        )
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and activation == "softmax"
    ):
        if last in model.layers:
            return keras.Model(model.inputs[0], last.input, name=model.name), True
    elif activation == "softmax":
        last.activation = keras.activations.linear
        return model, True
    return model, False


def _last_layer(model):
    last = model.layers[-1] if getattr(model, "layers", None) else None
    return _last_layer(last) if isinstance(last, keras.Model) else last


def guess_pixel_range(model):
    """Return the range of pixels that a model's own first layers speak of, (0, 255) or (0, 1), or None where they say nothing.

    What they do is measured: all that comes before the first layer with trained weights (Rescaling, Normalization,
    arithmetic, those of models inside it) is run on samples of zeros and of ones.
    """
    try:
        shape = tuple(size or 32 for size in model.inputs[0].shape[1:])
        black, white = np.asarray(
            _before_weights(model, np.stack([np.zeros(shape), np.ones(shape)]).astype(np.float32))
        )
    except (AttributeError, TypeError, ValueError, IndexError):  # Layers that are not in a row.
        return None
    scale, offset = float(np.mean(white - black)), float(np.mean(black))
    if abs(scale - 1) < 1e-6 and abs(offset) < 1e-6:
        return None
    return (0.0, 255.0) if abs(scale) < 0.1 or offset < -10 else (0.0, 1.0)


def _before_weights(model, x):
    """Return what the first layer with weights gets when the model gets ``x``."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) or not getattr(layer, "weights", ()):
            continue
        x = keras.Model(model.inputs[0], layer.input)(x, training=False)
        return _before_weights(layer, x) if isinstance(layer, keras.Model) else x
    return x


def adapt(model, inputs):
    """Return a ``keras.Model`` that takes kdlab's samples and hands them to ``model`` as ``inputs`` says."""
    if inputs == Inputs():
        return model
    samples = keras.Input(model.inputs[0].shape[1:])
    low, high = inputs.pixel_range
    x = keras.layers.Rescaling(high - low, offset=low)(samples)
    logits = model(keras.ops.flip(x, axis=-1) if inputs.bgr else x)
    if inputs.classes:
        logits = keras.ops.take(logits, list(inputs.classes), axis=-1)
    return keras.Model(samples, logits, name=model.name)


def judge(model, *splits):
    """Return the classes that ``model`` names and the labels, of labelled samples of these splits.

    Of each there are at most as many as 500 lack: few validation samples are joined by training samples, for two or ten
    cannot tell knowing from guessing.
    """
    named, labels, rng = [], [], np.random.default_rng(0)
    for split in splits:
        rows = rng.permutation(np.flatnonzero(split.y >= 0))[: MOST_JUDGED - sum(map(len, labels))]
        if len(rows) and sum(map(len, labels)) < ENOUGH:
            rows = np.sort(rows)
            named.append(_logits(model, split.x[rows]).argmax(axis=1))
            labels.append(split.y[rows])
    return np.concatenate(named), np.concatenate(labels)


def explain_chance(model, inputs, class_names, *splits):
    """Return what a model at chance is likely to want, a sentence: the change of ``Inputs`` that makes it know most.

    ``model`` is without adaptation, ``inputs`` what it got. Tried are other ranges of pixels and orders of colours, and
    of each the order of classes that fits best. "" where nothing makes it know more than chance.
    """
    tried = []
    colour = len(model.inputs[0].shape) == 4 and model.inputs[0].shape[-1] == 3
    for pixel_range in dict.fromkeys((inputs.pixel_range, *RANGES)):
        for bgr in (False, True) if colour else (False,):
            named, labels = judge(adapt(model, Inputs(pixel_range, bgr)), *splits)
            order = _best_order(named, labels, len(class_names))
            for classes in (None, order):
                found = named if classes is None else np.argsort(classes)[named]
                # Of equals the simplest.
                cost = (
                    0.15 * (classes is not None)
                    + 0.05 * (bgr != inputs.bgr)
                    + 0.02 * (pixel_range != inputs.pixel_range)
                )
                score = balanced_accuracy(found, labels)
                # An order of classes is chosen on these very samples: even a guesser gains by it.
                knows = score > (1 + 1 / len(class_names)) / 2 if classes else not at_chance(found, labels)
                if knows:
                    tried.append((score - cost, score, Inputs(pixel_range, bgr, classes)))
    if not tried:
        return ""
    _, score, best = max(tried, key=lambda one: one[0])
    options = []
    if best.pixel_range != inputs.pixel_range:
        options.append("--pixel-range {:g},{:g}".format(*best.pixel_range))
    if best.bgr != inputs.bgr:
        options.append(f"--colour-order {'bgr' if best.bgr else 'rgb'}")
    if best.classes:
        options.append(f"--teacher-classes {','.join(class_names[k] for k in np.argsort(best.classes))}")
    return f"With {' '.join(options)} it would be right about {100 * score:.0f} %" if options else ""


def _best_order(named, labels, classes):
    """Return the outputs in the order of the classes that they fit best."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, named), 1)
    order = tuple(int(k) for k in linear_sum_assignment(-counts)[1])
    return None if order == tuple(range(classes)) else order


def _logits(model, x):
    return over_batches(lambda batch: model(batch, training=False), np.asarray(x, np.float32))
