"""The forms of one model, measured alike: Keras as it is, LiteRT in float32, LiteRT in int8."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backend import keras
from ..evaluation import accuracy
from ..timing import Spread
from ..transfer_set import logits_of
from . import convert
from .quantisation import HIGHEST_BITS, LOWEST_BITS, quantise_model


class Form(NamedTuple):
    """What a form answers, ``logits`` (N, C), and what it needs: ``file`` and ``arena`` in bytes, ``seconds`` a sample.

    The Keras form has no ``arena`` (None) and no ``tflite`` (b"").
    """

    logits: np.ndarray
    file: int
    arena: int | None
    seconds: Spread
    tflite: bytes = b""


def forms(model, representative, x, seconds=0.1, count=None):
    """Return {"Keras": ``Form``, "float32": …, "int8": …} of a ``keras.Model`` on the samples ``x`` (N, …).

    ``representative`` are the training samples that int8 measures its ranges on, as of ``convert.to_tflite_int8``, or
    None for no int8; ``seconds`` is how long each form is timed. The Keras file is counted without an optimizer's state.
    ``count`` is a function from what is counted to a ``progress(done, samples)``. Raises ValueError as
    ``convert.to_tflite_int8`` does.
    """
    files = {"float32": convert.to_tflite(model)}
    if representative is not None:
        files["int8"] = convert.to_tflite_int8(model, representative)
    answers = logits_of(model, x)
    found = {"Keras": Form(answers, _size(model), None, convert.keras_latency(model, x, seconds))}
    for name, tflite in files.items():
        times = convert.latency(tflite, x, seconds)
        logits = convert.run_tflite(tflite, x, count and count(f"samples by {name}"))
        found[name] = Form(logits, len(tflite), convert.arena_bytes(tflite), times, tflite)
    return found


class Tensor(NamedTuple):
    """A tensor of a LiteRT file: what it is called, its whole numbers (weights only, else None), S and Z."""

    name: str
    integers: np.ndarray | None
    scales: np.ndarray
    zero_point: int


def tensors(tflite):
    """Return the quantised ``Tensor``s of a LiteRT file's bytes, in the file's order: the output last.

    ``scales`` are one per output channel (the first axis) for weights, one for activations.
    """
    interpreter = convert.interpreter_of(tflite)
    activations = {k for detail in interpreter._get_ops_details() for k in detail["outputs"]}
    activations |= {detail["index"] for detail in interpreter.get_input_details()}
    found = []
    for detail in interpreter.get_tensor_details():
        scales, weights = detail["quantization_parameters"]["scales"], detail["index"] not in activations
        if detail["dtype"] == np.int8 and len(scales):
            integers = interpreter.get_tensor(detail["index"]) if weights else None
            found.append(Tensor(detail["name"], integers, scales, int(detail["quantization"][1])))
    return found


def _size(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras", include_optimizer=False)
        return (Path(folder) / "model.keras").stat().st_size


def accuracy_by_bits(models, x, y):
    """Return the accuracies on ``x`` (N, …), ``y`` (N,) of ``models`` with weights of 2 to 8 bits: (7, models).

    Biases and activations stay as they are, and the models are left as they were.
    """
    every = range(LOWEST_BITS, HIGHEST_BITS + 1)
    found = np.empty((len(every), len(models)))
    for k, model in enumerate(models):
        copy = keras.models.clone_model(model)
        for row, bits in enumerate(every):
            copy.set_weights(quantise_model(model.get_weights(), bits))
            found[row, k] = accuracy(np.asarray(copy(x, training=False)), y)
    return found
