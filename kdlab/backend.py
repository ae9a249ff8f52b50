"""The one door to TensorFlow and Keras: quiet, and sure that Keras runs on TensorFlow."""

import os
import sys

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from .quiet import without_standard_error

with without_standard_error():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # in notebooks it would tell of every file that is written, and of retracing

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"kdlab runs on Keras with the TensorFlow backend, but Keras was already imported with "
        f"{keras.backend.backend()!r}; import kdlab's models first or set KERAS_BACKEND=tensorflow"
    )
