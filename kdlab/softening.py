"""Temperature softening and the distillation loss, in numpy: the reference every other floor is tested against.

Symbols: z logits, T temperature, q = softmax(z / T) softened probabilities, C classes, N samples.
"""

import math

import numpy as np

from .checks import check_alpha, check_labels, check_logits, check_same_shape, check_temperature


def log_softmax(logits, temperature=1.0):
    """Return log softmax(logits / temperature), shape as ``logits``: (..., C).

    Raises ValueError for temperature ≤ 0, logits that are not finite or fewer than two classes.
    """
    temperature = check_temperature(temperature)
    logits = check_logits(logits)
    # Subtract before dividing: the largest becomes exactly 0 whatever T is. What overflows to -inf has probability 0.
    # In float64, which holds every temperature, and halved, so that the difference itself does not overflow.
    with np.errstate(over="ignore", under="ignore"):
        half = logits.astype(np.float64) / 2
        shifted = 2 * ((half - half.max(axis=-1, keepdims=True)) / temperature)
        return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(logits.dtype)


def softmax(logits, temperature=1.0):
    """Return softmax(logits / temperature), the softened probabilities, shape as ``logits``: (..., C).

    T → 0 gives one-hot at the largest logit, T → ∞ the uniform distribution; the rank of the classes stays.
    Hinton, Vinyals & Dean 2015, section 2, equation 1.
    Raises ValueError for temperature ≤ 0, logits that are not finite or fewer than two classes.
    """
    with np.errstate(under="ignore"):
        return np.exp(log_softmax(logits, temperature))


def entropy(probabilities, base=math.e):
    """Return the entropy −Σ p log p over the last axis, shape (...): in nats, or in bits with ``base=2``."""
    p = np.asarray(probabilities, dtype=np.float64)
    return -_times_log(p, p).sum(axis=-1) / math.log(base) + 0.0


def kl_divergence(p, q, base=math.e):
    """Return KL(p‖q) = Σ p log(p / q) over the last axis, shape (...): in nats, or in bits with ``base=2``.

    Infinite where q is 0 and p is not. Raises ValueError where the shapes differ.
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    check_same_shape(p, q, "p", "q")
    return (_times_log(p, p) - _times_log(p, q)).sum(axis=-1) / math.log(base)


def cross_entropy(labels, logits):
    """Return the hard-label cross-entropy −log softmax(logits)[label] per sample, shape (N,), in nats.

    ``labels`` (N,) integers, ``logits`` (N, C); an unlabelled sample (−1) contributes 0.
    """
    logits = check_logits(logits, dimensions=2)
    labels = check_labels(labels, logits.shape[1], len(logits), unlabelled=True)
    return np.where(labels < 0, 0.0, -log_softmax(logits)[np.arange(len(labels)), labels])


def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.9):
    """Return the distillation loss, a float: the mean over samples, in nats.

    L = (1 − α) · CE(y, softmax(z_s)) + α · T² · CE(softmax(z_t / T), softmax(z_s / T))

    ``student_logits`` and ``teacher_logits`` (N, C), ``labels`` (N,) with −1 for "no label" (soft term only).
    α weighs the distillation term. Hinton, Vinyals & Dean 2015, section 2.
    Raises ValueError for T ≤ 0, α outside [0, 1], shapes that do not match, labels out of range.
    """
    student, teacher, labels, temperature, alpha = _check_arguments(
        student_logits, teacher_logits, labels, temperature, alpha
    )
    loss = np.zeros(len(labels))
    # A term of weight 0 is left out: where it is infinite, 0 times it would not be a number.
    if alpha < 1:
        loss += (1 - alpha) * cross_entropy(labels, student)
    if alpha > 0:
        soft = -_product(softmax(teacher, temperature), log_softmax(student, temperature)).sum(axis=-1)
        loss += alpha * (temperature * temperature) * soft
    return float(np.mean(loss))


def distillation_gradient(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.9):
    """Return the gradient of ``distillation_loss`` with respect to ``student_logits``, shape (N, C).

    Per sample (1 − α)(softmax(z_s) − onehot(y)) + α T (softmax(z_s / T) − softmax(z_t / T)), divided by N:
    the soft cross-entropy's own gradient carries 1/T, which T² turns into T (Hinton 2015, section 2.1).
    """
    student, teacher, labels, temperature, alpha = _check_arguments(
        student_logits, teacher_logits, labels, temperature, alpha
    )
    one_hot = np.eye(student.shape[1])[labels]
    hard = np.where(labels[:, None] < 0, 0.0, softmax(student) - one_hot)
    soft = temperature * (softmax(student, temperature) - softmax(teacher, temperature))
    return ((1 - alpha) * hard + alpha * soft) / len(labels)


def logit_matching_gradient(student_logits, teacher_logits):
    """Return the limit T → ∞ of the T²-weighted soft gradient: ((z_s − z̄_s) − (z_t − z̄_t)) / C / N, shape (N, C).

    It is the gradient of ‖z_s − z_t‖² / (2 C N) for logits of mean zero: logit matching
    (Hinton 2015, section 2.1; Ba & Caruana 2014).
    """
    student = check_logits(student_logits, "student_logits", dimensions=2)
    teacher = check_logits(teacher_logits, "teacher_logits", dimensions=2)
    check_same_shape(student, teacher, "student_logits", "teacher_logits")
    difference = student - teacher
    return (difference - difference.mean(axis=1, keepdims=True)) / difference.size


def dark_knowledge(teacher_logits, labels, temperature=1.0):
    """Return the mean softened teacher distribution per true class, shape (C, C): row = true class.

    ``teacher_logits`` (N, C), ``labels`` (N,) from 0 to C − 1, each class at least once.
    What the off-diagonal entries say about similarity is what a hard label cannot (Hinton 2015, section 1).
    """
    teacher = check_logits(teacher_logits, "teacher_logits", dimensions=2)
    classes = teacher.shape[1]
    labels = check_labels(labels, classes, len(teacher))
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise ValueError(f"labels must contain every class from 0 to {classes - 1}, got none of class {missing[0]}")
    soft = softmax(teacher, temperature)
    return np.stack([soft[labels == c].mean(axis=0) for c in range(classes)])


def smooth_labels(labels, classes, smoothing):
    """Return (1 − ε) onehot(y) + ε / C, shape (N, C), for ``smoothing`` ε in [0, 1].

    Training on them is distilling, with weight ε, from a teacher that is uniform (Yuan et al. 2020, section 3).
    """
    smoothing = check_alpha(smoothing, "smoothing")
    labels = check_labels(labels, classes, np.size(labels))
    return (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes


def _check_arguments(student_logits, teacher_logits, labels, temperature, alpha):
    student = check_logits(student_logits, "student_logits", dimensions=2)
    teacher = check_logits(teacher_logits, "teacher_logits", dimensions=2)
    check_same_shape(student, teacher, "student_logits", "teacher_logits")
    if not len(student):
        raise ValueError(f"student_logits must have at least one sample, got shape {student.shape}")
    labels = check_labels(labels, student.shape[1], len(student), unlabelled=True)
    return student, teacher, labels, check_temperature(temperature), check_alpha(alpha)


def _product(weights, logs):
    """Return weights · logs with 0 · (−inf) = 0; a weight that is not a number stays one."""
    return np.multiply(weights, logs, out=np.zeros_like(logs), where=weights != 0)


def _times_log(p, q):
    """Return p log q with 0 log 0 = 0."""
    with np.errstate(divide="ignore"):
        return _product(p, np.log(q))
