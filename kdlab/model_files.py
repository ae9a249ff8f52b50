"""Models in files: opened safely, checked against the data they are to meet, written at once, told apart."""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np

from .backend import keras
from .cache import ELSEWHERE, explained
from .checks import check_model_file
from .distiller import Distiller
from .training_checks import check_not_probabilities, check_one_in_one_out


class MisfitError(ValueError):
    """A model that does not take the data's samples; ``options``, {name: value}, read them as it does."""

    def __init__(self, message, options):
        super().__init__(message)
        self.options = options


def load(path):
    """Return the ``keras.Model`` of a ``.keras`` file, opened in safe mode; of a saved ``Distiller`` its student.

    Raises ValueError for a file that is missing, is damaged or no Keras model, or holds code.
    """
    path = check_model_file(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no .keras file, or only a part of one")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Of many kinds; what was wrong is in its first sentence.
        if "safe_mode" in str(error):
            raise ValueError(
                f"{path} holds Python code (a Lambda layer), which is not run: save the model without it"
            ) from error
        raise ValueError(f"{path} cannot be opened as a Keras model: {cause(error)}") from error
    return model.student if isinstance(model, Distiller) else model


def input_shape(path):
    """Return the shape of a sample of the model in a ``.keras`` file, None for a size that is free, without opening it as a model.

    None where its configuration, or the file, does not tell.
    """
    try:
        with zipfile.ZipFile(path) as file:
            text = file.read("config.json").decode()
        found = re.search(r'"batch_(?:input_)?shape": (\[[^\]]*\])', text)
        return tuple(json.loads(found[1])[1:]) if found else None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def cause(error, length=300):
    """Return the reason at the bottom of one of Keras's or TensorFlow's errors, one line: its message without configurations.

    Keras wraps an error in others, each with the configuration of all that it was opening, before the reason.
    """
    text = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config: ")[0]
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= length else text[:length].rsplit(" ", 1)[0] + " …"


def save(model, path):
    """Write ``model`` to the ``.keras`` file ``path`` at once or, where the disk is full, not at all (OSError)."""
    path = Path(path)
    partial = path.with_name(f".unfinished.{path.name}")  # Keras writes to names that end in .keras only.
    with explained(path.parent, ELSEWHERE):
        try:
            model.save(partial, include_optimizer=False)
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def check_fits(model, data, name="model"):
    """Raise ValueError unless ``model`` takes the samples of ``data`` and returns logits, one for each class.

    ``data`` is a ``kdlab.Dataset``, ``name`` the model's in the message.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"{name} must be a keras.Model, got {model!r}")
    samples, classes = tuple(data.train.x.shape[1:]), len(data.class_names)
    check_one_in_one_out(model, name)
    if getattr(model, "inputs", None):
        takes = tuple(model.inputs[0].shape[1:])
        if len(takes) != len(samples) or any(a not in (None, b) for a, b in zip(takes, samples, strict=True)):
            options = _mend(takes, samples)
            said = " and ".join(f"{key}={value} (--{key.replace('_', '-')} {value})" for key, value in options.items())
            raise MisfitError(
                f"{name} takes samples of shape {takes}, but the data's have shape {samples}"
                + (f"; a folder's images can be read with {said}" if said else ""),
                options,
            )
    logits = np.asarray(model(np.asarray(data.train.x[:2]), training=False), np.float32)
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise ValueError(
            f"{name} returns outputs of shape {logits.shape[1:]}, but the data have {classes} classes: "
            f"it must return {classes} logits per sample"
        )
    check_not_probabilities(logits, name)


def _mend(takes, samples):
    """Return the options of images that make samples of the second shape into the first, {name: value}."""
    if len(takes) != 3 or len(samples) != 3:
        return {}
    options = {
        "image_size": takes[0] if takes[:2] != samples[:2] and takes[0] == takes[1] else None,
        "channels": takes[2] if takes[2] != samples[2] else None,
    }
    return {name: value for name, value in options.items() if value}


def fingerprint(model):
    """Return a hash, hex digits, of all that a model's outputs depend on: its layers and its weights.

    The names that Keras gives to layers by counting them do not matter.
    """
    digest = hashlib.sha256(_structure(model).encode())
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value)
    return digest.hexdigest()


def _structure(model):
    """Return the model's configuration as text, every name in it replaced by the order in which it appears."""
    names = {}

    def alike(value):
        if isinstance(value, dict):
            return {key: number(part) if key == "name" else alike(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [alike(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    def number(name):
        return names.setdefault(name, f"#{len(names)}")

    return json.dumps(alike(keras.saving.serialize_keras_object(model)), sort_keys=True, default=str)
