"""Argument checks shared by every floor: each names the argument, what was given and what is accepted."""

import math
from numbers import Integral, Real
from pathlib import Path

import numpy as np

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 10_000.0  # beyond, float32 rounds the softened differences away


def check_temperature(temperature, name="temperature"):
    """Return ``temperature`` as a float, or raise ValueError unless it is a finite number above 0."""
    if isinstance(temperature, np.ndarray) and temperature.ndim == 0:
        temperature = temperature.item()
    if not _is_number(temperature) or not math.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"{name} must be a finite number above 0, got {temperature!r}")
    return float(temperature)


def check_training_temperature(temperature, name="temperature"):
    """Return ``temperature`` as a float, or raise ValueError for one that single precision cannot train at."""
    temperature = check_temperature(temperature, name)
    if not LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE:
        accepted = f"from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"
        raise ValueError(f"{name} must be {accepted} to train in single precision, got {temperature:g}")
    return temperature


def check_alpha(alpha, name="alpha"):
    """Return ``alpha`` as a float, or raise ValueError unless it lies in [0, 1]."""
    if isinstance(alpha, np.ndarray) and alpha.ndim == 0:
        alpha = alpha.item()
    if not _is_number(alpha) or not 0 <= alpha <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {alpha!r}")
    return float(alpha)


def check_count(value, name, least=1, most=None):
    """Return ``value`` as an int, or raise ValueError unless it is a whole number from ``least`` to ``most``."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        accepted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {accepted}, got {value!r}")
    return int(value)


def check_model_file(path):
    """Return ``path`` as a Path, or raise ValueError: for one that is not there, or one of a format that is not read.

    Accepted is a ``.keras`` file. Of the older formats of Keras and TensorFlow the message says how to get one.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            raise ValueError(
                f"{path} is a TensorFlow SavedModel, whose layers Keras 3 cannot read: where the model was made, save it "
                "with model.save('model.keras')"
            )
        raise ValueError(f"{path} is a folder, not a .keras file")
    if not path.is_file():
        where = "" if path.parent.is_dir() else f": there is no folder {path.parent}"
        raise ValueError(f"there is no file {path}{where}")
    if path.suffix.lower() in (".h5", ".hdf5"):
        new = path.with_suffix(".keras")
        raise ValueError(
            f"{path} is in Keras's older format; this line makes a .keras file of it: python -c \"import keras; "
            f"keras.saving.load_model('{path}', compile=False).save('{new}')\""
        )
    return path


def check_logits(logits, name="logits", dimensions=None):
    """Return ``logits`` as a float array of shape (..., classes), or raise ValueError.

    Integers become float64 and half precision float32; float32 and float64 stay as they are.
    Accepted: finite numbers, at least two classes on the last axis; ``dimensions`` fixes the number of axes.
    """
    try:
        logits = np.asarray(logits)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, got {_short(logits)}") from None
    if logits.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be real numbers, got values of type {logits.dtype}")
    logits = logits.astype(np.result_type(logits, np.float32), copy=False)
    if logits.ndim == 0 or (dimensions is not None and logits.ndim != dimensions):
        wanted = "(..., classes)" if dimensions is None else "(samples, classes)"
        raise ValueError(f"{name} must have shape {wanted}, got shape {logits.shape}")
    if logits.shape[-1] < 2:
        raise ValueError(f"{name} must have at least 2 classes on the last axis, got shape {logits.shape}")
    if not np.isfinite(logits).all():
        bad = logits[~np.isfinite(logits)]
        raise ValueError(f"{name} must be finite, got {bad.size} value(s) that are not, the first is {bad[0]}")
    return logits


def check_labels(labels, classes, samples, name="labels", unlabelled=False):
    """Return ``labels`` as an integer array (samples,), or raise ValueError.

    Accepted: whole numbers from 0 to ``classes`` − 1, from 0 on if that is None; also −1, "no label", where ``unlabelled`` is true.
    """
    try:
        labels = np.asarray(labels)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of whole numbers, got {_short(labels)}") from None
    if labels.shape != (samples,):
        raise ValueError(f"{name} must have shape ({samples},), one label per sample, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        if labels.dtype.kind != "f" or not (np.isfinite(labels) & (labels == np.round(labels))).all():
            raise ValueError(f"{name} must be whole numbers, got values of type {labels.dtype}")
        labels = labels.astype(np.int64)
    lowest = -1 if unlabelled else 0
    wrong = labels[(labels < lowest) | (labels >= (math.inf if classes is None else classes))]
    if wrong.size:
        also = " (or -1 for an unlabelled sample)" if unlabelled else ""
        accepted = "be whole numbers from 0 on" if classes is None else f"lie in 0 to {classes - 1}"
        raise ValueError(f"{name} must {accepted}{also}, got {wrong[0]}")
    return labels


def check_same_shape(first, second, first_name, second_name):
    """Raise ValueError unless the two arrays have one shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"{first_name} and {second_name} must have the same shape, got {first.shape} and {second.shape}"
        )


def _is_number(value):
    return isinstance(value, (Real, Integral)) and not isinstance(value, (bool, np.bool_))


def _short(value, length=60):
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
