"""The results of a run: a table of models, what the comparison says, and all it takes to repeat it."""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import NormalDist

import numpy as np

from .. import __version__
from ..evaluation import Interval, at_chance, mcnemar, paired_difference, wilson_interval
from ..timing import Spread

__all__ = [
    "ModelResult",
    "as_json",
    "byte_size",
    "compare",
    "grid_table",
    "machine",
    "markdown",
    "markdown_table",
    "milliseconds",
    "now",
    "percent",
    "samples_to_tell",
    "sentence",
    "sentence_of_seeds",
    "table",
    "versions",
    "written",
]

SIGNIFICANT = 0.05
MOST_WRONG, MOST_LISTED, MOST_CONFUSIONS = 1000, 50, 10  # samples kept and shown, pairs of classes shown
GRID_TITLE = "Distilled − alone, validation accuracy in percentage points:"
_LIBRARIES = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True, eq=False)
class ModelResult:
    """A model on the test samples: ``correct`` (N,) booleans; ``times`` by batch size; sizes in numbers and bytes.

    ``clinical`` are an ``evaluation.Interval`` each for "sensitivity", "specificity" and "AUC" where there are two
    classes, of which the second is the positive one. ``predicted`` and ``labels`` (N,) are classes, ``names`` the samples'
    own, ``accuracies`` those on other splits, by name.
    """

    name: str
    file: str
    parameters: int
    size_on_disk: int
    correct: np.ndarray
    times: Mapping[int, Spread]
    clinical: Mapping[str, Interval] = field(default_factory=dict)
    predicted: np.ndarray | None = None
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()
    accuracies: Mapping[str, float] = field(default_factory=dict)

    @property
    def at_chance(self):
        """Whether the model knows no more than a guess, as far as its answers are here."""
        return self.predicted is not None and at_chance(self.predicted, self.labels)

    def _answers(self):
        """Return confusion matrix, recall and the wrong samples, where the answers are here."""
        if self.predicted is None:
            return {}
        classes = int(max(self.predicted.max(), self.labels.max())) + 1
        confusion = np.zeros((classes, classes), int)
        np.add.at(confusion, (self.labels, self.predicted), 1)
        wrong = np.flatnonzero(~self.correct)[:MOST_WRONG] if self.names else ()
        recall = [
            wilson_interval(int(confusion[k, k]), int(row.sum()))._asdict() if row.sum() else None
            for k, row in enumerate(confusion)
        ]
        return {
            "at_chance": self.at_chance,
            "confusion": confusion.tolist(),
            "recall": recall,
            "wrong": [
                {"name": self.names[k], "class": int(self.labels[k]), "taken_for": int(self.predicted[k])}
                for k in wrong
            ],
        }

    def to_json(self):
        """Return it as plain values: accuracy with its 95 % Wilson interval, times in seconds per example."""
        accuracy = wilson_interval(int(self.correct.sum()), len(self.correct))
        return {
            "name": self.name,
            "file": self.file,
            "parameters": self.parameters,
            "size_on_disk_bytes": self.size_on_disk,
            "test_correct": int(self.correct.sum()),
            "test_samples": len(self.correct),
            "test_accuracy": accuracy.mean,
            "test_accuracy_95_percent": [accuracy.low, accuracy.high],
            "accuracies": dict(self.accuracies),
            **self._answers(),
            "clinical": {name: found._asdict() for name, found in self.clinical.items()},
            "seconds_per_example": {
                str(batch): {
                    "median": time.median,
                    "quartiles": [time.low, time.high],
                    "calls": time.calls,
                }
                for batch, time in self.times.items()
            },
        }


def compare(student, alone):
    """Return what McNemar's test says of two ``ModelResult``s on the same test samples, as plain values.

    "verdict" is "helps", "hurts" or "no detectable difference" (p ≥ 0.05). Raises ValueError as ``evaluation.mcnemar``.
    """
    p = mcnemar(student.correct, alone.correct)
    first_only = int((student.correct & ~alone.correct).sum())
    second_only = int((alone.correct & ~student.correct).sum())
    better = "helps" if first_only > second_only else "hurts"
    return {
        "between": [student.name, alone.name],
        "only_first_correct": first_only,
        "only_second_correct": second_only,
        "difference": (first_only - second_only) / len(student.correct),
        "mcnemar_p": p,
        "verdict": better if p < SIGNIFICANT else "no detectable difference",
    }


def sentence(student, alone, comparison):
    """Return one honest sentence on a student beside the same student alone; ``comparison`` as from ``compare``."""
    samples = len(student.correct)
    found = (
        f"{percent(student.correct.mean())} distilled, {percent(alone.correct.mean())} alone; of {samples:,} test "
        f"samples {comparison['only_first_correct']:,} are right only with the teacher and "
        f"{comparison['only_second_correct']:,} only without it (McNemar's test, {_p(comparison['mcnemar_p'])})"
    )
    if student.at_chance and alone.at_chance:
        return f"Nothing was learned: both students are at chance level, so comparing them says nothing ({found})."
    if comparison["verdict"] == "no detectable difference":
        needed = samples_to_tell(comparison["only_first_correct"], comparison["only_second_correct"], samples)
        more = f" Detecting such a difference would take about {needed:,} test samples." if needed else ""
        return f"No detectable difference: {found}.{more}"
    return f"Distillation {comparison['verdict']} here: {found}. Another seed may give another result."


def samples_to_tell(first_only, second_only, samples):
    """Return how many test samples McNemar's test needs to find such a difference four times out of five, rounded; 0 for none.

    ``first_only`` and ``second_only`` of ``samples`` are right by one model only (Connor 1987, Sample size for testing
    differences in proportions for the paired-sample design). Two digits of it mean something.
    """
    apart, difference = (first_only + second_only) / samples, abs(first_only - second_only) / samples
    if not difference:
        return 0
    normal = NormalDist()
    z_test, z_power = normal.inv_cdf(1 - SIGNIFICANT / 2), normal.inv_cdf(0.8)
    needed = ((z_test * apart**0.5 + z_power * (apart - difference**2) ** 0.5) / difference) ** 2
    return int(float(f"{max(needed, samples):.2g}"))


def sentence_of_seeds(distilled, alone):
    """Return one sentence, and plain values, on the test accuracies of pairs of students, a pair per seed, n ≥ 2."""
    found = paired_difference(distilled, alone)
    # Accuracies go in steps of one sample: differences that are all equal are chance, not certainty.
    spread = found.low < found.high
    verdict = {"better": "helps", "worse": "hurts"}.get(found.verdict) if spread else None
    words = f"{100 * found.mean:+.2f} points on average over {len(alone)} pairs, one a seed"
    interval = (
        f"95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
        if spread
        else "all equal: no spread to judge by"
    )
    begin = f"Distillation {verdict} here" if verdict else "No detectable difference"
    said = f"{begin}: {percent(np.mean(distilled))} distilled, {percent(np.mean(alone))} alone, {words} ({interval})."
    return said, {
        "distilled": list(distilled),
        "alone": list(alone),
        "difference": asdict(found),
        "verdict": verdict or "no detectable difference",
    }


def table(models):
    """Return a table of models, as from ``ModelResult.to_json``: a header and a row for each, all strings."""
    batches, clinical = list(models[0]["seconds_per_example"]), list(models[0].get("clinical", ()))
    header = ["model", "parameters", "on disk", "test accuracy (95 % interval)"]
    others = [name for name in models[0].get("accuracies", ()) if all(name in model["accuracies"] for model in models)]
    header += [*(f"{name} accuracy" for name in others), *clinical]
    return [*header, *(f"ms per example, batch {batch} (quartiles)" for batch in batches)], [
        [
            model["name"],
            f"{model['parameters']:,}",
            byte_size(model["size_on_disk_bytes"]),
            f"{percent(model['test_accuracy'])} ({' to '.join(map(percent, model['test_accuracy_95_percent']))})",
            *(percent(model["accuracies"][name]) for name in others),
            *(
                f"{mean:.3f} ({low:.3f} to {high:.3f})"
                for mean, low, high in (_triple(model["clinical"][n]) for n in clinical)
            ),
            *(milliseconds(model["seconds_per_example"][batch]) for batch in batches),
        ]
        for model in models
    ]


def grid_table(grid):
    """Return a sweep's differences in validation accuracy as a table of strings, in percentage points."""
    header = ["T \\ alpha", *(f"{alpha:g}" for alpha in grid["alphas"])]
    rows = zip(grid["temperatures"], grid["validation_difference"], strict=True)
    return header, [[f"{t:g}", *(f"{100 * value:+.2f}" for value in row)] for t, row in rows]


def markdown(record):
    """Return a run's record as a Markdown page: the table, the sentence, and what it takes to repeat the run.

    ``record`` has "title", "models", "data", "settings", "versions", "machine", "command", "date" and "notes", a list
    of sentences; "training" (runs by name), "sentence", "grid" (as for ``grid_table``) and "picture" (a file) where there are any.
    """
    data = record["data"]
    facts = {
        "Data": f"{data['name']}: {data['source']} (licence: {data['licence']})",
        "Samples": ", ".join(f"{count:,} {split}" for split, count in data["samples"].items()),
        "Fingerprint": f"`{data['fingerprint']}`",
        "Classes": ", ".join(data["class_names"]),
        **({"Training": _training(record["training"])} if record.get("training") else {}),
        "Settings": _pairs(record["settings"]),
        "Versions": _pairs(record["versions"]),
        "Machine": _pairs(record["machine"]),
        "Date": record["date"],
    }
    notes = record["notes"]
    parts = [
        f"# {record['title']}",
        *([record["sentence"]] if record.get("sentence") else []),
        *([markdown_table(*table(record["models"]))] if record["models"] else []),
        *_classes(record["models"], data["class_names"]),
        *(_grid(record["grid"]) if "grid" in record else []),
        *([f"![{record['title']}]({record['picture']})"] if record.get("picture") else []),
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        *(["Notes:\n\n" + "\n".join(f"- {note}" for note in notes)] if notes else []),
        f"To repeat this run:\n\n```bash\n{record['command']}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def versions():
    """Return the versions of Python, kdlab and the libraries that decide the numbers; None for one that is absent."""
    found = {"python": platform.python_version(), "kdlab": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine(accelerators=()):
    """Return what the run ran on: system, processor, number of cores, names of accelerators."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "accelerators": list(accelerators),
    }


def now():
    """Return date and time with the zone, ISO 8601 to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def as_json(record):
    """Return a record as JSON text; ValueError for a number that JSON has not (NaN, infinity)."""
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def markdown_table(header, rows):
    """Return a table of strings in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _triple(interval):
    """Return mean, low and high of an interval in a record, by name or, as once they were, in a row."""
    return interval.values() if isinstance(interval, dict) else interval


def _classes(models, names):
    """Return parts of a page on more than two classes, and on what was wrong: recall, confusions, names."""
    models, parts = [model for model in models if "confusion" in model], []
    if models and len(names) > 2:
        counts = [sum(row) for row in models[0]["confusion"]]
        rows = [
            [names[k], f"{counts[k]:,}", *(_share(model["recall"], k) for model in models)] for k in range(len(counts))
        ]
        parts += ["Recall per class:", markdown_table(["class", "test samples", *(m["name"] for m in models)], rows)]
        confusion = models[-1]["confusion"]
        pairs = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
        listed = [
            f"{n:,} × {names[i]} taken for {names[j]}" for n, i, j in sorted(pairs, reverse=True)[:MOST_CONFUSIONS]
        ]
        if listed:
            parts.append(f"Most frequent confusions of the {models[-1]['name']}: {'; '.join(listed)}.")
    if models and models[-1]["wrong"]:
        shown = [wrong.values() for wrong in models[-1]["wrong"][:MOST_LISTED]]
        lines = [f"- `{file}`: {names[i]}, taken for {names[j]}" for file, i, j in shown]
        more = len(models[-1]["wrong"]) - len(lines)
        lines += [f"- and {more:,} more, in the .json beside"] if more > 0 else []
        parts += [f"Wrong test images of the {models[-1]['name']}:", "\n".join(lines)]
    return parts


def _share(recall, k):
    if k >= len(recall) or recall[k] is None:
        return ""
    share, low, high = _triple(recall[k])
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def _grid(grid):
    return [GRID_TITLE, markdown_table(*grid_table(grid))]


def _pairs(values):
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in values.items())


def _plain(value):
    if isinstance(value, dict):
        return f"({_pairs(value)})"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def percent(share):
    """Return a share from 0 to 1 in words."""
    return f"{100 * share:.2f} %"


def _p(p):
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _training(runs):
    return "; ".join(
        f"{name}: {run['epochs_done']:,} epochs in {run['seconds']:,.0f} s, weights of epoch {run['best_epoch']:,} kept"
        for name, run in runs.items()
    )


def milliseconds(time):
    """Return a time in words; ``time`` has "median" and "quartiles", in seconds."""
    median, low, high = (f"{1e3 * seconds:.3g}" for seconds in (time["median"], *time["quartiles"]))
    return f"{median} ({low} to {high})"


def byte_size(size):
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def written(text):
    """Return text in UTF-8; bytes of a file's name that are not become escapes, as JSON has them too."""
    return text.encode("utf-8", "backslashreplace")
