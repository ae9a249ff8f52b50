"""The situations in which a student of digits is distilled: some in which it helps, some in which it does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .datasets.dataset import Dataset, Split, few_of_each

STEPS = 420  # of the optimiser, about, in every scenario: what differs is the data, not the training time


@dataclass(frozen=True)
class Prepared:
    """What a student is trained on: the data, the teacher's logits on ``data.train``, (N, C) or (K, N, C), and how long."""

    data: Dataset
    teacher_logits: np.ndarray
    batch_size: int
    epochs: int


@dataclass(frozen=True)
class Scenario:
    """``prepare`` makes the training set from all data and the logits on ``data.train``, (K, N, C) or one teacher's (N, C).

    ``biased`` are the classes whose logits a bias may correct afterwards (Hinton, Vinyals & Dean 2015, section 3);
    ``ensemble`` says that all teachers are used, not the first alone.
    """

    name: str
    title: str
    expectation: str
    prepare: Callable[[Dataset, np.ndarray], Prepared]
    biased: tuple[int, ...] = ()
    ensemble: bool = False


def _prepare(data, logits, chosen=slice(None), labels=None, ensemble=False):
    """Return the ``Prepared`` of the ``chosen`` samples with ``labels`` (N,) in place of the data's, of one teacher or all."""
    logits = np.asarray(logits)
    logits = (logits[None] if logits.ndim == 2 else logits)[:, chosen]
    x, y = data.train.x[chosen], (data.train.y if labels is None else labels)[chosen]
    batch_size = min(64, max(10, len(x) // 4))
    steps = -(-len(x) // batch_size)
    train = Split(np.ascontiguousarray(x), np.asarray(y, np.int32))
    prepared = replace(data, train=train), logits if ensemble else logits[0]
    return Prepared(*prepared, batch_size, max(1, round(STEPS / steps)))


def few(count, rest_unlabelled=False):
    """Return a scenario's ``prepare`` with ``count`` labelled samples, balanced over the classes as far as can be."""

    def prepare(data, logits):
        chosen = few_of_each(data.train.y, count)
        if not rest_unlabelled:
            return _prepare(data, logits, chosen)
        labels = np.full(len(data.train), -1)
        labels[chosen] = data.train.y[chosen]
        return _prepare(data, logits, labels=labels)

    return prepare


def _wrong_labels(share):
    def prepare(data, logits):
        random = np.random.default_rng(0)
        labels, classes = data.train.y.copy(), len(data.class_names)
        wrong = random.choice(len(labels), round(share * len(labels)), replace=False)
        labels[wrong] = (labels[wrong] + random.integers(1, classes, len(wrong))) % classes
        return _prepare(data, logits, labels=labels)

    return prepare


def _only(keep):
    return lambda data, logits: _prepare(data, logits, np.flatnonzero(np.isin(data.train.y, keep)))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "few",
            "50 labelled digits",
            "The student sees 50 digits; the teacher saw 898. Each softened answer tells more than a label: expect a clear gain.",
            few(50),
        ),
        Scenario(
            "all",
            "All 898 labels",
            "Plenty of labels, and a small student. Expect little or no gain, and with strong softening (T = 16, α = 1) a loss.",
            _prepare,
        ),
        Scenario(
            "unlabelled",
            "50 labels, and 848 digits without",
            "The teacher answers for the digits that nobody labelled. The student alone cannot use them: expect the largest gain.",
            few(50, rest_unlabelled=True),
        ),
        Scenario(
            "wrong",
            "Three labels in ten are wrong",
            "The teacher saw the right labels, so its answers correct the wrong ones. Useful only where such a teacher exists.",
            _wrong_labels(0.3),
        ),
        Scenario(
            "no3",
            "No 3 in the training set",
            "The student never sees a 3, yet softened answers for other digits mention it: expect a gain. Raise its bias for more.",
            _only((0, 1, 2, 4, 5, 6, 7, 8, 9)),
            biased=(3,),
        ),
        Scenario(
            "only78",
            "Only 7s and 8s",
            "Only softened answers mention the other eight digits: expect a gain. Lower the bias of 7 and 8 for more.",
            _only((7, 8)),
            biased=(7, 8),
        ),
        Scenario(
            "ensemble",
            "An ensemble of ten teachers",
            "All labels, and ten teachers whose answers are averaged, in place of one; the same student. Expect little or nothing.",
            partial(_prepare, ensemble=True),
            ensemble=True,
        ),
    )
}
