"""The two-headed student of the EMNIST tutorial: distillation by one model, one label array and one loss.

The student ends in [softmax(z), softmax(z / T)], 2C wide, its labels are y_d = [onehot(y), z_t], and

    L = λ · CE(onehot(y), softmax(z)) + CE(softmax(z_t / T), softmax(z / T)),    prediction = the first half.

There is no T² and no share α, but it is the distillation loss all the same. With q(T) = softmax(z / T), p(T)
the teacher's, its gradient with respect to z is, per sample,

    λ (q(1) − onehot(y)) + (1 / T) (q(T) − p(T)),

and that of ``kdlab.distillation_loss`` is (1 − α) (q(1) − onehot(y)) + α T (q(T) − p(T)). One is ``scale``
times the other where scale · (1 − α) = λ and scale · α · T = 1 / T, so

    scale = λ + 1 / T²,    α = 1 / (1 + λ T²).

The tutorial's T = 10 and λ = 0.5 are α = 0.0196 and scale = 0.51: by gradient weight, 98 % hard labels.
"""

from numbers import Real

import numpy as np

from .backend import keras
from .checks import check_labels, check_logits, check_training_temperature


def two_headed(student, temperature):
    """Return a ``keras.Model`` on top of ``student``: (N, 2C) outputs, softmax(z) beside softmax(z / T).

    ``student`` returns logits z (N, C) and is shared, not copied: training the one trains the other.
    Raises ValueError for temperature ≤ 0, and for a student that is not built.
    """
    temperature = check_training_temperature(temperature)
    if not isinstance(student, keras.Model) or not student.built:
        raise ValueError(f"student must be a keras.Model that is built, got {student!r}")
    inputs = keras.Input(student.input_shape[1:])
    logits = student(inputs)
    hard = keras.layers.Softmax(name="hard")(logits)
    soft = keras.layers.Softmax(name="soft")(keras.layers.Rescaling(1 / temperature)(logits))
    return keras.Model(inputs, keras.layers.Concatenate()([hard, soft]), name=f"two_headed_{student.name}")


def two_headed_targets(labels, teacher_logits):
    """Return the labels for ``two_headed``, float32 (N, 2C): onehot(y) beside the teacher's logits z_t.

    ``labels`` (N,) from 0 to C − 1, ``teacher_logits`` (N, C). Raises ValueError for shapes that do not match,
    labels out of range and logits that are not finite.
    """
    teacher = check_logits(teacher_logits, "teacher_logits", dimensions=2)
    labels = check_labels(labels, teacher.shape[1], len(teacher))
    one_hot = np.eye(teacher.shape[1])[labels]
    return np.concatenate([one_hot, teacher], axis=1).astype(np.float32)


def two_headed_loss(temperature, lambda_=0.5):
    """Return a ``keras.losses.Loss`` for ``two_headed`` of the same temperature: L above, the mean over samples, nats.

    ``lambda_`` weighs the hard labels. Like any loss on probabilities in Keras it clips them at 1e-7, where
    the gradient ends. Raises ValueError for a λ that is not a finite number of at least 0, and temperature ≤ 0.
    """
    return _TwoHeadedLoss(temperature, lambda_)


def two_headed_accuracy(labels, outputs):
    """Return whether prediction and label agree, (N,), from labels and outputs (N, 2C): for ``metrics``."""
    return keras.metrics.categorical_accuracy(first_half(labels), first_half(outputs))


def first_half(outputs):
    """Return the prediction, softmax(z), (N, C), from the outputs (N, 2C) of ``two_headed``."""
    return outputs[..., : outputs.shape[-1] // 2]


@keras.saving.register_keras_serializable("kdlab")
class _TwoHeadedLoss(keras.losses.Loss):
    def __init__(self, temperature, lambda_=0.5, name="two_headed_loss", **keywords):
        super().__init__(name=name, **keywords)
        self.temperature = check_training_temperature(temperature)
        if not isinstance(lambda_, Real) or isinstance(lambda_, bool) or not 0 <= lambda_ < float("inf"):
            raise ValueError(f"lambda_ must be a finite number of at least 0, got {lambda_!r}")
        self.lambda_ = float(lambda_)

    def call(self, y_true, y_pred):
        """Return the loss of each sample, (N,)."""
        (labels, teacher_logits), (hard, soft) = (keras.ops.split(y, 2, axis=-1) for y in (y_true, y_pred))
        teacher = keras.ops.softmax(teacher_logits / self.temperature)
        cross_entropy = keras.losses.categorical_crossentropy
        return self.lambda_ * cross_entropy(labels, hard) + cross_entropy(teacher, soft)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "temperature": self.temperature, "lambda_": self.lambda_}
