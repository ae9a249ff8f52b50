"""Decision regions in the plane: teacher, student alone and distilled student on moons or spirals. No view in here."""

import threading

import numpy as np

from ..datasets.dataset import Dataset, Split
from ..softening import softmax

__all__ = ["SHAPES", "SIDE", "RegionsState", "plane"]

SHAPES = ("moons", "spirals")
SIDE = 56  # of the grid the regions are drawn on
STUDENT_POINTS, TEACHER_POINTS, TEST_POINTS = 24, 600, 1000


def plane(shape, points, seed, noise=0.12):
    """Return ``points`` noisy samples of two classes in the unit square: x (points, 2) float32, y (points,) int32."""
    random = np.random.default_rng(seed)
    y = np.arange(points) % 2
    along = random.random(points)
    if shape == "moons":
        angle = np.pi * along
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x[y == 1] = [1.0, 0.5] - x[y == 1]
        x = (x - [0.5, 0.25]) / 3.2
        noise = noise / 1.8
    elif shape == "spirals":
        angle = 0.6 + 2.4 * np.pi * np.sqrt(along) + np.pi * y
        radius = 0.44 * np.sqrt(along)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        noise = noise / 6
    else:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    x = np.clip(0.5 + x + random.normal(0, noise / 2, x.shape), 0, 1)
    return x.astype(np.float32), y.astype(np.int32)


class RegionsState:
    """Trains the teacher on many points once, and the students on few of them at every position."""

    def __init__(self):
        self._made, self._lock = {}, threading.Lock()
        axis = (np.arange(SIDE) + 0.5) / SIDE
        self.grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)

    def train(self, shape, temperature, alpha, seeds=5):
        """Return position, points, labels and, of teacher, alone and distilled, test accuracy and P(class 1) on the grid.

        Accuracy is the mean over ``seeds`` students; the map is the first one's, (SIDE · SIDE,) from 0 to 1.
        """
        data, teacher, trainer, alone = self._prepare(shape, seeds)
        distilled = trainer.train(temperature, alpha, seeds=seeds)
        position = {"shape": shape, "temperature": float(temperature), "alpha": float(alpha)}
        out = {"position": position, "x": data.train.x.ravel().tolist(), "y": data.train.y.tolist()}
        for name, result in (("teacher", teacher), ("alone", alone), ("distilled", distilled)):
            out[name] = {
                "accuracy": float(result.test_accuracy.mean()),
                "map": np.round(softmax(result.logits(self.grid)[0])[:, 1], 3).tolist(),
            }
        return out

    def _prepare(self, shape, seeds):
        with self._lock:
            if shape not in self._made:
                from ..live.trainer import LiveTrainer
                from ..models import mlp

                held_out = Split(*plane(shape, TEST_POINTS, seed=2))
                everything = self._dataset(Split(*plane(shape, TEACHER_POINTS, seed=1)), held_out)
                nothing = np.zeros((TEACHER_POINTS, 2), np.float32)
                teacher = LiveTrainer(everything, mlp(2, (64, 64), 2), nothing, epochs=80).train(1.0, 0.0, seeds=1)
                few = Split(everything.train.x[:STUDENT_POINTS], everything.train.y[:STUDENT_POINTS])
                data = self._dataset(few, held_out)
                trainer = LiveTrainer(
                    data, mlp(2, (32, 32), 2), teacher.logits(few.x)[0], epochs=200, batch_size=STUDENT_POINTS
                )
                self._made[shape] = data, teacher, trainer, trainer.train(1.0, 0.0, seeds=seeds)
            return self._made[shape]

    @staticmethod
    def _dataset(train, held_out):
        return Dataset(train, held_out, held_out, ("0", "1"), source="drawn by a formula", licence="none needed")
