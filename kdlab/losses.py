"""Distillation losses on logits, for both ``kdlab.Distiller`` and ``keras.distillation.Distiller``.

Each has ``per_sample``, (samples,), which sample weights need, and ``compute_loss``, its mean, which Keras
calls. Symbols: z_s student logits, z_t teacher logits, T temperature, C classes; p = softmax(z_t / T), q =
softmax(z_s / T).
"""

from numbers import Real

from .backend import keras, tf
from .checks import check_training_temperature


def ensemble_logits(teacher_logits, temperature):
    """Return logits (N, C) whose softmax at ``temperature`` is the mean over teachers of softmax(z_k / T).

    ``teacher_logits`` (N, K, C), float tensor. What is averaged is the softened probabilities, not the logits
    (Hinton, Vinyals & Dean 2015, section 1).
    """
    temperature = tf.cast(temperature, teacher_logits.dtype)
    logs = tf.nn.log_softmax(teacher_logits / temperature)
    teachers = tf.cast(tf.shape(logs)[1], logs.dtype)
    return temperature * (tf.reduce_logsumexp(logs, axis=1) - tf.math.log(teachers))


class _LogitsLoss(keras.distillation.DistillationLoss):
    """What the losses share: logits in float32 or wider, the mean over samples, and the temperature."""

    def __init__(self, temperature=4.0):
        # A variable is taken as it is: its value may change between steps without a new trace.
        variable = isinstance(temperature, (tf.Variable, keras.Variable))
        self.temperature = temperature if variable else check_training_temperature(temperature)

    def per_sample(self, *, teacher_logits, student_logits, labels=None, temperature=None):
        """Return the loss of each sample, (N,), in nats, from two tensors (N, C).

        ``labels`` (N,) integers, −1 for "no label", matter to ``DecoupledKnowledgeDistillation`` only.
        ``temperature`` (a number, tensor or variable) takes the place of the loss's own for this call.
        No gradient flows to the teacher. Raises ValueError where the two shapes cannot be the same.
        """
        student = _wide(student_logits)
        teacher = tf.cast(teacher_logits, student.dtype)
        if not student.shape.is_compatible_with(teacher.shape):
            raise ValueError(
                f"teacher_logits and student_logits must have the same shape (samples, classes), "
                f"got {tuple(teacher.shape)} and {tuple(student.shape)}"
            )
        temperature = tf.cast(self.temperature if temperature is None else temperature, student.dtype)
        return self._per_sample(tf.stop_gradient(teacher), student, temperature, labels)

    def compute_loss(self, teacher_outputs, student_outputs, labels=None, **unused):
        """Return the mean of ``per_sample``, a scalar: what ``keras.distillation.Distiller`` calls."""
        return tf.reduce_mean(
            self.per_sample(teacher_logits=teacher_outputs, student_logits=student_outputs, labels=labels)
        )

    def get_config(self):
        """Return the constructor's arguments; a variable becomes its present value."""
        return {"temperature": float(self.temperature)}

    @classmethod
    def from_config(cls, config):
        """Return the loss of that configuration."""
        return cls(**config)


@keras.saving.register_keras_serializable("kdlab")
class SoftCrossEntropy(_LogitsLoss):
    """T² · CE(p, q), the soft term of the distillation loss (Hinton, Vinyals & Dean 2015, section 2).

    ``temperature`` a number above 0, or a Keras or TensorFlow variable. Raises ValueError for other numbers.
    """

    def _per_sample(self, teacher, student, temperature, labels):
        return temperature**2 * tf.nn.softmax_cross_entropy_with_logits(
            labels=tf.nn.softmax(teacher / temperature), logits=student / temperature
        )


@keras.saving.register_keras_serializable("kdlab")
class SoftKLDivergence(_LogitsLoss):
    """T² · KL(p‖q): ``SoftCrossEntropy`` less T² times the teacher's entropy, so 0 where the two agree.

    The student's gradient is the same. ``temperature`` as for ``SoftCrossEntropy``.
    """

    def _per_sample(self, teacher, student, temperature, labels):
        log_p, log_q = (tf.nn.log_softmax(logits / temperature) for logits in (teacher, student))
        return temperature**2 * _kl(log_p, log_q)


@keras.saving.register_keras_serializable("kdlab")
class LogitMatching(_LogitsLoss):
    """‖z_s − z_t‖² / (2 C): squared error on the logits, no temperature (Ba & Caruana 2014, section 2.2).

    The factor makes it the limit T → ∞ of ``SoftKLDivergence`` for logits of mean zero over the classes
    (Hinton, Vinyals & Dean 2015, section 2.1).
    """

    def __init__(self):
        super().__init__(1.0)

    def _per_sample(self, teacher, student, temperature, labels):
        return tf.reduce_mean((student - teacher) ** 2, axis=-1) / 2

    def get_config(self):
        """Return the constructor's arguments: none."""
        return {}


@keras.saving.register_keras_serializable("kdlab")
class DecoupledKnowledgeDistillation(_LogitsLoss):
    """T² · (α · TCKD + β · NCKD), decoupled knowledge distillation, DKD (Zhao et al. 2022, section 3).

    TCKD is the KL between (p_y, 1 − p_y) and (q_y, 1 − q_y) for the label y, NCKD the KL over the other
    classes, each renormalised. KL(p‖q) = TCKD + (1 − p_y) · NCKD, so plain distillation fades NCKD out where
    the teacher is sure; here β is free. ``alpha`` and ``beta``, numbers ≥ 0, are the paper's, the weights
    within this term, not the Distiller's alpha. An unlabelled sample (−1) has no target class: its term is T²
    · KL(p‖q).

    It needs labels, which ``kdlab.Distiller`` passes. ``keras.distillation.Distiller`` passes none:
    ValueError.
    """

    def __init__(self, temperature=4.0, alpha=1.0, beta=8.0):
        super().__init__(temperature)
        for name, weight in (("alpha", alpha), ("beta", beta)):
            if not isinstance(weight, Real) or isinstance(weight, bool) or not 0 <= weight < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {weight!r}")
        self.alpha, self.beta = float(alpha), float(beta)

    def _per_sample(self, teacher, student, temperature, labels):
        if labels is None:
            raise ValueError(
                "DecoupledKnowledgeDistillation needs labels, got none: keras.distillation.Distiller does "
                "not pass them to its losses, kdlab.Distiller does"
            )
        labels = tf.cast(labels, tf.int32)
        log_p, log_q = (tf.nn.log_softmax(logits / temperature) for logits in (teacher, student))
        target = tf.one_hot(labels, student.shape[-1], on_value=True, off_value=False)  # −1: no class at all
        (p_target, p_others), (q_target, q_others) = (_decouple(log, target) for log in (log_p, log_q))
        tckd = _kl(p_target, q_target)
        nckd = _kl(p_others, q_others)
        decoupled = tf.where(labels < 0, _kl(log_p, log_q), self.alpha * tckd + self.beta * nckd)
        return temperature**2 * decoupled

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


def call_loss(loss, teacher_logits, student_logits, labels, temperature):
    """Return the soft term of ``loss`` for a batch, float32: (N,), one per sample, or a scalar, their mean.

    ``loss`` is one of this module, a subclass of one, any ``keras.distillation.DistillationLoss`` (it keeps a temperature
    of its own) or a function of (teacher_logits, student_logits, temperature). No gradient flows to the teacher.
    Raises ValueError for a result of another shape.
    """
    student = _wide(student_logits)
    teacher = tf.stop_gradient(tf.cast(teacher_logits, student.dtype))
    temperature = tf.cast(temperature, student.dtype)
    own = isinstance(loss, _LogitsLoss) and type(loss).compute_loss is _LogitsLoss.compute_loss
    if own or (hasattr(loss, "per_sample") and not isinstance(loss, keras.distillation.DistillationLoss)):
        value = loss.per_sample(teacher_logits=teacher, student_logits=student, labels=labels, temperature=temperature)
    elif isinstance(loss, keras.distillation.DistillationLoss):
        value = loss.compute_loss(teacher, student)
    else:
        value = loss(teacher, student, temperature)
    value = tf.cast(tf.convert_to_tensor(value), tf.float32)
    if value.shape.rank not in (0, 1):
        raise ValueError(
            f"distillation_loss must return a loss per sample, (N,), or their mean, got shape {tuple(value.shape)}: sum or "
            "average over the classes"
        )
    return value


def _wide(logits):
    logits = tf.convert_to_tensor(logits)
    return logits if logits.dtype in (tf.float32, tf.float64) else tf.cast(logits, tf.float32)


def _kl(log_p, log_q):
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def _decouple(log, target):
    """Return log (p_y, 1 − p_y), (N, 2), and the log of p renormalised over the classes other than y, (N, C).

    The target's own column becomes a very small, equal number in both distributions: it adds nothing to the
    KL.
    """
    smallest = tf.constant(-1e9, log.dtype)
    at_target = tf.reduce_sum(tf.where(target, log, tf.zeros_like(log)), axis=-1)
    others = tf.where(target, smallest, log)
    # The sum over the others, and not 1 − p_y, which loses every digit where the teacher is sure.
    rest = tf.reduce_logsumexp(others, axis=-1)
    return tf.stack([at_target, rest], axis=-1), tf.where(target, smallest, others - rest[:, None])
