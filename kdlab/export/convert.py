"""From a trained ``keras.Model`` to a microcontroller: conversion for LiteRT, full-integer quantisation, what it needs.

LiteRT is what TensorFlow Lite is called today; LiteRT for Microcontrollers (TensorFlow Lite Micro) runs the same file.
"""

import math
import os
import re
import tempfile
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..backend import keras, tf
from ..timing import time_per_example

__all__ = [
    "MultiplyAdds",
    "arena_bytes",
    "keras_latency",
    "latency",
    "multiply_adds",
    "run_tflite",
    "to_c_array",
    "to_tflite",
    "to_tflite_int8",
]

ALIGNMENT = 16  # bytes: of tensors in the arena, and of the model in flash


class MultiplyAdds(NamedTuple):
    """``total`` multiplications with an addition for one sample; ``not_counted``: layers that are not among them."""

    total: int
    not_counted: tuple[str, ...]


def to_tflite(model):
    """Return ``model`` as a LiteRT file's bytes: float32, one sample a call, the same bytes every time.

    Raises ValueError for a model that has no fixed shape of samples, or not one input and one output, and for layers
    that LiteRT does not have.
    """
    return _convert(model, lambda converter: None)


def to_tflite_int8(model, representative):
    """Return ``model`` as a LiteRT file's bytes in which all is int8: weights, activations, input and output.

    ``representative`` (N, …) float32 are training samples, 100 or so: scale and zero point of every activation are
    taken from the range that it has on them. Weights have one scale per output channel (Jacob et al. 2018, Quantization
    and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference). Raises ValueError as ``to_tflite``
    and for samples that are none, of another shape or not finite.
    """
    samples = _check_samples(representative, _sample_shape(model), "representative")

    def quantise(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8

    return _convert(model, quantise)


def _convert(model, prepare):
    """Return the bytes of ``model`` converted by TensorFlow's converter, which ``prepare`` may set up."""
    shape = _sample_shape(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    try:
        # One sample a call: without a fixed batch LiteRT for Microcontrollers could not plan its memory.
        signature = [tf.TensorSpec((1, *shape), tf.float32)]
        archive.add_endpoint("serve", lambda x: model(x, training=False), signature)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # The converter misses ranges of the input that it is about to measure.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
            archive.write_out(folder, verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            prepare(converter)
            with _without_stderr():
                return bytes(converter.convert())
    except OSError:
        raise
    except Exception as error:  # Of many kinds; what was wrong is at its beginning.
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"the model {model.name} cannot be converted for LiteRT: {reason}") from error


def to_c_array(tflite, name):
    """Return C source that holds the file ``tflite``, bytes: ``name_tflite``, aligned, and ``name_tflite_len``.

    It is C11 and C++11, to be included once. Raises ValueError for a ``name`` that is no C identifier.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a C identifier (letters, digits and _, no digit first), got {name!r}")
    if not tflite:
        raise ValueError("tflite must be the bytes of a LiteRT file, got none")
    rows = (tflite[start : start + 12] for start in range(0, len(tflite), 12))
    return "\n".join(
        (
            f"/* A LiteRT (TensorFlow Lite) model, {len(tflite)} bytes. */",
            "#include <stdalign.h>",
            "",
            f"alignas({ALIGNMENT}) static const unsigned char {name}_tflite[] = {{",
            *("    " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows),
            "};",
            f"static const unsigned int {name}_tflite_len = {len(tflite)};",
            "",
        )
    )


def run_tflite(tflite, x):
    """Return the logits (N, C), float32, of a LiteRT file's bytes on ``x`` (N, …), float32, one sample after another.

    An int8 file gets the samples quantised by its input's scale, and its outputs are given back in units of logits.
    Raises ValueError for bytes that are no LiteRT file and for ``x`` of another shape.
    """
    run, shape = _runner(tflite)
    x = _check_samples(x, shape, "x")
    return np.concatenate([run(x[k : k + 1]) for k in range(len(x))])


def latency(tflite, x, seconds=0.5):
    """Return the ``timing.Spread``, in seconds, of one sample of ``x`` (N, …) on one core of this machine.

    It is LiteRT's interpreter on a PC, quantisation of input and output with it: it compares models, it does not tell
    how long a microcontroller takes.
    """
    run, shape = _runner(tflite)
    return time_per_example(run, _check_samples(x, shape, "x"), 1, seconds)


def keras_latency(model, x, seconds=0.5):
    """Return the ``timing.Spread`` of one sample of ``x`` (N, …), as of ``latency``, for the model as it is, compiled."""
    signature = tf.TensorSpec((1, *_sample_shape(model)), tf.float32)
    call = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    x = _check_samples(x, _sample_shape(model), "x")
    return time_per_example(lambda sample: call(tf.constant(sample)).numpy(), x, 1, seconds)


def _runner(tflite):
    """Return a function from one sample (1, …) to its logits (1, C), and the shape of a sample."""
    interpreter = _interpreter(tflite)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(sample):
        scale, zero = taken["quantization"]
        if taken["dtype"] == np.int8:
            sample = np.clip(np.rint(sample / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(taken["index"], sample)
        interpreter.invoke()
        logits = interpreter.get_tensor(given["index"]).astype(np.float32)
        scale, zero = given["quantization"]
        return (logits - np.float32(zero)) * np.float32(scale) if given["dtype"] == np.int8 else logits

    return run, tuple(int(size) for size in taken["shape"][1:])


@contextmanager
def _without_stderr():
    """Within the block nothing written to standard error is seen: native code notes there that it has begun."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _interpreter(tflite):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ValueError(
            "the package ai-edge-litert, which runs LiteRT files, is not there for this machine"
        ) from error
    try:
        with _without_stderr():
            interpreter = Interpreter(model_content=bytes(tflite), num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"tflite must be the bytes of a LiteRT file, got {len(tflite)} bytes that are none") from error
    return interpreter


def multiply_adds(model):
    """Return the ``MultiplyAdds`` of one sample: every product that a sum is made of.

    Counted from the shapes that one sample gives: k·n in a dense layer of n units with k inputs, per position of the
    output kh·kw·c·n in a convolution of n filters over c channels and kh·kw·c in a depthwise one; a layer that is used
    twice counts twice. Batch normalization is 0: it goes into the weights beside it. Other layers with weights, and
    convolutions in groups, are named in ``not_counted``. Raises ValueError as ``to_tflite`` does.
    """
    signature = tf.TensorSpec((1, *_sample_shape(model)), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature).graph
    total = sum(_products(operation) for operation in graph.get_operations())
    others = (layer for layer in _layers(model) if layer.weights and not _is_counted(layer))
    return MultiplyAdds(total, tuple(dict.fromkeys(f"{layer.name} ({type(layer).__name__})" for layer in others)))


_COUNTED = (
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
)


def _is_counted(layer):
    return type(layer) in _COUNTED and getattr(layer, "groups", 1) == 1


def _products(operation):
    """Return the products of an operation of a TensorFlow graph: how many go into a number of its output, times those."""
    if operation.type not in ("MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative"):
        return 0
    kernel = operation.inputs[1].shape
    if operation.type == "Conv2D":
        # In groups: on a CPU Keras hides those in a function of their own, so they are not counted anywhere.
        each = math.prod(kernel[:3]) if kernel[2] == operation.inputs[0].shape[3] else 0
    elif operation.type == "DepthwiseConv2dNative":
        each = math.prod(kernel[:2])
    else:
        each = kernel[-1 if operation.get_attr("transpose_b" if operation.type == "MatMul" else "adj_y") else -2]
    return each * math.prod(operation.outputs[0].shape)


def _layers(model):
    """Yield the layers of a model, those of models inside it too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from _layers(layer)
        else:
            yield layer


def arena_bytes(tflite):
    """Return an estimate of the RAM, in bytes, that LiteRT for Microcontrollers needs for a file's activations.

    It is the largest sum of tensors that live at the same time (each from the operation that makes it to the last one
    that reads it, rounded up to 16 bytes), the operations in the file's order. Left out are what operations need for
    themselves while they run (a kernel's scratch buffer), the interpreter's own records of tensors and operations, gaps
    that a planner cannot fill, and the program's stack: add some kilobytes. Raises ValueError for bytes that are no
    LiteRT file.
    """
    from ai_edge_litert import schema_py_generated as schema

    tensors = {detail["index"]: detail for detail in _interpreter(tflite).get_tensor_details()}
    graph = schema.Model.GetRootAs(bytes(tflite)).Subgraphs(0)
    operations = [graph.Operators(k) for k in range(graph.OperatorsLength())]
    # Weights are read by operations, but nothing makes them.
    made = dict.fromkeys(graph.InputsAsNumpy().tolist(), 0)
    read = dict.fromkeys(graph.OutputsAsNumpy().tolist(), len(operations))
    for k, operation in enumerate(operations):
        made |= dict.fromkeys(operation.OutputsAsNumpy().tolist(), k)
        for index in operation.InputsAsNumpy().tolist():
            read[index] = max(k, read.get(index, 0))
    sizes = {index: _arena_size(tensors[index]) for index in made}
    return max(
        sum(size for index, size in sizes.items() if made[index] <= k <= read.get(index, made[index]))
        for k in range(max(len(operations), 1))
    )


def _arena_size(tensor):
    size = int(np.prod(tensor["shape"], dtype=np.int64)) * np.dtype(tensor["dtype"]).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT


def _sample_shape(model):
    """Return the shape of a sample, all sizes known; ValueError for a model that cannot be converted."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {model!r}")
    inputs, outputs = (keras.tree.flatten(getattr(model, what, None) or []) for what in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} and {len(outputs)}"
        raise ValueError(f"the model {model.name} must have one input and one output, got {found}")
    shape = tuple(inputs[0].shape[1:])
    if None in shape:
        raise ValueError(f"the model {model.name} must take samples of a fixed shape, got {shape}")
    return shape


def _check_samples(x, shape, name):
    x = np.asarray(x, np.float32)
    if not len(x) or x.shape[1:] != shape:
        raise ValueError(f"{name} must be samples of shape (N, {', '.join(map(str, shape))}), N ≥ 1, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers")
    return x
