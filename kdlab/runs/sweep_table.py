"""The points of a sweep over temperature and alpha: kept in a CSV file, and what they say together."""

import csv
import io
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from ..evaluation import samples_needed
from .results import compare_seeds, mean_of_seeds, two_digits


@dataclass(frozen=True)
class Point:
    """One trained student: ``temperature`` None and ``alpha`` 0 for the student alone. Accuracies from 0 to 1.

    ``run`` names data, teacher, student and settings: points of different runs must not be compared. ``at_chance`` is
    whether it cannot be told from guessing on the test samples.
    """

    temperature: float | None
    alpha: float
    seed: int
    validation_accuracy: float
    test_accuracy: float
    epochs: int
    best_epoch: int
    seconds: float
    run: str
    at_chance: bool = False

    @property
    def place(self):
        """What tells it from the other points of its run: temperature, alpha and seed."""
        return self.temperature, self.alpha, self.seed


# How each column is read; an empty temperature is that of the student alone.
_COLUMNS = Point.__annotations__ | {
    "temperature": lambda text: float(text) if text else None,
    "at_chance": {"True": True, "False": False}.__getitem__,
}


def write_points(points):
    """Return points as the text of a CSV file, a line each."""
    text = io.StringIO()
    lines = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(map(asdict, points))
    return text.getvalue()


def read_points(text, name="the file"):
    """Return the points of a CSV text that ``write_points`` made, or raise ValueError, calling it ``name``."""
    lines = csv.DictReader(io.StringIO(text))
    if lines.fieldnames != list(_COLUMNS):
        raise ValueError(f"{name} is not a table of a sweep: its columns must be {', '.join(_COLUMNS)}")
    points = []
    for line in lines:
        try:
            points.append(Point(**{column: _COLUMNS[column](line[column]) for column in lines.fieldnames}))
        except (TypeError, ValueError, KeyError):
            values = ",".join(map(str, line.values()))
            raise ValueError(f"{name} is damaged in line {lines.line_num}: {values}") from None
    return points


@dataclass(frozen=True, eq=False)
class SweepTable:
    """The students of a complete sweep: every temperature (T,), alpha (A,) and seed (S,), and the students alone."""

    temperatures: tuple
    alphas: tuple
    seeds: tuple
    points: tuple

    @staticmethod
    def places(temperatures, alphas, seeds):
        """Return (temperature, alpha, seed) of every student, in the order to train them: first those alone."""
        alone = [(None, 0.0, seed) for seed in seeds]
        return alone + [(t, a, seed) for seed in seeds for t in temperatures for a in alphas]

    @cached_property
    def _by_place(self):
        return {point.place: point for point in self.points}

    def _accuracies(self, split, temperature=None, alpha=0.0):
        places = ((temperature, alpha, seed) for seed in self.seeds)
        return np.array([getattr(self._by_place[place], f"{split}_accuracy") for place in places])

    def guesses(self, temperature=None, alpha=0.0):
        """Return which students of a point, those alone unless given, cannot be told from guessing: a boolean per seed."""
        return [self._by_place[temperature, alpha, seed].at_chance for seed in self.seeds]

    def differences(self):
        """Return the mean difference from the student alone in validation accuracy, (T, A), from −1 to 1."""
        alone = self._accuracies("validation")
        return np.array(
            [[(self._accuracies("validation", t, a) - alone).mean() for a in self.alphas] for t in self.temperatures]
        )

    def chosen(self):
        """Return (temperature, alpha) of the best mean validation accuracy; the first of several equals."""
        differences = self.differences()
        # Means of equal counts may differ by rounding.
        place = np.argmax(differences >= differences.max() - 1e-9)
        t, a = np.unravel_index(place, differences.shape)
        return self.temperatures[t], self.alphas[a]

    def summary(self):
        """Return what the chosen point is worth on the test samples, as plain values, with "sentence".

        Means over seeds with 95 % intervals; "difference", "verdict" and "sentence" as of ``results.compare_seeds``.
        """
        temperature, alpha = self.chosen()
        distilled, alone = self._accuracies("test", temperature, alpha), self._accuracies("test")
        where = f"T = {temperature:g}, alpha = {alpha:g}, chosen on validation data: "
        guessing = all(self.guesses() + self.guesses(temperature, alpha))
        # Which samples each gets right is not kept: this is what two test sets would take, and one takes fewer.
        needed = samples_needed(*(round(float(one.mean()), 9) for one in (distilled, alone)))
        needed = needed and f"about {two_digits(needed):,} or fewer"
        difference, verdict, sentence = compare_seeds(distilled, alone, where, needed, guessing)
        return {
            "chosen_on": "validation",
            "temperature": temperature,
            "alpha": alpha,
            "seeds": list(self.seeds),
            "test_accuracy": mean_of_seeds(distilled),
            "student_alone_test_accuracy": mean_of_seeds(alone),
            "difference": difference,
            "verdict": verdict,
            "sentence": sentence,
        }
