"""What a run trains on: one device or all GPUs there are, and half the precision where the GPU is made for it."""

from contextlib import contextmanager

from ..backend import keras, tf
from ..execution import leaf_layers

MIXED_PRECISION = ("auto", "on", "off")


def choose_strategy(devices=None):
    """Return a ``tf.distribute.MirroredStrategy`` over several ``devices`` (None: all GPUs), or None for one or none."""
    if devices is None:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(list(devices)) if len(devices) > 1 else None


def choose_policy(wanted="auto", capabilities=None):
    """Return Keras's name of the precision to train with: "float32", "mixed_bfloat16" or "mixed_float16".

    ``wanted`` is one of ``MIXED_PRECISION``: "auto" mixes where every GPU computes faster in 16 bits, from
    compute capability 7.0 on. ``capabilities`` are those of the GPUs, pairs (None: of those there are).
    """
    if wanted == "off":
        return "float32"
    if capabilities is None:
        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        capabilities = [detail.get("compute_capability", (0, 0)) for detail in details]
    lowest = min(capabilities, default=None)
    if wanted == "auto" and (lowest is None or lowest < (7, 0)):
        return "float32"
    # bfloat16 has the range of float32 and needs no scaling of the loss; GPUs before 8.0 do not have it.
    return "mixed_float16" if lowest is not None and lowest < (8, 0) else "mixed_bfloat16"


def trainee_of(model, strategy):
    """Return the model to train: ``model`` itself or, for several devices, a copy of it that lives on all of them."""
    if strategy is None:
        return model
    with strategy.scope():
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    return copy


@contextmanager
def mixed_precision(model, policy):
    """Within the block all layers of ``model`` but the last compute as ``policy`` says: the logits stay float32.

    Weights are float32 all along. After the block the layers are as they were before.
    """
    layers = [] if policy == "float32" else list(leaf_layers(model))[:-1]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.dtype_policy = kept


class EvaluateOnOneDevice(keras.callbacks.Callback):
    """Adds "val_loss" and the like to the logs: Keras evaluates on several devices only what they share evenly.

    ``judge`` is a compiled model made of ``model``, ``trainee`` the copy of it that is trained, ``samples`` what
    ``evaluate`` takes.
    """

    def __init__(self, judge, model, trainee, samples):
        super().__init__()
        self.judge, self.judged, self.trainee, self.samples = judge, model, trainee, samples

    def on_epoch_end(self, epoch, logs=None):
        """Evaluate the trainee as it is now."""
        self.judged.set_weights(self.trainee.get_weights())
        results = self.judge.evaluate(self.samples, verbose=0, return_dict=True)
        logs.update({f"val_{name}": value for name, value in results.items()})
