"""The points of a sweep over temperature and alpha: kept in a CSV file, and what they say together."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from functools import cached_property

import numpy as np

from ..evaluation import mean_interval, paired_difference

__all__ = ["Point", "SweepTable", "read_points", "write_points"]


@dataclass(frozen=True)
class Point:
    """One trained student: ``temperature`` None and ``alpha`` 0 for the student alone. Accuracies from 0 to 1.

    ``run`` names data, teacher, student and settings: points of different runs must not be compared.
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

    @property
    def place(self):
        """What tells it from the other points of its run: temperature, alpha and seed."""
        return self.temperature, self.alpha, self.seed


_COLUMNS = [field.name for field in fields(Point)]


def write_points(points):
    """Return points as the text of a CSV file, a line each."""
    text = io.StringIO()
    lines = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    lines.writeheader()
    for point in points:
        lines.writerow({**asdict(point), "temperature": "" if point.temperature is None else point.temperature})
    return text.getvalue()


def read_points(text, name="the file"):
    """Return the points of a CSV text that ``write_points`` made, or raise ValueError, calling it ``name``."""
    lines = csv.DictReader(io.StringIO(text))
    if lines.fieldnames != _COLUMNS:
        raise ValueError(f"{name} is not a table of a sweep: its columns must be {', '.join(_COLUMNS)}")
    points = []
    for line in lines:
        try:
            temperature = float(line["temperature"]) if line["temperature"] else None
            numbers = {key: float(line[key]) for key in ("alpha", "validation_accuracy", "test_accuracy", "seconds")}
            wholes = {key: int(line[key]) for key in ("seed", "epochs", "best_epoch")}
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} is damaged in line {lines.line_num}: {','.join(map(str, line.values()))}"
            ) from None
        points.append(Point(temperature=temperature, **numbers, **wholes, run=line["run"]))
    return points


@dataclass(frozen=True, eq=False)
class SweepTable:
    """The students of a complete sweep: every temperature (T,), alpha (A,) and seed (S,), and the students alone.

    Raises ValueError where ``points`` lack one of these.
    """

    temperatures: tuple
    alphas: tuple
    seeds: tuple
    points: tuple

    def __post_init__(self):
        found = {point.place for point in self.points}
        places = self.places(self.temperatures, self.alphas, self.seeds)
        if missing := [place for place in places if place not in found]:
            raise ValueError(f"the sweep lacks {len(missing)} of its points, the first is {missing[0]}")

    @staticmethod
    def places(temperatures, alphas, seeds):
        """Return (temperature, alpha, seed) of every student, in the order to train them: first those alone."""
        alone = [(None, 0.0, seed) for seed in seeds]
        return alone + [(t, a, seed) for seed in seeds for t in temperatures for a in alphas]

    @cached_property
    def _by_place(self):
        return {point.place: point for point in self.points}

    def _accuracies(self, split, temperature, alpha):
        places = ((temperature, alpha, seed) for seed in self.seeds)
        return np.array([getattr(self._by_place[place], f"{split}_accuracy") for place in places])

    def differences(self):
        """Return the mean difference from the student alone in validation accuracy, (T, A), from −1 to 1."""
        alone = self._accuracies("validation", None, 0.0)
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

        Means over seeds with 95 % intervals (Student's t over the seeds), None for the interval of one seed. "verdict" is
        "helps", "hurts" or, also where the seeds leave no spread to judge by, "no detectable difference".
        """
        temperature, alpha = self.chosen()
        distilled, alone = self._accuracies("test", temperature, alpha), self._accuracies("test", None, 0.0)
        found = {
            "chosen_on": "validation",
            "temperature": temperature,
            "alpha": alpha,
            "seeds": list(self.seeds),
            "test_accuracy": _mean(distilled),
            "student_alone_test_accuracy": _mean(alone),
            "difference": None,
            "verdict": "no detectable difference",
        }
        if len(self.seeds) > 1:
            difference = paired_difference(distilled, alone)
            found["difference"] = asdict(difference)
            # Accuracies go in steps of one sample: differences that are all equal are chance, not certainty.
            if difference.low < difference.high:
                found["verdict"] = {"better": "helps", "worse": "hurts"}.get(difference.verdict, difference.verdict)
        return {**found, "sentence": _sentence(found)}


def _mean(accuracies):
    if len(accuracies) < 2:
        return {"mean": float(accuracies[0]), "low": None, "high": None}
    return mean_interval(accuracies, within=(0, 1))._asdict()


def _sentence(found):
    accuracy, alone = (found[name]["mean"] for name in ("test_accuracy", "student_alone_test_accuracy"))
    where = f"T = {found['temperature']:g}, alpha = {found['alpha']:g}, chosen on validation data"
    means = f"{100 * accuracy:.2f} % of the test samples right, {100 * alone:.2f} % alone"
    if found["difference"] is None:
        return (
            f"No detectable difference: {where}: {means}; one seed has no spread to judge by, take --seeds 3 or more."
        )
    mean, low, high = (100 * value for value in found["difference"].values())
    spread = f"95 % interval {low:+.2f} to {high:+.2f}" if low < high else "all equal: no spread to judge by"
    seeds = f"{mean:+.2f} points on average over {len(found['seeds'])} seeds ({spread})"
    begin = (
        "No detectable difference"
        if found["verdict"] == "no detectable difference"
        else f"Distillation {found['verdict']} here"
    )
    return f"{begin}: {where}: {means}, {seeds}."
