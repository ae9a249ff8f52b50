"""The results of a run: a table of models, what the comparison says, and all it takes to repeat it."""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import __version__
from ..evaluation import Interval, mcnemar, wilson_interval
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
    "sentence",
    "table",
    "versions",
]

SIGNIFICANT = 0.05
GRID_TITLE = "Distilled − alone, validation accuracy in percentage points:"
_LIBRARIES = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True, eq=False)
class ModelResult:
    """A model on the test samples: ``correct`` (N,) booleans; ``times`` by batch size; sizes in numbers and bytes.

    ``clinical`` are an ``evaluation.Interval`` each for "sensitivity", "specificity" and "AUC" where there are two
    classes, of which the second is the positive one.
    """

    name: str
    file: str
    parameters: int
    size_on_disk: int
    correct: np.ndarray
    times: Mapping[int, Spread]
    clinical: Mapping[str, Interval] = field(default_factory=dict)

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
            "clinical": {name: list(found) for name, found in self.clinical.items()},
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

    "verdict" is "helps", "hurts" or "not told apart" (p ≥ 0.05). Raises ValueError as ``evaluation.mcnemar``.
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
        "verdict": better if p < SIGNIFICANT else "not told apart",
    }


def sentence(student, alone, comparison):
    """Return one honest sentence on a student beside the same student alone; ``comparison`` as from ``compare``."""
    samples = len(student.correct)
    found = (
        f"{percent(student.correct.mean())} distilled, {percent(alone.correct.mean())} alone; of {samples:,} test "
        f"samples {comparison['only_first_correct']:,} are right only with the teacher and "
        f"{comparison['only_second_correct']:,} only without it (McNemar's test, {_p(comparison['mcnemar_p'])})"
    )
    if comparison["verdict"] == "not told apart":
        return f"Not told apart: {found}."
    return f"Distillation {comparison['verdict']} here: {found}. Another seed may say otherwise."


def table(models):
    """Return a table of models, as from ``ModelResult.to_json``: a header and a row for each, all strings."""
    batches, clinical = list(models[0]["seconds_per_example"]), list(models[0].get("clinical", ()))
    header = ["model", "parameters", "on disk", "test accuracy (95 % interval)", *clinical]
    return [*header, *(f"ms per example, batch {batch} (quartiles)" for batch in batches)], [
        [
            model["name"],
            f"{model['parameters']:,}",
            byte_size(model["size_on_disk_bytes"]),
            f"{percent(model['test_accuracy'])} ({' to '.join(map(percent, model['test_accuracy_95_percent']))})",
            *(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in (model["clinical"][n] for n in clinical)),
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
        *(_grid(record["grid"]) if "grid" in record else []),
        *([f"![{record['title']}]({record['picture']})"] if record.get("picture") else []),
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        *(["Notes:\n\n" + "\n".join(f"- {note}" for note in notes)] if notes else []),
        f"Again:\n\n```bash\n{record['command']}\n```",
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
        f"{name}: {run['epochs_done']:,} epochs in {run['seconds']:,.0f} s, kept as it was after epoch {run['best_epoch']:,}"
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
