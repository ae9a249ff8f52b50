"""Where chapter 5's students come from: digits from the live engine, at once; nuclei one after another, in seconds."""

import threading
from functools import lru_cache

import numpy as np

from ..datasets.nuclei import CLASS_NAMES, load_nuclei
from ..scenarios import SCENARIOS
from .memo import Once
from .response_summary import check_converged

__all__ = ["WIDTHS", "DigitStudents", "NucleusStudents"]

EPOCHS, SIZE = 15, 48
WIDTHS = ("narrow", "medium", "wide")
UNITS = dict(zip(WIDTHS, (8, 16, 64), strict=True))
CHANNELS = dict(zip(WIDTHS, ((4, 8, 16), (8, 16, 32), (16, 32, 64)), strict=True))


class DigitStudents:
    """Students 64-width-10 of digits in a scenario of chapter 2; ``response`` is its ``ResponseState``."""

    pairs = 10

    def __init__(self, response, scenario):
        self._response, self._scenario = response, scenario
        self._distilled = lru_cache(maxsize=4)(self._distilled)

    @property
    def data(self):
        """The digits as they are split; the scenario changes the training set alone."""
        return self._response.data

    def training_samples(self):
        """Return what the students are trained on."""
        nothing = np.zeros((1, len(self.data.train), len(self.data.class_names)), np.float32)
        return SCENARIOS[self._scenario].prepare(self.data, nothing).data.train.x

    def teacher(self):
        """Return the teacher, dense 64-256-256-10, as a ``keras.Model``."""
        return self._response.teachers(1)[0].student(0)

    def describe(self, width):
        """Return the student in words."""
        return f"64-{UNITS[width]}-10, dense"

    def train(self, width, temperature, alpha, count, progress=None, stop=None):
        """Return ``count`` students, one per seed, as ``keras.Model``s; α = 0 is the student alone."""
        units = UNITS[width]
        result = self._distilled(units, temperature, alpha) if alpha else self._response.alone(self._scenario, units)
        return [result.student(seed) for seed in range(count)]

    trained = train  # at once

    def _distilled(self, units, temperature, alpha):
        result = self._response.trainer(self._scenario, units).train(temperature, alpha, seeds=self.pairs)
        check_converged(result)
        return result


class NucleusStudents:
    """Students of nuclei with three convolutions, which see crops of 48×48 pixels at half the resolution."""

    pairs = 5

    def __init__(self):
        self._once, self._lock, self._kept = Once(), threading.Lock(), {}

    @property
    def data(self):
        """The nuclei, split by region."""
        return self._once("data", lambda: load_nuclei(size=SIZE))

    def training_samples(self):
        """Return what the students are trained on."""
        return self.data.train.x

    def teacher(self):
        """Return the teacher that is shipped trained."""
        from ..teachers.nuclei import nuclei_teacher

        return self._once("teacher", nuclei_teacher)

    def describe(self, width):
        """Return the student in words."""
        return f"three convolutions of {', '.join(map(str, CHANNELS[width]))} channels"

    def train(self, width, temperature, alpha, count, progress=None, stop=None):
        """Return ``count`` students, one per seed, fewer after a stop; those of before where there are as many."""
        key = (width, temperature if alpha else 1.0, alpha)
        with self._lock:
            if len(self._kept.get(key, ())) < count:
                trainer = self._once(("trainer", width), self._make_trainer, width)
                tell = progress and (lambda done, total, _: progress(done, total))
                result = trainer.train(*key[1:], seeds=count, progress=tell, stop=stop)
                whole = ~np.isnan(result.test_accuracy)
                # Those of the position seen last, and those alone: models are not small.
                self._kept = {k: kept for k, kept in self._kept.items() if k[0] == width and k[2] == 0}
                self._kept[key] = [student for student, done in zip(result.students, whole, strict=False) if done]
            return self._kept[key][:count]

    def trained(self, width, temperature, alpha, count):
        """Return the students that are trained already, at most ``count``."""
        return self._kept.get((width, temperature if alpha else 1.0, alpha), [])[:count]

    def _make_trainer(self, width):
        from ..live.convolutional import ConvolutionalTrainer

        def build(seed):
            return _student(seed, CHANNELS[width])

        return ConvolutionalTrainer(self.data, self.teacher(), build, EPOCHS, batch_size=32, learning_rate=0.001)


def _student(seed, channels):
    from ..backend import keras
    from ..models import small_cnn

    blocks = small_cnn((SIZE // 2, SIZE // 2, 3), len(CLASS_NAMES), seed, channels=channels).layers
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(2), *blocks], name="student")
