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
from ..evaluation import Interval, at_chance, mcnemar, mean_interval, paired_difference, wilson_interval
from ..timing import Spread

SIGNIFICANT = 0.05
MOST_WRONG, MOST_LISTED, MOST_CONFUSIONS = 1000, 50, 10  # samples kept and shown, pairs of classes shown
GRID_TITLE = "Distilled − alone, validation accuracy in percentage points:"
_LIBRARIES = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True, eq=False)
class ModelResult:
    """A model on the test samples: ``predicted`` and ``labels`` (N,) of ``classes``; ``times`` by batch size.

    ``size_on_disk`` is in bytes, ``names`` are the samples' own, ``accuracies`` those on other splits, by name. Of two
    classes the second is the positive one, and ``auc`` the area under its ROC curve.
    """

    name: str
    file: str
    parameters: int
    size_on_disk: int
    classes: int
    predicted: np.ndarray
    labels: np.ndarray
    times: Mapping[int, Spread]
    auc: Interval | None = None
    names: tuple[str, ...] = ()
    accuracies: Mapping[str, float] = field(default_factory=dict)

    @property
    def correct(self):
        """Which samples it gets right, (N,) booleans."""
        return self.predicted == self.labels

    @property
    def at_chance(self):
        """Whether it knows no more than a guess."""
        return at_chance(self.predicted, self.labels)

    def to_json(self):
        """Return it as plain values: shares with their 95 % Wilson intervals, times in seconds per example."""
        accuracy = wilson_interval(int(self.correct.sum()), len(self.correct))
        from sklearn.metrics import confusion_matrix

        confusion = confusion_matrix(self.labels, self.predicted, labels=range(self.classes))
        recall = [
            wilson_interval(int(row[k]), int(row.sum()))._asdict() if row.sum() else None
            for k, row in enumerate(confusion)
        ]
        wrong = np.flatnonzero(~self.correct)[:MOST_WRONG] if self.names else ()
        clinical = self.auc and {"sensitivity": recall[1], "specificity": recall[0], "AUC": self.auc._asdict()}
        return {
            "name": self.name,
            "file": self.file,
            "parameters": self.parameters,
            "size_on_disk_bytes": self.size_on_disk,
            "test_correct": int(self.correct.sum()),
            "test_samples": len(self.correct),
            "test_accuracy": accuracy.mean,
            "test_accuracy_95_percent": {"low": accuracy.low, "high": accuracy.high},
            "accuracies": dict(self.accuracies),
            "at_chance": self.at_chance,
            "confusion": confusion.tolist(),
            "recall": recall,
            "wrong": [
                {"name": self.names[k], "class": int(self.labels[k]), "taken_for": int(self.predicted[k])}
                for k in wrong
            ],
            "clinical": clinical or {},
            "seconds_per_example": {
                str(batch): {
                    "median": time.median,
                    "quartiles": {"low": time.low, "high": time.high},
                    "calls": time.calls,
                }
                for batch, time in self.times.items()
            },
        }


def compare(student, alone):
    """Return what McNemar's test says of two ``ModelResult``s on the same test samples, and one honest sentence.

    The first are plain values. "verdict" is "helps", "hurts" or "no detectable difference" (p ≥ 0.05). Raises
    ValueError as ``evaluation.mcnemar``.
    """
    p, samples = mcnemar(student.correct, alone.correct), len(student.correct)
    first_only = int((student.correct & ~alone.correct).sum())
    second_only = int((alone.correct & ~student.correct).sum())
    verdict = "no detectable difference"
    if p < SIGNIFICANT:
        verdict = "helps" if first_only > second_only else "hurts"
    words = (
        f"{percent(student.correct.mean())} distilled, {percent(alone.correct.mean())} alone; of {samples:,} test "
        f"samples {first_only:,} are right only with the teacher and {second_only:,} only without it "
        f"(McNemar's test, {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'})"
    )
    if student.at_chance and alone.at_chance:
        sentence = f"Neither student can be told from guessing on {samples:,} test samples, so comparing them says nothing: {words}."
    elif p < SIGNIFICANT:
        sentence = f"{_begin(verdict)}: {words}. Another seed may give another result."
    else:
        needed = samples_to_tell(first_only, second_only, samples)
        more = f" Detecting such a difference would take about {needed:,} test samples." if needed else ""
        sentence = f"{_begin(verdict)}: {words}.{more}"
    return {
        "between": [student.name, alone.name],
        "only_first_correct": first_only,
        "only_second_correct": second_only,
        "difference": (first_only - second_only) / samples,
        "mcnemar_p": p,
        "verdict": verdict,
    }, sentence


def samples_to_tell(first_only, second_only, samples):
    """Return how many test samples McNemar's test needs to find such a difference four times out of five, rounded; 0 for none.

    ``first_only`` and ``second_only`` of ``samples`` are right by one model only (Connor 1987, Sample size for testing
    differences in proportions for the paired-sample design).
    """
    apart, difference = (first_only + second_only) / samples, abs(first_only - second_only) / samples
    if not difference:
        return 0
    normal = NormalDist()
    z_test, z_power = normal.inv_cdf(1 - SIGNIFICANT / 2), normal.inv_cdf(0.8)
    needed = ((z_test * apart**0.5 + z_power * (apart - difference**2) ** 0.5) / difference) ** 2
    return two_digits(max(needed, samples))


def two_digits(count):
    """Return a count rounded to the two digits that an estimate has."""
    return int(float(f"{count:.2g}"))


def compare_pairs(distilled, alone, labels):
    """Return what pairs of students, of a seed each, say together, as plain values, and one honest sentence.

    ``distilled`` and ``alone`` (S, N) are the classes that they name for the test samples of these ``labels`` (N,).
    """
    first, second = (np.asarray(named) == labels for named in (distilled, alone))
    only = ((first & ~second).sum(), (second & ~first).sum())
    needed = samples_to_tell(*(count / len(first) for count in only), len(labels))
    needed = needed and f"about {needed:,}"
    guessing = all(at_chance(named, labels) for named in (*distilled, *alone))
    accuracies = {"distilled": first.mean(axis=1).tolist(), "alone": second.mean(axis=1).tolist()}
    difference, verdict, sentence = compare_seeds(*accuracies.values(), needed=needed, guessing=guessing)
    return {**accuracies, "difference": difference, "verdict": verdict}, sentence


def compare_seeds(distilled, alone, where="", needed="", guessing=False):
    """Return the difference of test accuracies, a pair per seed, as plain values, its verdict and one honest sentence.

    Student's t over the pairs. The difference is None for one seed; "no detectable difference" is the verdict there,
    and where the seeds leave no spread to judge by. ``where`` begins the sentence's second part, ``needed`` is how many test
    samples one pair would take, in words, ``guessing`` says that no student can be told from guessing.
    """
    means = f"{where}test accuracy {percent(np.mean(distilled))} distilled, {percent(np.mean(alone))} alone"
    verdict, found = "no detectable difference", None
    if len(alone) < 2:
        means += "; one seed has no spread to judge by, take three or more"
    else:
        found = paired_difference(distilled, alone)
        spread = "all equal: no spread to judge by"
        # Accuracies go in steps of one sample: differences that are all equal are chance, not certainty.
        if found.low < found.high:
            verdict = {"better": "helps", "worse": "hurts"}.get(found.verdict, verdict)
            spread = f"95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
        means += f", {100 * found.mean:+.2f} points on average over {len(alone)} seeds ({spread})"
    begin = "No student can be told from guessing, so comparing them says nothing" if guessing else _begin(verdict)
    more = ""
    if needed and not guessing and verdict.startswith("no "):
        more = f" Detecting such a difference in a single pair would take {needed} test samples."
    return found and asdict(found), verdict, f"{begin}: {means}.{more}"


def _begin(verdict):
    return verdict.capitalize() if verdict.startswith("no ") else f"Distillation {verdict} here"


def mean_of_seeds(accuracies):
    """Return mean, low and high of accuracies, one per seed, as plain values; no interval (None) for one seed."""
    if len(accuracies) < 2:
        return {"mean": float(accuracies[0]), "low": None, "high": None}
    return mean_interval(accuracies, within=(0, 1))._asdict()


def table(models):
    """Return a table of models, as from ``ModelResult.to_json``: a header and a row for each, all strings."""
    batches, clinical = list(models[0]["seconds_per_example"]), list(models[0]["clinical"])
    others = [name for name in models[0]["accuracies"] if all(name in model["accuracies"] for model in models)]
    header = [
        *("model", "parameters", "on disk", "test accuracy (95 % interval)"),
        *(f"{name} accuracy" for name in others),
        *clinical,
        *(f"ms per example, batch {batch} (quartiles)" for batch in batches),
    ]
    rows = []
    for model in models:
        times = [model["seconds_per_example"][batch] for batch in batches]
        rows.append(
            [
                model["name"],
                f"{model['parameters']:,}",
                byte_size(model["size_on_disk_bytes"]),
                percent_interval(model["test_accuracy"], *model["test_accuracy_95_percent"].values()),
                *(percent(model["accuracies"][name]) for name in others),
                *(_with_interval(*model["clinical"][name].values()) for name in clinical),
                *(milliseconds(time["median"], *time["quartiles"].values()) for time in times),
            ]
        )
    return header, rows


def _with_interval(value, low, high):
    # A bootstrap of samples that are all right has none: 1 to 1 would claim too much.
    return f"{value:.3f} ({low:.3f} to {high:.3f})" if low < high else f"{value:.3f} (no interval)"


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
    data, models = record["data"], record["models"]
    facts = {
        "Data": f"{data['name']}: {data['source']} (licence: {data['licence']})",
        "Samples": ", ".join(f"{count:,} {split}" for split, count in data["samples"].items()),
        "Fingerprint": f"`{data['fingerprint']}`",
        "Classes": ", ".join(data["class_names"]),
        "Training": "; ".join(
            f"{name}: {run['epochs_done']:,} epochs in {run['seconds']:,.0f} s, weights of epoch {run['best_epoch']:,} kept"
            for name, run in record["training"].items()
        ),
        "Settings": _pairs(record["settings"]),
        "Versions": _pairs(record["versions"]),
        "Machine": _pairs(record["machine"]),
        "Date": record["date"],
    }
    parts = [record.get("sentence"), *_classes(models, data["class_names"])]
    if models:
        parts.insert(1, markdown_table(*table(models)))
    if "grid" in record:
        parts += [GRID_TITLE, markdown_table(*grid_table(record["grid"]))]
    if "picture" in record:
        parts.append(f"![{record['title']}]({record['picture']})")
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items() if value))
    if record["notes"]:
        parts.append("Notes:\n\n" + "\n".join(f"- {note}" for note in record["notes"]))
    return page(record, parts)


def page(record, parts):
    """Return a Markdown page: the record's title, these parts (those that are empty left out), and its command."""
    command = f"To repeat this run:\n\n```bash\n{record['command']}\n```"
    return "\n\n".join(filter(None, [f"# {record['title']}", *parts, command])) + "\n"


def versions():
    """Return the versions of Python, kdlab and the libraries that decide the numbers."""
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "kdlab": __version__, **libraries}


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


def to_bytes(record, as_markdown):
    """Return a record as JSON and as its Markdown page, both in UTF-8.

    Bytes of a file's name that are not UTF-8 become escapes. ValueError for a number that JSON has not (NaN, infinity).
    """
    as_json = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return [text.encode("utf-8", "backslashreplace") for text in (as_json, as_markdown(record))]


def markdown_table(header, rows):
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _classes(models, names):
    """Yield parts of a page on more than two classes, and on what was wrong: recall, confusions, names."""
    if not models:
        return
    last = models[-1]
    if len(names) > 2:
        rows = [
            [name, f"{sum(last['confusion'][k]):,}", *(_recall(model["recall"][k]) for model in models)]
            for k, name in enumerate(names)
        ]
        yield "Recall per class:"
        yield markdown_table(["class", "test samples", *(model["name"] for model in models)], rows)
        pairs = [(n, i, j) for i, row in enumerate(last["confusion"]) for j, n in enumerate(row) if i != j and n]
        listed = [f"{n:,} × {names[i]} taken for {names[j]}" for n, i, j in sorted(pairs, reverse=True)]
        if listed:
            yield f"Most frequent confusions of the {last['name']}: {'; '.join(listed[:MOST_CONFUSIONS])}."
    if last["wrong"]:
        lines = [f"- `{w['name']}`: {names[w['class']]}, taken for {names[w['taken_for']]}" for w in last["wrong"]]
        if len(lines) > MOST_LISTED:
            lines[MOST_LISTED:] = [f"- and {len(lines) - MOST_LISTED:,} more, in the .json beside"]
        yield f"Wrong test images of the {last['name']}:"
        yield "\n".join(lines)


def _recall(interval):
    return percent_interval(**interval) if interval else ""


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


def percent_interval(mean, low, high):
    """Return a share with its interval in words."""
    return f"{percent(mean)} ({percent(low)} to {percent(high)})"


def milliseconds(median, low, high):
    """Return a time with its quartiles, all in seconds, in words."""
    return f"{1e3 * median:.3g} ({1e3 * low:.3g} to {1e3 * high:.3g})"


def byte_size(size):
    """Return a number of bytes in words: "999 bytes", "1.7 MB"."""
    from rich.filesize import decimal

    return decimal(int(size))
