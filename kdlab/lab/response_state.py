"""Chapter 2's state: scenarios, teachers and live students, and what a slider position comes to. No view in here.

TensorFlow is imported by the first method that trains, so that a page appears before it.
"""

import threading
import time
from dataclasses import replace

import numpy as np

from ..checks import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, check_alpha, check_training_temperature
from ..datasets.dataset import digits_logits, load
from ..evaluation import expected_calibration_error, mean_interval, wilson_interval
from ..scenarios import SCENARIOS
from ..softening import softmax
from .memo import Once
from .response_summary import (
    BIASES,
    BINS,
    check_converged,
    compare,
    describe_landscape,
    describe_reliability,
    describe_students,
    summarise,
)

__all__ = [
    "DEFAULTS",
    "HIGHEST_TEMPERATURE",
    "LOWEST_TEMPERATURE",
    "SEEDS",
    "WIDTHS",
    "ResponseState",
    "check_training_temperature",
]

DEFAULTS = {"temperature": 4.0, "alpha": 0.9, "scenario": "few", "width": 16}
WIDTHS = (4, 8, 16, 32, 64)
SEEDS = 10
TEACHERS = 10


class ResponseState:
    """The students of digits at every slider position, trained when asked for, each result as plain Python values."""

    def __init__(self):
        self.data = load("digits")
        self._once = Once()

    def check(self, temperature, alpha, scenario, width):
        """Return the position with numbers as floats; raises ValueError naming what is not accepted."""
        if scenario not in SCENARIOS:
            raise ValueError(f"scenario must be one of {', '.join(SCENARIOS)}, got {scenario!r}")
        if width not in WIDTHS:
            raise ValueError(f"width must be one of {', '.join(map(str, WIDTHS))}, got {width!r}")
        return check_training_temperature(temperature), check_alpha(alpha), scenario, int(width)

    def teachers(self, count):
        """Return the ``LiveResult`` of ``count`` teachers, dense 64-256-256-10, and its seconds.

        One is the shipped teacher, in no time (None); more are trained now, on all labels.
        """
        if count == 1:
            return self._once(("teachers", 1), self._load_teacher), None
        return self._once(("teachers", count), self._train_teachers, count)

    def teacher_logits(self, scenario, x):
        """Return the logits on ``x`` (N, 64) of the scenario's teacher, (1, N, 10), or teachers, (10, N, 10)."""
        return self.teachers(TEACHERS if SCENARIOS[scenario].ensemble else 1)[0].logits(x)

    def trainer(self, scenario, width):
        """Return the ``LiveTrainer`` of a scenario for students 64-width-10."""
        return self._once(("trainer", scenario, width), self._make_trainer, scenario, width)

    def trainer_on_probabilities(self, scenario, width):
        """Return such a trainer with the teacher's probabilities in the place of its logits, a well-known mistake."""
        # Less 1, which softmax does not see: the trainer would refuse them.
        return self._once(
            ("mistaken", scenario, width), self._make_trainer, scenario, width, lambda logits: softmax(logits) - 1
        )

    def alone(self, scenario, width):
        """Return the students alone, alpha = 0: the pairs of every distilled one."""
        return self._once(("alone", scenario, width), self._train_alone, scenario, width)

    def train(self, temperature, alpha, scenario, width):
        """Train ``SEEDS`` students and return what the page shows of them and of their pairs, the students alone."""
        temperature, alpha, scenario, width = self.check(temperature, alpha, scenario, width)
        # The students alone need no teacher, so the two compile and train at the same time, the first time.
        threading.Thread(target=self._teacher, args=(scenario,), daemon=True).start()
        alone = self._once(("picture", scenario, width), self._picture_alone, scenario, width)
        trainer = self.trainer(scenario, width)
        alone_seconds = self._once(("seconds", scenario, width), self._time_alone, scenario, width)
        distilled, seconds = _timed(trainer.train, temperature=temperature, alpha=alpha, seeds=SEEDS)
        check_converged(distilled)
        picture = self._picture(scenario, width, distilled)
        return {
            "position": {"temperature": temperature, "alpha": alpha, "scenario": scenario, "width": width},
            "teacher": self._teacher(scenario),
            "alone": alone["students"] | {"seconds": alone_seconds},
            "distilled": picture["students"] | {"seconds": seconds},
            "difference": compare(distilled.test_accuracy, self.alone(scenario, width).test_accuracy),
            "errors": self._errors(alone["wrong"], picture["wrong"], picture["read"]),
            "bias": self._bias(scenario, alone["bias"], picture["bias"]),
            "fidelity": {
                "teacher": self._teacher(scenario)["fidelity"],
                "alone": alone["fidelity"],
                "distilled": picture["fidelity"],
            },
        }

    def landscape(self, scenario, width, temperatures, alphas, seeds, progress, stop):
        """Train ``seeds`` students at every position; ``progress(done, total, landscape)`` gets it as it grows.

        The landscape is as ``describe_landscape`` gives it; its differences are to the same seeds' students alone.
        """
        _, _, scenario, width = self.check(1.0, 0.0, scenario, width)
        alone = self.alone(scenario, width)
        check_converged(alone)

        def report(done, total, sweep):
            progress(done, total, describe_landscape(sweep, alone))

        self.trainer(scenario, width).sweep(temperatures, alphas, seeds=seeds, progress=report, stop=stop)

    def from_ten_to_one(self, temperature, alpha, scenario, width):
        """Return accuracies, each (mean, low, high), of one network, ten like it together and one distilled from them.

        All have the same size, as in Hinton, Vinyals & Dean 2015, section 4. Whatever the scenario, the ten learn from
        50 labelled digits, and their answers to all 898 images are distilled; ``share`` of the ten's gain comes through.
        Intervals are over ten seeds, but of the ten together, of which there is one, over the test digits (Wilson).
        """
        temperature, alpha, _, width = self.check(temperature, alpha, scenario, width)
        ten = self.alone("few", width)
        trainer = self._once(("ten", width), self._make_trainer_of_ten, ten, width)
        one = trainer.train(temperature, alpha, seeds=SEEDS)
        check_converged(one)
        labels = self.data.test.y
        right = softmax(ten.test_logits).mean(axis=0).argmax(axis=1) == labels
        together = wilson_interval(int(right.sum()), len(labels))
        gain = together.mean - ten.test_accuracy.mean()
        return {
            "position": {"temperature": temperature, "alpha": alpha, "width": width},
            "samples": len(labels),
            "one": list(mean_interval(ten.test_accuracy)),
            "together": list(together),
            "distilled": list(mean_interval(one.test_accuracy)),
            "share": float((one.test_accuracy.mean() - ten.test_accuracy.mean()) / gain) if gain > 0.001 else None,
        }

    def draw(self, pixels, temperature, alpha, scenario, width):
        """Return the logits, (10,) each, of teacher, first student alone and first distilled student on one drawing.

        ``pixels``: 64 numbers from 0 to 1. Of an ensemble the log of the mean probability is returned.
        """
        x = np.asarray(pixels, np.float32).reshape(1, 64)
        position = self.check(temperature, alpha, scenario, width)
        distilled = self.trainer(*position[2:]).train(*position[:2], seeds=SEEDS)
        teachers = self.teacher_logits(scenario, x)[:, 0]
        return {
            "teacher": np.log(softmax(teachers).mean(axis=0) + 1e-30).tolist()
            if len(teachers) > 1
            else teachers[0].tolist(),
            "alone": self.alone(*position[2:]).logits(x)[0, 0].tolist(),
            "distilled": distilled.logits(x)[0, 0].tolist(),
        }

    def _load_teacher(self):
        from ..live.batched import DenseStudent
        from ..live.result import LiveResult
        from ..teachers.digits import digits_teacher

        teacher, logits = digits_teacher(), digits_logits()["teacher"]
        none = np.empty((1, 0), np.float32)  # no curves: nothing was trained
        return LiveResult(
            temperature=1.0,
            alpha=0.0,
            test_accuracy=np.array([(logits.argmax(axis=1) == self.data.test.y).mean()]),
            test_logits=logits[None],
            train_loss=none,
            validation_accuracy=none,
            test_accuracy_per_epoch=none,
            diverged_at=np.array([-1]),
            weights=[w[None] for w in teacher.get_weights()],
            weights_per_epoch=None,
            _student=DenseStudent(teacher, self.data.train.x),
        )

    def _train_teachers(self, count):
        from ..live.trainer import LiveTrainer
        from ..models import mlp

        nothing = np.zeros((len(self.data.train), len(self.data.class_names)), np.float32)
        teacher = mlp(64, (256, 256), 10, name="teacher")
        trainer = LiveTrainer(self.data, teacher, nothing, epochs=20, learning_rate=0.002)
        return _timed(trainer.train, temperature=1.0, alpha=0.0, seeds=count)

    def _make_trainer(self, scenario, width, change=lambda logits: logits):
        logits = self.teacher_logits(scenario, self.data.train.x)
        return self._live(SCENARIOS[scenario].prepare(self.data, change(logits)), width)

    def _make_trainer_of_ten(self, ten, width):
        logits = ten.logits(self.data.train.x)
        prepared = SCENARIOS["unlabelled"].prepare(self.data, logits)
        return self._live(replace(prepared, teacher_logits=logits), width)

    @staticmethod
    def _live(prepared, width):
        from ..live.trainer import LiveTrainer
        from ..models import mlp

        student = mlp(64, (width,), 10, name="student")
        return LiveTrainer(
            prepared.data, student, prepared.teacher_logits, epochs=prepared.epochs, batch_size=prepared.batch_size
        )

    def _teacher(self, scenario):
        """Return what the page shows of the scenario's teacher or teachers."""
        return self._once(("teacher", scenario), self._describe_teacher, scenario)

    def _describe_teacher(self, scenario):
        probabilities, labels = self._teacher_probabilities(scenario), self.data.test.y
        count = TEACHERS if SCENARIOS[scenario].ensemble else 1
        result, seconds = self.teachers(count)
        right = float((probabilities.argmax(axis=1) == labels).mean())
        return {
            "accuracy": right,
            "parameters": count * sum(w[0].size for w in result.weights),
            "count": count,
            "seconds": seconds,
            "fidelity": describe_reliability(probabilities, labels)
            | {
                "accuracy": [right] * 3,
                "agreement": [1.0] * 3,
                "calibration": [expected_calibration_error(probabilities, labels, BINS)] * 3,
            },
        }

    def _teacher_probabilities(self, scenario):
        return softmax(self.teacher_logits(scenario, self.data.test.x)).mean(axis=0)

    def _train_alone(self, scenario, width):
        nothing = np.zeros((TEACHERS, len(self.data.train), len(self.data.class_names)), np.float32)
        return self._live(SCENARIOS[scenario].prepare(self.data, nothing), width).train(1.0, 0.0, seeds=SEEDS)

    def _time_alone(self, scenario, width):
        """Return the seconds of training the students alone, prepared as the distilled ones are: a second training."""
        train, position = self.trainer(scenario, width).train, {"temperature": 1.0, "alpha": 0.0, "seeds": SEEDS}
        train(**position)
        return _timed(train, **position)[1]

    def _picture_alone(self, scenario, width):
        return self._picture(scenario, width, self.alone(scenario, width))

    def _picture(self, scenario, width, result):
        """Return what the page shows of ten students of one kind."""
        teacher = self._once(("probabilities", scenario), self._teacher_probabilities, scenario)
        return summarise(result, self.data, teacher, SCENARIOS[scenario].biased) | {
            "students": describe_students(result)
        }

    def _errors(self, alone, distilled, read, count=12):
        """Return the test digits that most distilled students get wrong: place, what is read, wrong students of each kind."""
        worst = np.lexsort((-alone, -distilled))[:count]
        return [
            {
                "digit": int(i),
                "label": int(self.data.test.y[i]),
                "read": int(read[i]),
                "alone": int(alone[i]),
                "distilled": int(distilled[i]),
            }
            for i in worst
            if alone[i] or distilled[i]
        ]

    def _bias(self, scenario, alone, distilled):
        """Return mean errors on the test set per bias, and the bias that has the fewest on the validation set."""
        classes = SCENARIOS[scenario].biased
        if not classes:
            return None
        return {
            "classes": list(classes),
            "values": BIASES.tolist(),
            "samples": len(self.data.test),
            "class_samples": int(np.isin(self.data.test.y, classes).sum()),
            "alone": alone,
            "distilled": distilled,
        }


def _timed(job, **arguments):
    """Return the result of ``job`` and the seconds it took."""
    started = time.perf_counter()
    result = job(**arguments)
    return result, time.perf_counter() - started
