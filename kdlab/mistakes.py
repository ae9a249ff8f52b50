"""Well-known mistakes in distillation losses, as the gradients that they give: to be shown, and to be immune to."""

from dataclasses import dataclass

import numpy as np

from .checks import check_alpha, check_temperature
from .softening import distillation_gradient, softmax

KERAS_EPSILON = 1e-7  # what keras.losses.kl_divergence clips at


@dataclass(frozen=True)
class Mistake:
    """A mistake by name: what it is called on a page, what happens, and where it was found."""

    name: str
    title: str
    what: str
    found: str


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake("none", "The right loss", "For comparison.", "Hinton, Vinyals & Dean 2015"),
        Mistake(
            "no_square",
            "T² is missing",
            "The soft term is T² times too small, so the labels decide. At T = 1 or α = 1 nothing is wrong.",
            "keras-io #869, Intel Distiller #122",
        ),
        Mistake(
            "class_mean",
            "Averaged over the classes too",
            "The soft term is C times too small, here ten times.",
            "a default reduction in several frameworks",
        ),
        Mistake(
            "probabilities",
            "The teacher's probabilities passed as logits",
            "They are softened a second time: numbers from 0 to 1 come out nearly uniform, and so do the answers of the student.",
            "teachers that end in softmax",
        ),
        Mistake(
            "swapped",
            "Teacher and student swapped",
            "The teacher is trained on the student's answers. The student gets no gradient and stays at its initialisation.",
            "keras-io #257",
        ),
        Mistake(
            "keras_default",
            "Keras's default KL on raw logits",
            "LogitsDistillation() without an argument skips softmax and T²: it clips logits / T to 0 … 1 and compares those.",
            "keras.distillation, Keras 3.15",
        ),
    )
}


def equivalent_alpha(name, temperature, alpha, classes=10):
    """Return the α of the right loss whose gradient the mistake gives, up to a scale, or None where there is none."""
    temperature, alpha = check_temperature(temperature), check_alpha(alpha)
    factor = {"none": 1.0, "no_square": 1 / temperature**2, "class_mean": 1 / classes}.get(name)
    return None if factor is None else alpha * factor / (1 - alpha + alpha * factor)


def mistaken_gradient(name, student_logits, teacher_logits, labels, temperature=4.0, alpha=0.9):
    """Return the gradient with respect to ``student_logits``, (N, C), of the loss with the mistake ``name`` in it.

    Raises ValueError as ``distillation_gradient`` does, and for a name that is not in ``MISTAKES``.
    """
    if name not in MISTAKES:
        raise ValueError(f"name must be one of {', '.join(MISTAKES)}, got {name!r}")
    right = distillation_gradient(student_logits, teacher_logits, labels, temperature, alpha)
    if name == "none":
        return right
    if name == "swapped":
        return np.zeros_like(right)
    if name == "probabilities":
        return distillation_gradient(student_logits, softmax(teacher_logits), labels, temperature, alpha)
    hard = (1 - alpha) * distillation_gradient(student_logits, teacher_logits, labels, temperature, 0.0)
    if name == "keras_default":
        student, teacher = (np.asarray(z, float) / temperature for z in (student_logits, teacher_logits))
        inside = (student > KERAS_EPSILON) & (student < 1)
        shares = np.clip(teacher, KERAS_EPSILON, 1) / np.clip(student, KERAS_EPSILON, 1)
        return hard - alpha * np.where(inside, shares, 0) / temperature / len(student)
    divisor = temperature**2 if name == "no_square" else right.shape[1]
    return hard + (right - hard) / divisor
