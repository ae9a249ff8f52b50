"""From a student to a microcontroller: LiteRT files, fewer bits, and boards. What needs TensorFlow loads it on first use.

A board is a line in ``boards.py``; what a file needs of a board is computed in ``convert.py``, from the file itself.
"""

from ..lazy import lazily

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


__getattr__, __dir__ = lazily(__name__, _HOME)
