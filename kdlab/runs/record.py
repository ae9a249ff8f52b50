"""Metadata and results of a run in plain values: models measured on test data, the data, the settings."""

import json
from pathlib import Path

import numpy as np

from ..backend import tf
from ..clinical import bootstrap_interval, scores_for_auc
from ..losses import ensemble_logits
from ..timing import time_per_example
from ..transfer_set import over_batches
from .results import ModelResult, machine, now, versions

BATCH_SIZES = (1, 32)
MOST_MEASURED = 5000  # samples of a split that is only looked at


def measure(name, files, models, split, others=None):
    """Return the ``ModelResult`` of a model, or of an ensemble of several, on ``split``; one file for each.

    ``others`` are more splits by name, of which the accuracy is measured: on 5,000 samples at most, from first to last, as a
    folder's are in the order of their classes.

    An ensemble answers with the mean of its members' probabilities; parameters, bytes and time are all members'.
    The time is that of a compiled call on the fastest device there is, from an array to an array.
    """
    answer = _compiled(models, split)
    logits = over_batches(answer, split.x)
    both = logits.shape[1] == 2 and min((split.y == 0).sum(), (split.y == 1).sum()) > 1  # a bootstrap draws from either
    return ModelResult(
        name=name,
        file=", ".join(map(str, files)),
        parameters=sum(model.count_params() for model in models),
        size_on_disk=sum(Path(file).stat().st_size for file in files),
        classes=logits.shape[1],
        predicted=logits.argmax(axis=1),
        labels=split.y,
        names=split.names,
        accuracies={
            name: _accuracy(answer, other, MOST_MEASURED)
            for name, other in (others or {}).items()
            if (other.y >= 0).any()
        },
        auc=bootstrap_interval("auc", scores_for_auc(logits), split.y) if both else None,
        times={size: time_per_example(lambda x: answer(x).numpy(), split.x, size) for size in BATCH_SIZES},
    )


def answers(model, *splits):
    """Return the classes that a model names on each of these splits, (N,) each."""
    answer = _compiled([model], splits[0])
    return [over_batches(answer, split.x).argmax(axis=1) for split in splits]


def _accuracy(answer, split, most):
    """Return the share of labelled samples that are right, of so many at most, evenly spaced."""
    rows = np.flatnonzero(split.y >= 0)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
    blocks = np.array_split(rows, -(-len(rows) // 256))
    right = [answer(split.x[block]).numpy().argmax(axis=1) == split.y[block] for block in blocks]
    return float(np.concatenate(right).mean())


def _compiled(models, split):
    """Return a traced function from samples (B, …) to the logits (B, C) of a model or an ensemble."""

    def answer(x):
        logits = [tf.cast(model(x, training=False), tf.float32) for model in models]
        return logits[0] if len(logits) == 1 else ensemble_logits(tf.stack(logits, axis=1), 1.0)

    return tf.function(answer, input_signature=[tf.TensorSpec((None, *split.x.shape[1:]), tf.float32)])


def describe_run(run):
    """Return a ``runs.Run`` in plain values, without its model."""
    return {
        "epochs_done": run.epochs_done,
        "best_epoch": run.best_epoch,
        "seconds": round(run.seconds, 3),
        "history": {name: [float(value) for value in values] for name, values in run.history.items()},
        "notes": list(run.notes),
    }


UNKNOWN = "What {} was trained on is not known: where it has seen these test samples, its test accuracy flatters it."


def knows_data(what, file, data, renamed=False):
    """Return whether a model was trained on these data, as its own record says; None where there is none.

    That is ``model.json`` beside ``model.keras``, or beside ``model.alone.keras``; ``what`` names the model in messages.
    Raises ValueError where the record names other classes, unless the same may be ``renamed``.
    """
    path = Path(file)
    beside = path.with_suffix(".json")
    if not beside.exists():
        beside = path.with_name(path.stem.removesuffix(".alone") + ".json")
    try:
        theirs = json.loads(beside.read_text("utf-8"))["data"]
        classes, fingerprint = theirs["class_names"], theirs["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if classes != list(data.class_names) and not renamed:
        raise ValueError(
            f"the {what} {file} knows the classes {_few(classes)}, the data have {_few(data.class_names)}; "
            f"give a {what} that was trained on these"
        )
    return fingerprint == data.fingerprint


def record(title, data, data_name, settings, command, **parts):
    """Return the record of a run: ``results.markdown`` says what is in it; ``parts`` are added as they are."""
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices]
    return {
        "title": title,
        **parts,
        "settings": settings,
        "data": {
            "name": data_name,
            "source": data.source,
            "licence": data.licence,
            "fingerprint": data.fingerprint,
            "class_names": list(data.class_names),
            "samples": {split: len(getattr(data, split)) for split in ("train", "validation", "test")},
            "shape": list(data.train.x.shape[1:]),
        },
        "versions": versions(),
        "machine": machine(names),
        "command": command,
        "date": now(),
    }


def _few(names, most=6):
    return ", ".join(map(str, names[:most])) + (f" … ({len(names)})" if len(names) > most else "")
