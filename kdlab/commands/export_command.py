"""``kdlab export``: a trained model in; a file for LiteRT or C, and a table of before and after, out."""

import re
import warnings
from pathlib import Path

import numpy as np

from .. import model_files, models
from ..cache import ELSEWHERE, new_file
from ..evaluation import agreement, wilson_interval
from ..export import convert
from ..export.boards import BOARDS
from ..runs.results import byte_size, milliseconds, percent
from ..transfer_set import over_batches
from .progress import Display
from .run_command import read_data

__all__ = ["run"]

REPRESENTATIVE = 200  # training samples that the ranges of the activations are measured on
BLOCK = 1024  # test samples read at a time

NOTES = (
    "The times are of one sample on one core of this machine (Keras: on whatever it uses); a microcontroller takes longer.",
    "The arena is an estimate of the RAM for activations. The interpreter, the program and its stack come on top of it, "
    "and in flash on top of the model.",
)


def run(options):
    """Convert the model of these options, as ``run_arguments`` makes them, write the file and show the table.

    Errors are those of what it calls. The file is written last, and whole.
    """
    with Display(quiet=options.quiet) as display, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: display.say(f"Note: {message}")
        data = None if options.data is None else read_data(options, display)
        model = model_files.load(options.model) if data is None else models.build(options.model, data)
        display.note(f"Converting {options.model}")
        files = {"LiteRT float32": convert.to_tflite(model)}
        if options.to != "tflite":
            chosen = np.random.default_rng(0).permutation(len(data.train))[:REPRESENTATIVE]
            files["LiteRT int8"] = convert.to_tflite_int8(model, data.train.x[np.sort(chosen)])
        display.note("Measuring")
        table = _table(options, model, files, data, display)
        content = list(files.values())[-1]
        if options.to == "c-array":
            content = convert.to_c_array(content, _identifier(options.out.stem)).encode()
        with new_file(options.out, ELSEWHERE) as file:
            file.write(content)
        display.table(*table)
        for note in (*(data.notes if data else ()), getattr(model, "note", ""), *_notes(model)):
            if note:
                display.say(f"\n{note}")


def _notes(model):
    not_counted = convert.multiply_adds(model).not_counted
    if not_counted:
        yield f"The multiply-adds of these layers are not counted: {', '.join(not_counted)}."
    yield from NOTES


def _table(options, model, files, data, display):
    """Return the table, header and rows of strings: a column for the model and for each of ``files``."""
    shape = tuple(model.inputs[0].shape[1:])
    x = np.random.default_rng(0).random((10, *shape), np.float32) if data is None else data.test.x[:10]
    keras_size = Path(options.model).stat().st_size
    arenas = [convert.arena_bytes(content) for content in files.values()]
    spreads = [convert.keras_latency(model, x), *(convert.latency(file, x) for file in files.values())]
    rows = [
        ["size", byte_size(keras_size), *(byte_size(len(content)) for content in files.values())],
        ["multiply-adds per sample", *[f"{convert.multiply_adds(model).total:,}"] * (1 + len(files))],
        ["ms per sample (quartiles)", *map(_time, spreads)],
        ["arena, estimate", "", *map(byte_size, arenas)],
    ]
    if data is not None:
        rows[:0] = _quality(model, files, data.test, display)
    needs = [(len(content), arena) for content, arena in zip(files.values(), arenas, strict=True)]
    rows += [[board.name, "", *(_fits(board, *need) for need in needs)] for board in BOARDS]
    return ["", f"Keras, {Path(options.model).name}", *files], rows


def _quality(model, files, test, display):
    """Return the rows on how well the test samples are told apart."""
    logits = [over_batches(lambda batch: model(batch, training=False), test.x)]
    starts = range(0, len(test), BLOCK)
    for name, content in files.items():
        progress, parts = display.count(f"test samples by {name}"), []
        for start in starts:
            parts.append(convert.run_tflite(content, test.x[start : start + BLOCK]))
            progress(min(start + BLOCK, len(test)), len(test))
        logits.append(np.concatenate(parts))
    return [
        ["test accuracy (95 % interval)", *(_accuracy(answer, test.y) for answer in logits)],
        ["agreement with the Keras model", "", *(percent(agreement(logits[0], answer)) for answer in logits[1:])],
    ]


def _accuracy(logits, labels):
    found = wilson_interval(int((logits.argmax(axis=1) == labels).sum()), len(labels))
    return f"{percent(found.mean)} ({percent(found.low)} to {percent(found.high)})"


def _time(spread):
    return milliseconds({"median": spread.median, "quartiles": [spread.low, spread.high]})


def _fits(board, flash, ram):
    return (
        f"{board.verdict(flash, ram)}: {100 * flash / board.flash:.1f} % of flash, {100 * ram / board.ram:.1f} % of RAM"
    )


def _identifier(stem):
    """Return a C identifier made of a file's name."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return f"_{name}" if name[:1].isdigit() else name
