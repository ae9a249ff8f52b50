"""Chapter 3's state for dense students: which layers are tied and how, and what ten students make of it. No view in here.

TensorFlow is imported by the first method that trains, so that a page appears before it.
"""

import threading
import time
from dataclasses import dataclass
from functools import lru_cache

from ..checks import check_alpha
from ..scenarios import SCENARIOS
from .memo import Once
from .response_state import ResponseState
from .response_summary import check_converged, compare, describe_students

__all__ = [
    "CASES",
    "DEFAULTS",
    "LAYERS",
    "METHODS",
    "SCENARIO_NAMES",
    "SEEDS",
    "WIDTHS",
    "Case",
    "FeaturesState",
    "pairs",
]

SEEDS = 10
WIDTHS = (8, 16, 32, 64)
SCENARIO_NAMES = ("few", "unlabelled", "all", "wrong")
HIDDEN = ("hidden_1", "hidden_2")
LAYERS = (*HIDDEN, "both")
METHODS = {
    "hint": "Hint (FitNets)",
    "similarity": "Similarity-preserving",
    "relational_distance": "Distances (relational)",
}
DEFAULTS = {
    "temperature": 4.0,
    "alpha": 0.5,
    "feature_alpha": 0.5,
    "method": "hint",
    "teacher_layer": "hidden_2",
    "student_layer": "hidden_2",
    "scenario": "few",
    "width": 16,
}


@dataclass(frozen=True)
class Case:
    """A position worth seeing: what its button says, what to look at, and the controls' values that it changes."""

    title: str
    sentence: str
    position: dict


# Found among a few hundred positions by test accuracy, and confirmed with ten other seeds than those of the page.
_TIED = DEFAULTS | {"student_layer": "hidden_1", "feature_alpha": 0.99}
CASES = (
    Case(
        "Where they help", "50 labels, and the teacher's second hidden layer is a hint for the student's first.", _TIED
    ),
    Case(
        "Where they do nothing",
        "All labels, and a hint between the second hidden layers.",
        DEFAULTS | {"scenario": "all"},
    ),
    Case(
        "Where they hurt",
        "All labels, and similarity weighs so much that next to nothing is left of labels and answers.",
        DEFAULTS | {"scenario": "all", "method": "similarity", "feature_alpha": 0.999},
    ),
)


def pairs(teacher_layer, student_layer):
    """Return the pairs (teacher layer, student layer) that two choices of ``LAYERS`` tie.

    "both" on one side ties both of that side to the one of the other; on both sides, each layer to its like.
    """
    if teacher_layer == student_layer == "both":
        return tuple((name, name) for name in HIDDEN)
    teachers, students = (HIDDEN if name == "both" else (name,) for name in (teacher_layer, student_layer))
    return tuple((t, s) for t in teachers for s in students)


class FeaturesState:
    """Students 64-width-width-10 of digits, tied to a teacher 64-256-256-10; results as plain Python values."""

    def __init__(self):
        self._response = ResponseState()
        self.data = self._response.data
        self._once = Once()
        self._training, self._latest = threading.Lock(), (None, None)
        self._taught_by_answers = lru_cache(maxsize=16)(self._taught_by_answers)

    def check(self, **position):
        """Return the position with numbers as floats; raises ValueError naming what is not accepted."""
        accepted = {
            "method": tuple(METHODS),
            "teacher_layer": LAYERS,
            "student_layer": LAYERS,
            "scenario": SCENARIO_NAMES,
            "width": WIDTHS,
        }
        for name, choices in accepted.items():
            if position[name] not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {position[name]!r}")
        temperature, alpha, *_ = self._response.check(position["temperature"], position["alpha"], "all", 16)
        feature_alpha = check_alpha(position["feature_alpha"], "feature_alpha")
        return position | {"temperature": temperature, "alpha": alpha, "feature_alpha": feature_alpha}

    def teacher(self):
        """Return the ``LiveResult`` of the one teacher, trained on all labels, and its seconds."""
        return self._response.teachers(1)

    def trainer(self, scenario, width):
        """Return the ``LiveTrainer`` of a scenario for students 64-width-width-10."""
        return self._once(("trainer", scenario, width), self._make_trainer, scenario, width)

    def alone(self, scenario, width):
        """Return the students without a teacher, the pairs of all others, with the weights after every epoch."""
        return self._once(("alone", scenario, width), self._train_alone, scenario, width)

    def students(self, **position):
        """Return the ``LiveResult``s of a checked position, by kind, and of their training "seconds" and "compiled".

        Kinds are "alone", "response" (the teacher's answers alone) and "features" (its features as well); the latest
        are kept, for the panels that look at the same students. Raises ValueError where any diverged.
        """
        with self._training:
            if self._latest[0] != position:
                self._latest = position, self._train(**position)
            return self._latest[1]

    def train(self, **position):
        """Train ``SEEDS`` students at a position and return what the page shows of them and of their pairs."""
        position = self.check(**position)
        students, training = self.students(**position)
        features, labels = students["features"].test_accuracy, self.data.test.y
        logits = self.teacher()[0].test_logits[0]
        return {
            "position": position,
            **training,
            "teacher": {"accuracy": float((logits.argmax(axis=1) == labels).mean())},
            "students": {kind: describe_students(result) for kind, result in students.items()},
            "differences": {kind: compare(features, students[kind].test_accuracy) for kind in ("response", "alone")},
        }

    def _make_trainer(self, scenario, width):
        from ..live.trainer import LiveTrainer
        from ..models import mlp

        teacher, _ = self.teacher()
        prepared = SCENARIOS[scenario].prepare(self.data, teacher.logits(self.data.train.x))
        x = prepared.data.train.x
        return LiveTrainer(
            prepared.data,
            mlp(64, (width, width), 10, name="student"),
            prepared.teacher_logits,
            epochs=prepared.epochs,
            batch_size=prepared.batch_size,
            teacher_features={name: teacher.features(x, name)[0] for name in HIDDEN},
        )

    def _train_alone(self, scenario, width):
        return self.trainer(scenario, width).train(temperature=1.0, alpha=0.0, seeds=SEEDS, keep_epochs=True)

    def _taught_by_answers(self, temperature, alpha, scenario, width):
        # With its epochs kept, as of those alone: so it is the same compiled program.
        return self.trainer(scenario, width).train(temperature=temperature, alpha=alpha, seeds=SEEDS, keep_epochs=True)

    def _train(self, temperature, alpha, feature_alpha, method, teacher_layer, student_layer, scenario, width):
        trainer, alone = self.trainer(scenario, width), self.alone(scenario, width)
        response = self._taught_by_answers(temperature, alpha, scenario, width)
        traces, started = trainer.traces, time.perf_counter()
        features = trainer.train(
            temperature=temperature,
            alpha=alpha,
            seeds=SEEDS,
            feature_alpha=feature_alpha,
            method=method,
            pairs=pairs(teacher_layer, student_layer),
        )
        seconds = time.perf_counter() - started
        students = {"alone": alone, "response": response, "features": features}
        check_converged(*students.values())
        return students, {"seconds": seconds, "compiled": trainer.traces > traces}
