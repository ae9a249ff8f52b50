"""From a student to a microcontroller: LiteRT files, fewer bits, and boards. What needs TensorFlow loads it on first use.

A board is a line in ``boards.py``; what a file needs of a board is computed in ``convert.py``, from the file itself.
"""

from ..lazy import lazily

_FILES = {
    "boards": "BOARDS CLOSE kib",
    "convert": "arena_bytes latency multiply_adds run_tflite to_c_array to_tflite to_tflite_int8",
    "measure": "accuracy_by_bits forms tensors",
    "quantisation": "quantise_model quantise_weights",
}

__getattr__, __dir__, __all__ = lazily(__name__, _FILES)
