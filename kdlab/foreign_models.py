"""Models that were made elsewhere: the pixels they take, their softmax taken off, and what is likely where they know nothing.

kdlab's samples lie in [0, 1], colours in the order red, green, blue, classes in the order of ``Dataset.class_names``.
"""

import warnings
from typing import NamedTuple

import numpy as np

from .backend import keras
from .evaluation import at_chance, balanced_accuracy
from .training_checks import check_one_in_one_out
from .transfer_set import logits_of

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
    ValueError for a sigmoid at the end, for several inputs or outputs, and for a model that is not built.
    """
    check_one_in_one_out(model, name)
    check_no_sigmoid(model, name)
    last = _last_layer(model)
    activation = _activation(last)
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and activation == "softmax"
    ):
        if last in model.layers:
            return keras.Model(model.inputs[0], last.input, name=model.name), True
    elif activation == "softmax":
        last.activation = keras.activations.linear
        return model, True
    return model, False


def check_no_sigmoid(model, name="model"):
    """Raise ValueError for a model whose last layer is a sigmoid."""
    if _activation(_last_layer(model)) == "sigmoid":
        raise ValueError(
            f"{name} ends in a sigmoid, an answer for each class by itself: kdlab needs a logit per class. Build it with "
            "Dense(number of classes) and no activation, for two classes Dense(2), and train it with "
            "SparseCategoricalCrossentropy(from_logits=True)"
        )


def _activation(layer):
    return getattr(getattr(layer, "activation", None), "__name__", "")


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
    scale, offset = float(np.median(white - black)), float(np.median(black))  # the margin may be padding
    if scale == 0 or (abs(scale - 1) < 1e-6 and abs(offset) < 1e-6):
        return None
    # 0 to 255 is divided, or has its means taken away; what `adapt` made multiplies first.
    return (0.0, 255.0) if abs(scale) < 0.1 or (offset < -10 and abs(scale) < 10) else (0.0, 1.0)


def inputs_by_itself(model):
    """Return the ``Inputs`` that a model takes as far as its own first layers say, else kdlab's."""
    return Inputs(guess_pixel_range(model) or (0.0, 1.0))


def _before_weights(model, x):
    """Return what the first layer with weights gets when the model gets ``x``."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) or not getattr(layer, "weights", ()):
            continue
        # Of a model inside this one, `input` would be its own, not what this one gives it.
        given = keras.tree.flatten(keras.Operation.input.fget(layer))[0]  # of attention: the query
        x = keras.Model(model.inputs[0], given)(x, training=False)
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


def ready(teachers):
    """Return models that take kdlab's samples, of these; ValueError for one that ends in a sigmoid."""
    for number, model in enumerate(teachers, 1):
        check_no_sigmoid(model, f"teacher {number}")
    return [adapt(model, inputs_by_itself(model)) for model in teachers]


def warn_at_chance(teachers, data, stacklevel):
    """Warn of each of these models that knows no more of ``data`` than a guess, with what it is likely to want."""
    splits = data.validation, data.train
    if not any((split.y >= 0).any() for split in splits):
        return
    for number, model in enumerate(teachers, 1):
        inputs = inputs_by_itself(model)
        named, labels = judge(adapt(model, inputs), *splits)
        if not at_chance(named, labels):
            continue
        found = explain_chance(model, inputs, data.class_names, *splits) if getattr(model, "inputs", None) else None
        mend = "its classes must be in the order of data.class_names"
        if found:
            how = f"kdlab.foreign_models.adapt(teacher, kdlab.foreign_models.{found[0]})"
            mend = f"with {how} its balanced accuracy would be {found[1]:.0%}"
        warnings.warn(
            f"teacher {number} is at chance level: balanced accuracy {balanced_accuracy(named, labels):.0%} on {len(labels)} "
            "labelled samples (of validation data and, where they are few, training data), with values from "
            f"{inputs.pixel_range[0]:g} to {inputs.pixel_range[1]:g}; {mend}",
            stacklevel=stacklevel + 1,
        )


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
            named.append(logits_of(model, split.x[rows]).argmax(axis=1))
            labels.append(split.y[rows])
    return np.concatenate(named), np.concatenate(labels)


def explain_chance(model, inputs, class_names, *splits):
    """Return what a model at chance is likely to want and the share it then gets right, (``Inputs``, 0 to 1), or None.

    ``model`` is without adaptation, ``inputs`` what it got. Tried are other ranges of pixels and orders of colours, and
    with each the data's order of classes, that of ``inputs`` and the one that fits best. None where nothing makes it
    know more than chance.
    """
    tried = []
    colour = len(model.inputs[0].shape) == 4 and model.inputs[0].shape[-1] == 3
    for pixel_range in dict.fromkeys((inputs.pixel_range, *RANGES)):
        for bgr in (False, True) if colour else (False,):
            named, labels = judge(adapt(model, Inputs(pixel_range, bgr)), *splits)
            for classes in {None, inputs.classes, _best_order(named, labels, len(class_names))}:
                found = named if classes is None else np.argsort(classes)[named]
                fitted = classes not in (None, inputs.classes)
                # Of equals the simplest.
                cost = (
                    0.15 * fitted
                    + 0.05 * (classes != inputs.classes)
                    + 0.05 * (bgr != inputs.bgr)
                    + 0.02 * (pixel_range != inputs.pixel_range)
                )
                score = balanced_accuracy(found, labels)
                # An order of classes is chosen on these very samples: even a guesser gains by it.
                knows = score > (1 + 1 / len(class_names)) / 2 if fitted else not at_chance(found, labels)
                if knows:
                    tried.append((score - cost, score, Inputs(pixel_range, bgr, classes)))
    _, score, best = max(tried, key=lambda one: one[0], default=(0, 0, inputs))
    return None if best == inputs else (best, score)


def _best_order(named, labels, classes):
    """Return the outputs in the order of the classes that they fit best."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, named), 1)
    order = tuple(int(k) for k in linear_sum_assignment(-counts)[1])
    return None if order == tuple(range(classes)) else order
