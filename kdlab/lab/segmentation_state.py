"""Chapter 4's U-Nets: small ones trained with and without a larger one, their masks and Dice. No view in here.

TensorFlow is imported by the first method that trains or looks, so that a page appears before it.
"""

import threading

import numpy as np

from ..checks import check_temperature
from ..segmentation import dice, dice_differences, dice_intervals, load_tiles, overlaps
from .memo import Once

__all__ = ["DEFAULTS", "LABELLED", "POINTS", "RANGES", "SEEDS", "SHOWN", "STEPS", "SegmentationState"]

LABELLED = {"few": 8, "all": None}
"""Of how many tiles of the training region students get the labels; the teacher learnt from all."""
# Of ten positions, T from 1 to 4 and α from 0.1 to 3, the best on the validation tiles, four students each.
DEFAULTS = {"temperature": 1.0, "alpha": 1.0, "labelled": "few"}
RANGES = {"temperature": (0.5, 20.0), "alpha": (0.01, 10.0)}
WIDTH = 8  # channels of a student's first level
POINTS, STEPS, BATCH = 10, 30, 8
SEEDS = 2
SHOWN = {"nest": 4, "stroma": 2}  # test tiles to choose from, of each field of view


class SegmentationState:
    """U-Nets on tiles of the nuclei's fields of view, split by region; results as plain Python values and bytes."""

    def __init__(self):
        self._once, self._lock, self._kept = Once(), threading.Lock(), {}

    @property
    def test(self):
        """The ``Tiles`` of the test region."""
        return self._once("test", load_tiles, "test")

    def check(self, **position):
        """Return the position with numbers as floats; raises ValueError for what is not in ``RANGES`` or ``LABELLED``."""
        for name, (low, high) in RANGES.items():
            if not low <= check_temperature(position[name], name) <= high:
                raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {position[name]!r}")
        if position["labelled"] not in LABELLED:
            raise ValueError(f"labelled must be one of {', '.join(LABELLED)}, got {position['labelled']!r}")
        return position | {name: float(position[name]) for name in RANGES}

    def shown(self):
        """Return indices into ``test`` of the tiles to choose from: of each field those with most of all classes."""
        pixels = self.test.masks().sum(axis=(1, 2))
        order = np.lexsort((-pixels.sum(axis=1), -pixels.min(axis=1)))
        return np.concatenate([order[self.test.fields[order] == name][:many] for name, many in SHOWN.items()])

    def teacher(self):
        """Return the teacher's figures, as ``train`` has them of every network."""
        return self._once("figures", self._describe_teacher)

    def train(self, progress, stop=None, **position):
        """Train ``SEEDS`` students of each kind; ``progress(result)`` gets what there is after every point.

        Kinds are "alone" (Dice with the labels) and "distilled" (the teacher's answers as well), from the same weights
        and batches. A result holds the ``position``; how many points are ``done`` of ``total``; the figures of the
        ``networks``, "teacher" and kinds; and, where all are trained, the paired ``differences`` in Dice, distilled −
        alone, of each class and, last, of their mean, and ``pairs``, that of the mean for each beginning; else None.

        Figures are ``parameters``; ``maps``, the maps of classes of the shown tiles, bytes (tiles, 64, 64), of the
        student last begun; ``dice``, value and interval of each class and, last, their mean, None for students in
        training; and of students the ``curves`` of Dice on the validation tiles. ``stop()`` is asked after every
        point; of a training that is stopped what is trained of both kinds is kept.
        """
        position = self.check(**position)
        with self._lock:
            trainer = self._once("trainer", _make_trainer, self._teacher())
            found = {"position": position, "networks": {"teacher": self.teacher()}, "differences": None, "pairs": None}
            runs, counts = _runs(**position), {}
            for number, (kind, settings) in enumerate(runs.items()):

                def tell(done, total, result, kind=kind, number=number):
                    ended = result.finished == SEEDS
                    counts[kind] = self._counts(result.students) if ended else None
                    networks = found["networks"] | {kind: self._describe(result.students[-1], counts[kind], result)}
                    found.update(networks=networks, done=number * total + done, total=len(runs) * total)
                    progress(found | (_differences(counts) if found["done"] == found["total"] else {}))

                if self._kept.get(kind, (None,))[0] == settings:
                    tell(SEEDS * POINTS, SEEDS * POINTS, self._kept[kind][1])
                    continue
                result = trainer.train(**settings, seeds=SEEDS, progress=tell, stop=stop)
                if result.finished < SEEDS:
                    return
                self._kept[kind] = settings, result

    def _teacher(self):
        return self._once("teacher", _load_teacher)

    def _describe_teacher(self):
        return self._describe(self._teacher(), self._counts([self._teacher()]))

    def _describe(self, model, counts, result=None):
        from ..unet import segment

        maps = segment(model, self.test.x[self.shown()]).tobytes()
        figures = {"parameters": model.count_params(), "maps": maps, "dice": None}
        if counts is not None:
            figures["dice"] = [list(one) for one in dice_intervals(counts)]
        if result is not None:
            runs = result.validation_dice
            figures["curves"] = [[round(float(value), 4) for value in run[~np.isnan(run)]] for run in runs]
        return figures

    def _counts(self, models):
        """Return the ``overlaps`` of networks with the test tiles, (networks, N, classes, 2)."""
        from ..unet import segment

        return np.stack([overlaps(segment(model, self.test.x), self.test.classes) for model in models])


def _load_teacher():
    from ..teachers.segmentation import segmentation_teacher

    return segmentation_teacher()


def _make_trainer(teacher):
    from ..unet import UNetTrainer

    return UNetTrainer(teacher, WIDTH, load_tiles("train"), load_tiles("validation"), POINTS, STEPS, BATCH)


def _runs(temperature, alpha, labelled):
    count = LABELLED[labelled]
    return {
        "alone": {"temperature": 1.0, "alpha": 0.0, "labelled": count},
        "distilled": {"temperature": temperature, "alpha": alpha, "labelled": count},
    }


def _differences(counts):
    differences = dice_differences(counts["distilled"], counts["alone"])
    pairs = (dice(counts["distilled"]) - dice(counts["alone"])).mean(axis=-1)
    return {"differences": [vars(one) | {"verdict": one.verdict} for one in differences], "pairs": pairs.tolist()}
