"""One distillation loss, many ways to weigh it: from each to ours and back, and code to paste.

Here: L = (1 − α) · CE + α · T² · CE_soft. Any other row is w_hard · CE + w_soft · CE_soft, with T² or
without; KL in place of CE_soft has the same gradient (they differ by the teacher's entropy). So each row's
gradient is

    scale · ours at α,   scale = w_hard + s,   α = s / scale,   s = w_soft with T², w_soft / T² without:

without T² the soft gradient is smaller by T². A scale multiplies the learning rate of plain gradient descent;
Adam is nearly invariant to it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from .checks import check_alpha, check_temperature


@dataclass(frozen=True, eq=False)
class Convention:
    """A source's loss, w_hard · CE + w_soft · CE_soft, with T² on the soft loss if ``squared``.

    ``hard`` and ``soft`` are the names of the weights on the two losses. Where the hard loss has none its weight is
    1 − the other's; where the soft loss has none, 1 − the other's or, unless they are ``shares``, 1. ``weights`` and
    ``temperature`` are the source's defaults.
    """

    name: str
    weights: Mapping[str, float]
    temperature: float
    squared: bool
    source: str
    hard: str | None = None
    soft: str | None = None
    shares: bool = True

    def losses_weights(self, weights):
        """Return w_hard and w_soft for ``weights``, {name: number}."""
        hard = weights[self.hard] if self.hard else 1 - weights[self.soft]
        soft = weights[self.soft] if self.soft else 1 - hard if self.shares else 1.0
        return hard, soft

    def weights_for(self, hard, soft):
        """Return the weights, {name: number}, for these w_hard and w_soft, or for multiples where they fix the sum."""
        if self.hard and self.soft:
            return {self.hard: hard, self.soft: soft}
        if not self.shares:
            return {self.hard: hard / soft if soft else math.inf}
        return {self.hard: hard / (hard + soft)} if self.hard else {self.soft: soft / (hard + soft)}


_ROWS = (
    Convention(
        "kdlab",
        {"alpha": 0.9},
        temperature=4.0,
        squared=True,
        soft="alpha",
        source="Hinton, Vinyals & Dean 2015, section 2; alpha weights the soft loss, as in most papers",
    ),
    Convention(
        "keras.io",
        {"alpha": 0.1},
        temperature=10.0,
        squared=True,
        hard="alpha",
        source="Keras code example Knowledge Distillation (Borup), since keras-io #869 added T² (2022)",
    ),
    Convention(
        "keras.io 2020",
        {"alpha": 0.1},
        temperature=10.0,
        squared=False,
        hard="alpha",
        source="Keras code example Knowledge Distillation (Borup), 2020, before keras-io #869 added T²",
    ),
    Convention(
        "keras.distillation",
        {"student_loss_weight": 0.5},
        temperature=3.0,
        squared=True,
        hard="student_loss_weight",
        source="keras.distillation of Keras 3.15 with LogitsDistillation(loss=keras.losses.KLDivergence()); "
        "its default, the string 'kl_divergence', skips softmax and T² and is none of these losses",
    ),
    Convention(
        "two-headed",
        {"lambda_": 0.5},
        temperature=10.0,
        squared=False,
        hard="lambda_",
        shares=False,
        source="two-headed student for EMNIST-letters: outputs [softmax(z), softmax(z / T)], "
        "labels [y, teacher's logits], λ · CE + CE_soft",
    ),
    Convention(
        "scaledown",
        {"alpha": 0.3},
        temperature=1.0,
        squared=False,
        hard="alpha",
        source="scaledown 0.0.5, KnowledgeDistillation",
    ),
    Convention(
        "Intel Distiller",
        {"student": 0.5, "distill": 0.5},
        temperature=1.0,
        squared=True,
        hard="student",
        soft="distill",
        source="Intel Neural Network Distiller, DistillationLossWeights; T² since its issue #122 (2019)",
    ),
    Convention(
        "RepDistiller",
        {"gamma": 0.1, "alpha": 0.9},
        temperature=4.0,
        squared=True,
        hard="gamma",
        soft="alpha",
        source="RepDistiller (Tian, Krishnan & Isola 2020), train_student.py -r (gamma) 0.1 -a (alpha) 0.9",
    ),
)

CONVENTIONS = {row.name: row for row in _ROWS}


def to_ours(convention, temperature, **weights):
    """Return (alpha, scale): the row's gradient at these weights is scale times ours at alpha.

    ``convention`` is a ``Convention`` or the name of one; a weight not given has the source's default. Raises
    ValueError for an unknown name or weight, for T ≤ 0 and for weights that make a loss's weight negative or
    both zero.
    """
    row, temperature = _find(convention), check_temperature(temperature)
    unknown = sorted(set(weights) - set(row.weights))
    if unknown:
        raise ValueError(f"weights of {row.name!r} must be among {', '.join(row.weights)}, got {unknown[0]}")
    weights = {**row.weights, **weights}
    for name, weight in weights.items():
        if not isinstance(weight, Real) or isinstance(weight, bool) or not math.isfinite(weight):
            raise ValueError(f"{name} must be a finite number, got {weight!r}")
    hard, soft = row.losses_weights(weights)
    if min(hard, soft) < 0 or not hard + soft:
        given = ", ".join(f"{name}={weight:g}" for name, weight in weights.items())
        raise ValueError(
            f"weights of {row.name!r} must make both losses' weights at least 0 and one of them more, "
            f"got {given}: {hard:g} on the hard loss, {soft:g} on the soft loss"
        )
    soft /= _missing_factor(row, temperature)
    return float(soft / (hard + soft)), float(hard + soft)


def from_ours(convention, temperature, alpha, scale=None):
    """Return (weights, scale): the row's weights, a dict; its gradient is then scale times ours.

    ``scale=None`` takes 1 where the row leaves it free, and else the scale that the row implies. Raises
    ValueError for a scale that the row cannot express (the message says which one it can), for an alpha that
    it cannot, for T ≤ 0, alpha outside [0, 1] and an unknown name.
    """
    row, temperature, alpha = _find(convention), check_temperature(temperature), check_alpha(alpha)
    wanted = 1.0 if scale is None else check_temperature(scale, "scale")
    soft = wanted * alpha * _missing_factor(row, temperature)
    weights = row.weights_for(wanted * (1 - alpha), soft)
    if not all(map(math.isfinite, weights.values())):
        raise ValueError(f"alpha must be above 0 for {row.name!r}, whose soft loss has weight 1, got {alpha!r}")
    implied = to_ours(row, temperature, **weights)[1]
    if scale is not None and not math.isclose(implied, scale, rel_tol=1e-9):
        raise ValueError(
            f"scale must be {implied:.6g} for {row.name!r} at temperature {temperature:g}, alpha {alpha:g}, "
            f"as its one weight implies, got {scale!r}"
        )
    return weights, implied


def _find(convention):
    if isinstance(convention, Convention):
        return convention
    if convention not in tuple(CONVENTIONS):
        known = ", ".join(map(repr, CONVENTIONS))
        raise ValueError(f"convention must be one of {known}, got {convention!r}")
    return CONVENTIONS[convention]


def _missing_factor(row, temperature):
    """Return what ours has on the soft loss and the row has not: T², or 1."""
    square = temperature * temperature
    if not 0 < square < math.inf:
        raise ValueError(f"temperature must have a square that is a finite number above 0, got {temperature!r}")
    return 1.0 if row.squared else square


def code(target, temperature, alpha, batch_size=64, epochs=30, learning_rate=0.001):
    """Return code to paste that trains ``student`` with our loss at this position, without kdlab.

    ``target``: "keras", "keras.distillation" (both use ``teacher``, ``student``, ``x_train``, ``y_train``) or
    "pytorch" (``teacher``, ``student``, ``optimizer``, ``loader``); the models return logits. Raises
    ValueError for any other, for T ≤ 0 and for alpha outside [0, 1].
    """
    temperature, alpha = check_temperature(temperature), check_alpha(alpha)
    if target not in tuple(_SNIPPETS):
        raise ValueError(f"target must be one of {', '.join(map(repr, _SNIPPETS))}, got {target!r}")
    # 12 digits: 1 - 0.9 is to read 0.1.
    numbers = {"temperature": temperature, "alpha": alpha, "rest": 1 - alpha, "rate": learning_rate}
    words = {name: f"{number:.12g}" for name, number in numbers.items()}
    return _SNIPPETS[target].format(batch_size=batch_size, epochs=epochs, **words)


def example(target, temperature, alpha, batch_size=64, epochs=30, learning_rate=0.01):
    """Return ``code`` that runs as it is, on the 50 labelled digits of chapter 2, and prints the test accuracy.

    PyTorch's stays a piece: its models are yours. Arguments and errors as of ``code``.
    """
    text = code(target, temperature, alpha, batch_size, epochs, learning_rate)
    return text if target == "pytorch" else f"{_BEFORE}\n{text}\n{_AFTER}"


_BEFORE = """\
import kdlab
from kdlab.teachers.digits import digits_teacher

data = kdlab.load("digits", labels=50)
x_train, y_train = data.train.x, data.train.y
teacher, student = digits_teacher(), kdlab.models.mlp(64, (16,), 10)
"""

_AFTER = """\
right = student.predict(data.test.x, verbose=0).argmax(axis=1) == data.test.y
print(f"test accuracy {right.mean():.1%}")
"""

_KERAS = '''\
import keras
import numpy as np

TEMPERATURE = {temperature}
ALPHA = {alpha}  # weight of the distillation term


def distillation_loss(targets, student_logits):
    """(1 - ALPHA) * CE(label) + ALPHA * T^2 * CE(softened teacher); targets: [label, teacher's logits]."""
    labels, teacher_logits = targets[:, 0], targets[:, 1:]
    hard = keras.losses.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)
    soft = keras.losses.categorical_crossentropy(
        keras.ops.softmax(teacher_logits / TEMPERATURE), student_logits / TEMPERATURE, from_logits=True
    )
    return (1 - ALPHA) * hard + ALPHA * TEMPERATURE**2 * soft


# The teacher answers once; its logits travel with the labels.
targets = np.concatenate([np.reshape(y_train, (-1, 1)), teacher.predict(x_train, verbose=0)], axis=1)
student.compile(optimizer=keras.optimizers.Adam({rate}), loss=distillation_loss)
student.fit(x_train, targets, batch_size={batch_size}, epochs={epochs}, verbose=0)
'''

_KERAS_DISTILLATION = """\
import keras

distiller = keras.distillation.Distiller(
    teacher=teacher,  # is frozen by this: teacher.trainable becomes False
    student=student,
    distillation_losses=keras.distillation.LogitsDistillation(
        temperature={temperature},
        loss=keras.losses.KLDivergence(),  # this: the default, a string, skips softmax and T^2 (Keras 3.15)
    ),
    student_loss_weight={rest},  # 1 - alpha, for alpha = {alpha}
)
distiller.compile(
    optimizer=keras.optimizers.Adam({rate}),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
distiller.fit(x_train, y_train, batch_size={batch_size}, epochs={epochs}, verbose=0)
"""

_PYTORCH = '''\
import torch
import torch.nn.functional as F

TEMPERATURE = {temperature}
ALPHA = {alpha}  # weight of the distillation term


def distillation_loss(student_logits, teacher_logits, labels):
    """(1 - ALPHA) * CE(labels) + ALPHA * T^2 * KL(softened teacher, softened student), over the batch."""
    hard = F.cross_entropy(student_logits, labels)
    soft = F.kl_div(
        F.log_softmax(student_logits / TEMPERATURE, dim=1),
        F.softmax(teacher_logits / TEMPERATURE, dim=1),
        reduction="batchmean",  # "mean" would divide by the number of classes as well
    )
    return (1 - ALPHA) * hard + ALPHA * TEMPERATURE**2 * soft


teacher.eval()
student.train()
for x, labels in loader:
    with torch.no_grad():
        teacher_logits = teacher(x)
    loss = distillation_loss(student(x), teacher_logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
'''

_SNIPPETS = {"keras": _KERAS, "keras.distillation": _KERAS_DISTILLATION, "pytorch": _PYTORCH}
