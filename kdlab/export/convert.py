"""From a trained ``keras.Model`` to a microcontroller: conversion for LiteRT, full-integer quantisation, what it needs.

LiteRT is what TensorFlow Lite is called today; LiteRT for Microcontrollers (TensorFlow Lite Micro) runs the same file.
"""

import math
import re
import tempfile
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..backend import keras, tf
from ..execution import leaf_layers, made_of
from ..features.taps import tap
from ..model_files import cause
from ..quiet import without_standard_error
from ..timing import time_per_example
from .converter import ConverterError, convert_here, convert_saved_model, start

ALIGNMENT = 16  # bytes: of tensors in the arena, and of the model in flash
# What kdlab's own students are made of, and how large their weights and what they compute may be: see _is_harmless.
_HARMLESS = (
    *("InputLayer", "Dense", "Conv2D", "BatchNormalization", "ReLU", "Dropout", "Flatten"),
    *("Rescaling", "MaxPooling2D", "GlobalAveragePooling2D"),
)
_ORDINARY = 1e-3, 1e4


class MultiplyAdds(NamedTuple):
    """``total`` multiplications with an addition for one sample; ``not_counted``: layers that are not among them."""

    total: int
    not_counted: tuple[str, ...]


def to_tflite(model):
    """Return ``model`` as a LiteRT file's bytes: float32, one sample a call, the same bytes every time.

    It computes in float32 also where the model, of mixed precision, does not. Raises ValueError for a model that has no
    fixed shape of samples, or not one input and one output, and for layers that LiteRT does not have.
    """
    return _convert(model)


def to_tflite_int8(model, representative):
    """Return ``model`` as a LiteRT file's bytes in which all is int8: weights, activations, input and output.

    ``representative`` (N, …) float32 are training samples, 100 or so: scale and zero point of every activation are
    taken from the range that it has on them. Weights have one scale per output channel (Jacob et al. 2018, Quantization
    and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference). Raises ValueError as ``to_tflite``
    and for samples that are none, of another shape or not finite.
    """
    return _convert(model, _check_samples(representative, _sample_shape(model), "representative"))


def _convert(model, samples=None):
    """Return the bytes of ``model`` converted by TensorFlow's converter, in int8 where there are ``samples``."""
    shape = _sample_shape(model)
    if any(weight.dtype == "float64" for weight in model.weights):
        raise ValueError(
            f"the model {model.name} has weights in float64, which LiteRT does not compute with: build it in float32 and "
            "give it these weights"
        )
    try:
        here = _is_harmless(model, samples)
        if not here:
            start()
        archive = keras.export.ExportArchive()
        archive.track(model)
        # One sample a call: without a fixed batch LiteRT for Microcontrollers could not plan its memory.
        signature = [tf.TensorSpec((1, *shape), tf.float32)]
        with tempfile.TemporaryDirectory() as folder:
            with _in_float32(model):
                archive.add_endpoint("serve", lambda x: tf.cast(model(x, training=False), tf.float32), signature)
                archive.write_out(folder, verbose=False)
            return (convert_here if here else convert_saved_model)(folder, samples)
    except OSError:
        raise
    except ConverterError as error:
        rolled = [layer.name for layer in model._flatten_layers() if getattr(layer, "unroll", None) is False]
        helps = (
            f"build {', '.join(rolled)} with unroll=True, with the same weights"
            if rolled
            else "convert it in float32, or without its last layers, to find the one that it cannot take"
        )
        raise ValueError(f"the model {model.name} cannot be converted for LiteRT: {error}; {helps}") from error
    except Exception as error:  # Of many kinds.
        lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))  # in MLIR's pages of text
        why = f"LiteRT has no {', '.join(lacking)}; build the model without it" if lacking else cause(error)
        raise ValueError(f"the model {model.name} cannot be converted for LiteRT: {why}") from error


def _is_harmless(model, samples):
    """Whether the converter is known to survive this model: only these layers, and outputs of ordinary size.

    It crashes on some other layers, and where an output to be quantised is 0 for all samples, or huge or not finite for one.
    """
    try:
        return _is_plain(model) and (samples is None or _is_ordinary(model, samples))
    except Exception:  # Of what cannot be looked at nothing is known.
        return False


def _is_plain(model):
    """Whether the model is one graph of nothing but these layers, as kdlab builds them, with weights of ordinary size."""
    parts, linear = getattr(model, "operations", model.layers), keras.activations.linear
    return (
        made_of(model, _HARMLESS)
        and not any(isinstance(part, keras.Model) or not isinstance(part, keras.layers.Layer) for part in parts)
        and all(tensor.dtype == "float32" for tensor in model.inputs)
        and all(part.dtype_policy.name == "float32" for part in parts)
        and all(getattr(part, "activation", linear) in (linear, keras.activations.relu) for part in parts)
        and all(getattr(part, "groups", 1) == 1 for part in parts)
        and all(getattr(part, "data_format", "channels_last") == "channels_last" for part in parts)
        and all(np.abs(weight).max() < _ORDINARY[1] for weight in model.get_weights())
    )


def _is_ordinary(model, samples, batch_size=16):
    """Whether what each layer returns on ``samples`` is of ordinary size."""
    names = [part.name for part in model.layers if not isinstance(part, keras.layers.InputLayer)]
    tapped, largest = tap(model, names), 0.0  # an error where one is called more than once
    for k in range(0, len(samples), batch_size):
        _, found = tapped(samples[k : k + batch_size], training=False)
        sizes = [tf.reduce_max(tf.where(tf.math.is_finite(y), tf.abs(y), math.inf)) for y in found.values()]
        largest = np.maximum(largest, tf.stack(sizes))
    return bool(np.all((largest > _ORDINARY[0]) & (largest < _ORDINARY[1])))


@contextmanager
def _in_float32(model):
    """Within the block all layers compute in float32, which mixed precision keeps the weights in anyway."""
    layers = [layer for layer in model._flatten_layers() if layer.compute_dtype != "float32"]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


def to_c_array(tflite, name, header=None, more=()):
    """Return C source that holds the file ``tflite``, bytes: ``name_tflite``, aligned, and ``name_tflite_len``.

    Without ``header`` it is a header by itself, for one source file: its symbols are static. With the name of a header,
    as ``to_c_header`` makes it, it is the source file that defines what the header declares, for the whole program.
    Both are C11 and C++11. ``more`` are lines of C to add. Raises ValueError for a ``name`` that is no C identifier.
    """
    guard = _guard(name)
    if not tflite:
        raise ValueError("tflite must be the bytes of a LiteRT file, got none")
    rows = (tflite[start : start + 12] for start in range(0, len(tflite), 12))
    static = "" if header else "static "
    begin = [f'#include "{header}"', ""] if header else [f"#ifndef {guard}", f"#define {guard}", ""]
    return "\n".join(
        (
            f"/* A LiteRT (TensorFlow Lite) model, {len(tflite)} bytes. */",
            *begin,
            "#ifndef __cplusplus",
            "#include <stdalign.h>",
            "#endif",
            "",
            f"alignas({ALIGNMENT}) {static}const unsigned char {name}_tflite[] = {{",
            *("    " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows),
            "};",
            f"{static}const unsigned int {name}_tflite_len = {len(tflite)};",
            *more,
            *([] if header else ["", "#endif"]),
            "",
        )
    )


def to_c_header(tflite, name, more=()):
    """Return the C header that declares what ``to_c_array(tflite, name, header)`` defines, for C11 and C++11.

    ``more`` are lines of C to add.
    """
    guard, more = _guard(name), "".join(f"{line}\n" for line in more)
    return f"""/* A LiteRT (TensorFlow Lite) model, {len(tflite)} bytes. */
#ifndef {guard}
#define {guard}

#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}_tflite[{len(tflite)}]; /* at a multiple of {ALIGNMENT} bytes */
extern const unsigned int {name}_tflite_len;
{more}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _guard(name):
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a C identifier (letters, digits and _, no digit first), got {name!r}")
    return f"{macro(name)}_TFLITE_H"


def macro(name):
    """Return a C identifier as a macro's name begins: in capitals, without underscores in front of a letter."""
    return re.sub(r"^_+(?=[A-Za-z])", "", name).upper()


def run_tflite(tflite, x, progress=None):
    """Return the logits (N, C), float32, of a LiteRT file's bytes on ``x`` (N, …), float32, one sample after another.

    An int8 file gets the samples quantised by its input's scale, and its outputs are given back in units of logits.
    ``progress(done, samples)`` is called now and then.

    Raises ValueError for bytes that are no LiteRT file and for ``x`` of another shape.
    """
    run, shape = _runner(tflite)
    x = _check_samples(x, shape, "x")
    logits = []
    for k in range(len(x)):
        logits.append(run(x[k : k + 1]))
        if progress and (k + 1 == len(x) or k % 256 == 255):
            progress(k + 1, len(x))
    return np.concatenate(logits)


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
    interpreter = interpreter_of(tflite)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(sample):
        interpreter.set_tensor(taken["index"], quantised(sample, taken))
        interpreter.invoke()
        logits = interpreter.get_tensor(given["index"]).astype(np.float32)
        scale, zero = given["quantization"]
        return (logits - np.float32(zero)) * np.float32(scale) if given["dtype"] == np.int8 else logits

    return run, tuple(int(size) for size in taken["shape"][1:])


def quantised(values, detail):
    """Return ``values`` as a tensor has them: rounded to its scale where it is int8; ``detail`` as the interpreter gives it."""
    if detail["dtype"] != np.int8:
        return np.asarray(values, detail["dtype"])
    scale, zero = detail["quantization"]
    return np.clip(np.rint(values / scale) + zero, -128, 127).astype(np.int8)


def interpreter_of(tflite):
    """Return LiteRT's interpreter of a file's bytes, ready to run; ValueError for bytes that are none."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ValueError(
            "the package ai-edge-litert, which runs LiteRT files, is not there for this machine"
        ) from error
    try:
        with without_standard_error():
            interpreter = Interpreter(model_content=bytes(tflite), num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"tflite must be the bytes of a LiteRT file, got {len(tflite)} bytes that are none") from error
    return interpreter


def multiply_adds(model):
    """Return the ``MultiplyAdds`` of one sample: every product that a sum is made of.

    Counted from the shapes that one sample gives: k·n in a dense layer of n units with k inputs, per position of the
    output kh·kw·c·n in a convolution of n filters that each see c channels and kh·kw·c in a depthwise one; a layer that
    is used twice counts twice, and a recurrent one at every step. Products number by number, as in normalization and
    gates, are 0. Layers with other products of weights (a transposed or 3-D convolution) are named in ``not_counted``.
    Raises ValueError as ``to_tflite`` does.
    """
    signature = tf.TensorSpec((1, *_sample_shape(model)), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature).graph
    found = list(_products(graph))
    layers = {layer.name: layer for layer in leaf_layers(model)}
    others = (_maker(layers, name) for name, products in found if products is None)
    return MultiplyAdds(sum(products or 0 for _, products in found), tuple(dict.fromkeys(others)))


# With a GPU TensorFlow runs a recurrent layer as one operation of cuDNN.
_NOT_COUNTED = ("Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "CudnnRNN", "CudnnRNNV2", "CudnnRNNV3")


def _products(graph, times=1, within=""):
    """Yield the name of each operation of a TensorFlow graph that makes sums of products, and their number or None.

    They are ``times`` as many as one run has; ``within`` is the operation whose body the graph is.
    """
    for operation in _needed(graph):
        kind, name = operation.type, within or operation.name
        if kind in ("PartitionedCall", "StatefulPartitionedCall"):
            yield from _products(graph._get_function(operation.get_attr("f").name).graph, times, name)
        elif kind in ("While", "StatelessWhile"):
            body = graph._get_function(operation.get_attr("body").name).graph
            # Keras hands a recurrent layer's steps over as a list of tensors.
            lists = [made.op.inputs[0] for made in operation.inputs if made.op.type == "TensorListFromTensor"]
            steps = lists[0].shape[0] if lists else None
            for _, products in _products(body, times * (steps or 1), name):
                yield name, products if steps else None
        elif kind in _NOT_COUNTED:
            yield name, None
        elif (each := _products_each(operation)) is not None:
            yield name, times * each


def _needed(graph):
    """Return the operations that a graph's outputs depend on: Keras traces a step of a recurrent layer that nobody uses."""
    needed, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
    return [operation for operation in graph.get_operations() if operation in needed]


def _products_each(operation):
    """Return how many products an operation makes: how many go into a number of its output, times those."""
    if operation.type == "Einsum" and len(operation.inputs) == 2:
        terms = operation.get_attr("equation").decode().split("->")[0].split(",")
        pairs = (zip(term, x.shape, strict=True) for term, x in zip(terms, operation.inputs, strict=True))
        return math.prod(dict(pair for axes in pairs for pair in axes).values())
    if operation.type not in ("MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative"):
        return None
    kernel = operation.inputs[1].shape
    if operation.type == "Conv2D":
        each = math.prod(kernel[:3])  # In groups, each filter sees the channels of its own.
    elif operation.type == "DepthwiseConv2dNative":
        each = math.prod(kernel[:2])
    else:
        each = kernel[-1 if operation.get_attr("transpose_b" if operation.type == "MatMul" else "adj_y") else -2]
    return each * math.prod(operation.outputs[0].shape)


def _maker(layers, operation):
    """Return the layer that an operation is of, in words: its name is a part of the operation's, with or without a number."""
    parts = operation.split("/")
    for names in ([part.rpartition("_")[0] for part in parts], parts):
        for name in filter(layers.get, names):
            return f"{name} ({type(layers[name]).__name__})"
    return operation


def arena_bytes(tflite):
    """Return an estimate of the RAM, in bytes, that LiteRT for Microcontrollers needs for a file's activations.

    It is the largest sum of tensors that live at the same time (each from the operation that makes it to the last one
    that reads it, rounded up to 16 bytes), the operations in the file's order. Left out are what operations need for
    themselves while they run (a kernel's scratch buffer), the interpreter's own records of tensors and operations, gaps
    that a planner cannot fill, and the program's stack: add some kilobytes. Raises ValueError for bytes that are no
    LiteRT file.
    """
    from ai_edge_litert import schema_py_generated as schema

    tensors = {detail["index"]: detail for detail in interpreter_of(tflite).get_tensor_details()}
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
