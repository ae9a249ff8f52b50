"""From a student to a microcontroller: LiteRT files, fewer bits, and boards. What needs TensorFlow loads it on first use."""

import importlib

_HOME = {
    "BOARDS": "boards",
    "CLOSE": "boards",
    "kib": "boards",
    "arena_bytes": "convert",
    "latency": "convert",
    "multiply_adds": "convert",
    "run_tflite": "convert",
    "to_c_array": "convert",
    "to_tflite": "convert",
    "to_tflite_int8": "convert",
    "accuracy_by_bits": "measure",
    "forms": "measure",
    "tensors": "measure",
    "quantise_model": "quantisation",
    "quantise_weights": "quantisation",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
