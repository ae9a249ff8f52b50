"""Chapter 2's state: scenarios, teachers and live students, and what a slider position comes to. No view in here.

TensorFlow is imported by the first method that trains, so that a page appears before it.
"""

import threading
import time
from dataclasses import replace

import numpy as np

from ..checks import check_alpha, check_temperature
from ..datasets import digits_logits, load
from ..evaluation import accuracy, expected_calibration_error, mean_interval
from ..mistakes import MISTAKES, equivalent_alpha, mistaken_gradient
from ..scenarios import SCENARIOS, STEPS
from ..softening import softmax
from .response_summary import BIASES, BINS, compare, describe_reliability, describe_students, summarise

__all__ = ["DEFAULTS", "SEEDS", "WIDTHS", "ResponseState"]

DEFAULTS = {"temperature": 4.0, "alpha": 0.9, "scenario": "few", "width": 16}
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 10_000.0  # beyond, float32 rounds the softened differences away
WIDTHS = (4, 8, 16, 32, 64)
SEEDS = 10
TEACHERS = 10


class ResponseState:
    """The students of digits at every slider position, trained when asked for, each result as plain Python values."""

    def __init__(self):
        self.data = load("digits")
        self._lock, self._locks, self._made = threading.Lock(), {}, {}

    def check(self, temperature, alpha, scenario, width):
        """Return the position with numbers as floats; raises ValueError naming what is not accepted."""
        if scenario not in SCENARIOS:
            raise ValueError(f"scenario must be one of {', '.join(SCENARIOS)}, got {scenario!r}")
        if width not in WIDTHS:
            raise ValueError(f"width must be one of {', '.join(map(str, WIDTHS))}, got {width!r}")
        temperature = check_temperature(temperature)
        if not LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE:
            accepted = f"from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"
            raise ValueError(f"temperature must be {accepted} to train in single precision, got {temperature:g}")
        return temperature, check_alpha(alpha), scenario, int(width)

    def teachers(self, count):
        """Return the ``LiveResult`` of ``count`` teachers, dense 64-256-256-10, trained on all labels, and its seconds."""
        return self._once(("teachers", count), self._train_teachers, count)

    def teacher_logits(self, scenario, x):
        """Return the logits on ``x`` (N, 64) of the scenario's teacher, (1, N, 10), or teachers, (10, N, 10)."""
        return self.teachers(TEACHERS if SCENARIOS[scenario].ensemble else 1)[0].logits(x)

    def trainer(self, scenario, width):
        """Return the ``LiveTrainer`` of a scenario for students 64-width-10."""
        return self._once(("trainer", scenario, width), self._make_trainer, scenario, width)

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
        started = time.perf_counter()
        distilled = trainer.train(temperature=temperature, alpha=alpha, seeds=SEEDS)
        seconds = time.perf_counter() - started
        _check_converged(distilled)
        picture = self._picture(scenario, width, distilled)
        return {
            "position": {"temperature": temperature, "alpha": alpha, "scenario": scenario, "width": width},
            "seconds": seconds,
            "teacher": self._teacher(scenario),
            "alone": alone["students"],
            "distilled": picture["students"],
            "difference": compare(distilled.test_accuracy, self.alone(scenario, width).test_accuracy),
            "errors": self._errors(alone["wrong"], picture["wrong"]),
            "bias": self._bias(scenario, alone["bias"], picture["bias"]),
            "fidelity": {
                "teacher": self._teacher(scenario)["fidelity"],
                "alone": alone["fidelity"],
                "distilled": picture["fidelity"],
            },
        }

    def landscape(self, scenario, width, temperatures, alphas, seeds, progress, stop):
        """Train ``seeds`` students at every position; ``progress(done, total, differences)`` gets (T, A) means.

        The difference is to the same seeds' students alone; NaN where none is trained yet.
        """
        _, _, scenario, width = self.check(1.0, 0.0, scenario, width)
        alone = self.alone(scenario, width).test_accuracy[:seeds]

        def report(done, total, sweep):
            progress(done, total, (sweep.test_accuracy - alone).mean(axis=2))

        self.trainer(scenario, width).sweep(temperatures, alphas, seeds=seeds, progress=report, stop=stop)

    def mistakes(self, temperature, alpha, scenario, width):
        """Return, per mistake, what it does to the gradient and to ten students trained with it.

        ``size`` and ``cosine`` compare its gradient on the shipped logits with the right one. "keras_default" is
        not trained here: see ``keras_default``.
        """
        temperature, alpha, scenario, width = self.check(temperature, alpha, scenario, width)
        logits, labels = digits_logits(), self.data.test.y
        gradients = {
            name: mistaken_gradient(name, logits["student"], logits["teacher"], labels, temperature, alpha)
            for name in MISTAKES
        }
        right = self.trainer(scenario, width).train(temperature, alpha, seeds=SEEDS, keep_epochs=True)
        rows = []
        for name, gradient in gradients.items():
            accuracies = self._mistaken(name, right, temperature, alpha, scenario, width)
            norms = np.linalg.norm(gradient), np.linalg.norm(gradients["none"])
            rows.append(
                {
                    "name": name,
                    "size": float(norms[0] / norms[1]),
                    "cosine": float((gradient * gradients["none"]).sum() / norms[0] / norms[1]) if norms[0] else None,
                    "accuracy": None if accuracies is None else list(mean_interval(accuracies)),
                    "difference": None if accuracies is None else compare(accuracies, right.test_accuracy),
                }
            )
        return rows

    def keras_default(self, temperature, alpha, scenario, width, seeds=3):
        """Train ``seeds`` students with Keras's own Distiller and its default loss; return their row, as above.

        They begin where our students begin; samples without a label are left out, for Keras has no use for them.
        """
        from ..backend import keras

        temperature, alpha, scenario, width = self.check(temperature, alpha, scenario, width)
        trainer = self.trainer(scenario, width)
        right = trainer.train(temperature, alpha, seeds=SEEDS, keep_epochs=True)
        train = SCENARIOS[scenario].prepare(self.data, self.teacher_logits(scenario, self.data.train.x)).data.train
        labelled = train.y >= 0
        accuracies = []
        for seed in range(seeds):
            student = right.student(seed, epoch=0)
            distiller = keras.distillation.Distiller(
                teacher=self.teachers(1)[0].student(0),
                student=student,
                distillation_losses=keras.distillation.LogitsDistillation(temperature=temperature),
                student_loss_weight=1 - alpha,
            )
            distiller.compile(
                optimizer=keras.optimizers.Adam(trainer.learning_rate),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
            steps = -(-int(labelled.sum()) // trainer.batch_size)
            distiller.fit(
                train.x[labelled],
                train.y[labelled],
                batch_size=trainer.batch_size,
                epochs=max(1, round(STEPS / steps)),
                verbose=0,
            )
            accuracies.append(accuracy(student.predict(self.data.test.x, verbose=0), self.data.test.y))
        accuracies = np.array(accuracies)
        return {
            "accuracy": list(mean_interval(accuracies)),
            "difference": compare(accuracies, right.test_accuracy[:seeds]),
        }

    def from_ten_to_one(self, temperature, alpha, scenario, width):
        """Return accuracies of one network, of ten like it together and of ten distilled from those ten.

        All have the same size, as in Hinton, Vinyals & Dean 2015, section 4. Whatever the scenario, the ten learn from
        50 labelled digits, and their answers to all 898 images are distilled; ``share`` of the ten's gain comes through.
        """
        temperature, alpha, _, width = self.check(temperature, alpha, scenario, width)
        ten = self.alone("few", width)
        trainer = self._once(("ten", width), self._make_trainer_of_ten, ten, width)
        one = trainer.train(temperature, alpha, seeds=SEEDS)
        _check_converged(one)
        together = softmax(ten.test_logits).mean(axis=0)
        gain = accuracy(together, self.data.test.y) - ten.test_accuracy.mean()
        return {
            "one": list(mean_interval(ten.test_accuracy)),
            "together": accuracy(together, self.data.test.y),
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

    def _once(self, key, make, *arguments):
        """Return what was made under ``key``, making it now if it was not; panels that want the same wait for it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = make(*arguments)
            return self._made[key]

    def _train_teachers(self, count):
        from ..live import LiveTrainer
        from ..models import mlp

        started = time.perf_counter()
        nothing = np.zeros((len(self.data.train), len(self.data.class_names)), np.float32)
        teacher = mlp(64, (256, 256), 10, name="teacher")
        trainer = LiveTrainer(self.data, teacher, nothing, epochs=20, learning_rate=0.002)
        result = trainer.train(temperature=1.0, alpha=0.0, seeds=count)
        return result, time.perf_counter() - started

    def _make_trainer(self, scenario, width, change=lambda logits: logits):
        logits = self.teacher_logits(scenario, self.data.train.x)
        return self._live(SCENARIOS[scenario].prepare(self.data, change(logits)), width)

    def _make_trainer_of_ten(self, ten, width):
        logits = ten.logits(self.data.train.x)
        prepared = SCENARIOS["unlabelled"].prepare(self.data, logits)
        return self._live(replace(prepared, teacher_logits=logits), width)

    @staticmethod
    def _live(prepared, width):
        from ..live import LiveTrainer
        from ..models import mlp

        student = mlp(64, (width,), 10, name="student")
        return LiveTrainer(
            prepared.data, student, prepared.teacher_logits, epochs=prepared.epochs, batch_size=prepared.batch_size
        )

    def _mistaken(self, name, right, temperature, alpha, scenario, width):
        """Return the test accuracies of ten students trained with a mistake, (SEEDS,), or None where it takes long."""
        if name == "none":
            return right.test_accuracy
        if name == "keras_default":
            return None
        if name == "swapped":  # they stay as they began
            predicted = right.logits(self.data.test.x, epoch=0).argmax(axis=-1)
            return (predicted == self.data.test.y).mean(axis=1)
        if name == "probabilities":
            trainer = self._once(("probabilities", scenario, width), self._make_trainer, scenario, width, _softmaxed)
            return trainer.train(temperature, alpha, seeds=SEEDS).test_accuracy
        # A factor on the whole loss hardly matters to Adam, so the right loss with another alpha is the same training.
        alpha = equivalent_alpha(name, temperature, alpha)
        return self.trainer(scenario, width).train(temperature, alpha, seeds=SEEDS).test_accuracy

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

    def _picture_alone(self, scenario, width):
        return self._picture(scenario, width, self.alone(scenario, width))

    def _picture(self, scenario, width, result):
        """Return what the page shows of ten students of one kind."""
        teacher = self._once(("probabilities", scenario), self._teacher_probabilities, scenario)
        return summarise(result, self.data, teacher, SCENARIOS[scenario].biased) | {
            "students": describe_students(result, width)
        }

    def _errors(self, alone, distilled, count=12):
        """Return the test digits that most distilled students get wrong: place, wrong students of each kind."""
        worst = np.lexsort((-alone, -distilled))[:count]
        return [
            {
                "digit": int(i),
                "label": int(self.data.test.y[i]),
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


def _check_converged(result):
    """Raise ValueError, with the epoch, where students diverged: the page says it and keeps the last good view."""
    if result.message:
        raise ValueError(result.message)


def _softmaxed(logits):
    """Return the teacher's probabilities, to be taken for logits; less 1, which softmax does not see."""
    return softmax(logits) - 1
