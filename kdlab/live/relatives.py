"""Relatives of distillation: students that teach each other, many students as one, a student that sees less.

Each trains live, in a fraction of a second, and returns test accuracies (fractions) with seeds in front. What is
compared shares its initial weights and its test samples, and where it sees the same data also its batches.
"""

from dataclasses import dataclass

import numpy as np

from ..checks import check_count, check_labels, check_logits
from ..datasets.views import see
from ..evaluation import accuracy
from ..scenarios import SCENARIOS
from ..softening import softmax
from .result import LiveResult
from .trainer import LiveTrainer

__all__ = [
    "CrossModal",
    "Ensemble",
    "Mutual",
    "cross_modal",
    "cross_modal_trainer",
    "ensemble_of_students",
    "mutual_learning",
]


@dataclass(frozen=True, eq=False)
class Mutual:
    """Pairs of students that taught each other, and the same alone: test accuracies (seeds, 2), and the students."""

    together_accuracy: np.ndarray
    alone_accuracy: np.ndarray
    together: tuple[LiveResult, LiveResult]
    alone: tuple[LiveResult, LiveResult]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Groups of students: test accuracies (seeds, size) of the first 1, 2, … of a group as one; column 0 is a single."""

    distilled_accuracy: np.ndarray
    alone_accuracy: np.ndarray


@dataclass(frozen=True, eq=False)
class CrossModal:
    """Students of another view: test accuracies (seeds,), taught by who sees all and alone on the labels."""

    taught_accuracy: np.ndarray
    alone_accuracy: np.ndarray
    taught: LiveResult
    alone: LiveResult


def mutual_learning(trainer, temperature=1.0, alpha=0.5, seeds=10):
    """Train ``seeds`` pairs of students that teach each other, and the same pairs each alone: a ``Mutual``.

    Deep mutual learning (Zhang et al. 2018), see ``LiveTrainer.train_mutually``. ``trainer``, a ``LiveTrainer``, brings
    data and students; its teacher has no part. Raises ValueError as the trainer does.
    """
    pairs = [tuple(trainer.train_mutually(temperature, weight, seeds)) for weight in (alpha, 0.0)]
    return Mutual(*(np.stack([result.test_accuracy for result in pair], axis=1) for pair in pairs), *pairs)


def ensemble_of_students(trainer, labels, size=5, temperature=4.0, alpha=0.9, seeds=10):
    """Train ``seeds`` groups of ``size`` distilled students, and as many alone: an ``Ensemble``.

    A group's answer is the mean of its students' probabilities, not of their logits. The students of a group differ
    in their beginnings and in the order of their batches (Lakshminarayanan et al. 2017, Simple and Scalable Predictive
    Uncertainty Estimation using Deep Ensembles). ``labels`` (N,) are those of the trainer's test split. Raises
    ValueError for labels that are not, and as the trainer does.
    """
    size, seeds = check_count(size, "size"), check_count(seeds, "seeds")
    accuracies = []
    for weight in (alpha, 0.0):
        logits = trainer.train(temperature, weight, seeds * size).test_logits
        labels = check_labels(labels, logits.shape[2], logits.shape[1])
        sums = softmax(logits).reshape(seeds, size, *logits.shape[1:]).cumsum(axis=1)
        accuracies.append(np.array([[accuracy(together, labels) for together in group] for group in sums]))
    return Ensemble(*accuracies)


def cross_modal(data, student, teacher_logits, view, temperature=4.0, alpha=0.9, seeds=10):
    """Train students that see a ``view`` of the digits, with a teacher that sees them whole and alone: a ``CrossModal``.

    Cross-modal distillation (Gupta, Hoffman & Malik 2016): where pairs of two views are many and labels few, the
    teacher's answers to the one view teach a student of the other. Here 50 digits have a label, and of the rest the
    student has the teacher's answers; alone it has the 50, for about as many steps. ``data`` is a ``kdlab.Dataset``,
    ``student`` as for ``LiveTrainer``, ``teacher_logits`` (N, C) the teacher's on ``data.train`` as it is, ``view`` one
    of ``kdlab.datasets.views.VIEWS``. Raises ValueError for another view, and as the trainer does.
    """
    results = []
    for scenario, weight in (("unlabelled", alpha), ("few", 0.0)):
        trainer = cross_modal_trainer(data, student, teacher_logits, view, scenario)
        results.append(trainer.train(temperature, weight, seeds))
    return CrossModal(*(result.test_accuracy for result in results), *results)


def cross_modal_trainer(data, student, teacher_logits, view, scenario="unlabelled"):
    """Return a ``LiveTrainer`` of students that see a ``view`` of a scenario's digits, while the teacher saw them whole."""
    prepared = SCENARIOS[scenario].prepare(data, check_logits(teacher_logits, "teacher_logits", 2)[None])
    return LiveTrainer(
        see(prepared.data, view),
        student,
        prepared.teacher_logits,
        epochs=prepared.epochs,
        batch_size=prepared.batch_size,
    )
