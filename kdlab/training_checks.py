"""What must hold before and while a student trains: models that go together, logits, finite numbers."""

import math

import numpy as np

from .backend import keras, tf


def check_models(teachers, student):
    """Raise ValueError unless teachers and student take the same inputs and return logits of as many classes.

    What is not built yet cannot be looked at here; ``fit`` meets it before the first step.
    """
    for name, model in [*(("teacher", model) for model in teachers), ("student", student)]:
        if not isinstance(model, keras.Model):
            raise ValueError(f"{name} must be a keras.Model, got {model!r}")
        if name == "teacher" and model is student:
            raise ValueError("teacher and student must be two models, got the same one twice")
        outputs = _shapes(model, "outputs")
        if outputs and (len(outputs) != 1 or outputs[0].rank not in (None, 2) or outputs[0][-1] == 1):
            raise ValueError(
                f"{name} must return logits of shape (samples, classes) for at least 2 classes, "
                f"got outputs of shape {_named(outputs)}"
            )
        noise = _noise(model)
        if noise is not None:
            check_not_probabilities(model(noise, training=False), name)
    for teacher in teachers:
        for what in ("inputs", "outputs"):
            theirs, ours = _shapes(teacher, what), _shapes(student, what)
            if theirs and ours and not _compatible(theirs, ours):
                raise ValueError(
                    f"teacher and student must have {what} of the same shape, got {_named(theirs)} and {_named(ours)}"
                )


def check_one_in_one_out(model, name):
    """Raise ValueError for a model that is not built, and for one of several inputs or outputs."""
    if not model.built:
        raise ValueError(f"{name} must be built: call it on samples once, or begin it with a keras.Input")
    inputs, outputs = (keras.tree.flatten(getattr(model, what, None) or []) for what in ("inputs", "outputs"))
    if len(inputs) > 1 or len(outputs) > 1:
        raise ValueError(f"{name} must have one input and one output, got {len(inputs)} and {len(outputs)}")


def check_not_probabilities(outputs, name):
    """Raise ValueError where ``outputs`` (..., C) look like probabilities: none negative, rows sum to 1."""
    outputs = np.asarray(outputs)
    if outputs.size and (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
        raise ValueError(
            f"the {name}'s outputs look like probabilities (none is negative, they sum to 1), but logits are "
            "needed: leave out the softmax after its last layer, or take their logarithm, which are logits too: "
            "keras.Model(model.inputs, keras.ops.log(model.outputs[0]))"
        )


class DivergenceGuard(keras.callbacks.Callback):
    """Ends a training whose loss or weights are no longer finite: FloatingPointError, naming the epoch.

    Model and optimizer are then as they were after the last epoch that was finite: it holds a copy of both.
    """

    def on_train_begin(self, logs=None):
        """Copy the state before the first epoch."""
        if self.model.trainable_variables:  # Else, not built yet, there is nothing to go back to.
            self.model.optimizer.build(self.model.trainable_variables)
        self.finite, self.when = self._state(), "before this training"

    def on_epoch_end(self, epoch, logs=None):
        """Copy the state, or go back to the last copy and raise FloatingPointError."""
        if "loss" not in (logs or {}):
            raise ValueError("the transfer set is empty: it yielded no batches")
        loss, state = float(logs["loss"]), self._state()
        if math.isfinite(loss) and all(np.isfinite(value).all() for _, value in state):
            self.finite, self.when = state, f"after epoch {epoch + 1}"
            return
        self.restore()
        what = "weights are not finite" if math.isfinite(loss) else f"the loss is {loss}"
        raise FloatingPointError(
            f"training diverged in epoch {epoch + 1}: {what}. The student is as it was {self.when}; "
            "a smaller learning rate often helps"
        )

    def restore(self):
        """Put model and optimizer back to where they were after the last epoch that was finite."""
        for variable, value in self.finite:
            variable.assign(value)

    def _state(self):
        return [(v, v.numpy()) for v in (*self.model.weights, *self.model.optimizer.variables)]


def _shapes(model, what):
    """Return the shapes of a model's inputs or outputs, or None where they are not known before data."""
    tensors = getattr(model, what, None) if model.built else None
    return [tf.TensorShape(tensor.shape) for tensor in keras.tree.flatten(tensors)] if tensors else None


def _compatible(first, second):
    return len(first) == len(second) and all(a.is_compatible_with(b) for a, b in zip(first, second, strict=True))


def _named(shapes):
    """Return shapes for a message, without the axis of samples."""
    return ", ".join(str(tuple(shape[1:])) for shape in shapes)


def _noise(model):
    """Return two samples of noise for a model that takes one float tensor of known shape, else None."""
    shapes = _shapes(model, "inputs")
    if not shapes or len(shapes) != 1 or not shapes[0][1:].is_fully_defined():
        return None
    if "float" not in keras.backend.standardize_dtype(model.inputs[0].dtype):
        return None
    return np.random.default_rng(0).random((2, *shapes[0][1:]), np.float32)
