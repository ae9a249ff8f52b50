"""``kdlab export``: a trained model in; a file for LiteRT or C, and a table of before and after, out."""

import re
import warnings
from pathlib import Path

import numpy as np

from .. import model_files
from ..cache import ELSEWHERE, new_file
from ..evaluation import agreement, wilson_interval
from ..export import convert
from ..export.boards import BOARDS, CLOSE
from ..export.contract import c_lines, describe
from ..export.measure import forms
from ..foreign_models import take_softmax_off
from ..runs import results
from ..runs.record import UNKNOWN, knows_data
from ..runs.results import byte_size, milliseconds, percent, percent_interval
from ..training_checks import check_not_probabilities
from .progress import Display
from .run_command import chance, complete, inputs_of, read_data

REPRESENTATIVE = 200  # training samples that the ranges of the activations are measured on

NOTES = (
    "The times are of one sample on one core of this machine (Keras: on whatever it uses); a microcontroller takes longer.",
    "The arena is an estimate of the RAM for activations. The interpreter, the program and its stack come on top of it, "
    "and in flash on top of the model.",
    f"A board fits where model and arena take at most {CLOSE:.0%} of its flash and RAM each; it is close above that, up to "
    "all of it, since the program needs space too; above that the model does not fit.",
)


def run(options):
    """Convert the model of these options, as ``run_arguments`` makes them, write the files and show the table.

    Errors are those of what it calls. The files are written last, and each whole.
    """
    with Display(quiet=options.quiet) as display, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: display.say(f"Note: {message}")
        data = None if options.data is None else read_data(options, display)
        model, had_softmax = take_softmax_off(model_files.load(options.model), f"model {options.model}")
        notes = _check_data(model, data, options) if data else []
        if had_softmax:
            notes.append(f"The softmax at the end of {options.model} is taken off: the file returns logits.")
        count = model.outputs[0].shape[-1]
        classes = data.class_names if data else options.model_classes or tuple(str(k) for k in range(count))
        if len(classes) != count:
            raise ValueError(f"--model-classes must name {count} classes, one for each output, got {len(classes)}")
        inputs = inputs_of(options, classes, model, "model_classes")
        name = f"The model {options.model}"
        if data and (said := chance(name, model, inputs, data, [data.test], options, "model_classes")):
            notes.append(" ".join(filter(None, said)))
        representative = None
        if data:
            x = _as(data.test.x, inputs)
            if options.to != "tflite":
                chosen = np.random.default_rng(0).permutation(len(data.train))[:REPRESENTATIVE]
                representative = _as(data.train.x[np.sort(chosen)], inputs)
        else:
            x = _noise((10, *model.inputs[0].shape[1:]), *inputs.pixel_range)
            check_not_probabilities(model(x[:1], training=False), f"model {options.model}")
        display.note(f"Converting and measuring {options.model}")
        found = forms(model, representative, x, seconds=0.5, count=display.count)
        table = _table(options, model, found, data and _right_outputs(data, inputs))
        tflite = list(found.values())[-1].tflite
        contract = describe(
            tflite,
            options.model_classes or classes,
            inputs.pixel_range,
            x[:1],
            inputs.bgr,
            data and data.scaling,
            options.preparation,
        )
        notes = [*(data.notes if data else ()), *notes, *_notes(model)]
        contents = {
            "title": f"kdlab export: {options.out.name}",
            "model": str(options.model),
            **contract,
            "table": [table[0], *table[1]],
            "notes": notes,
            "versions": results.versions(),
            "command": options.line,
            "date": results.now(),
        }
        for path, content in _contents(options, tflite, contents).items():
            with new_file(path, ELSEWHERE) as file:
                file.write(content)
        display.table(*table)
        for note in notes:
            display.say(f"\n{note}")


def _check_data(model, data, options):
    """Return notes on whether these are the data of the model's training; raise ValueError where the file would be wrong."""
    with complete(options):
        model_files.check_fits(model, data, f"model {options.model}")
    knows = knows_data("model", options.model, data, renamed=not data.scaling)
    if knows is None:
        return [UNKNOWN.format(options.model)]
    if not knows and data.scaling:
        raise ValueError(
            f"{options.model} was trained on other rows than {options.data} has to train on, and its features were scaled by "
            "those: give the --data and the splits of its training, as its record has them"
        )
    other = f"{options.model} was trained on other data, or on these read or split otherwise"
    return [] if knows else [f"{other}: it may have seen some of these test samples, and others prepared differently."]


def _noise(shape, low, high):
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def _as(x, inputs):
    """Return samples as ``inputs``, of ``foreign_models``, says."""
    low, high = inputs.pixel_range
    if (low, high) != (0.0, 1.0):
        x = x * np.float32(high - low) + np.float32(low)
    return x[..., ::-1] if inputs.bgr else x


def _right_outputs(data, inputs):
    """Return the place of the right output for each test sample, (N,)."""
    return data.test.y if inputs.classes is None else np.array(inputs.classes)[data.test.y]


def _contents(options, tflite, found):
    """Return what to write, {path: bytes}: the file, for a C source file its header, and the contract to read and to parse."""
    out, name = options.out, _identifier(options.out.stem)
    *_, as_json, as_markdown = options.outputs
    contents = dict(zip((as_json, as_markdown), results.to_bytes(found, _markdown), strict=True))
    if out.suffix == ".tflite":
        return {out: tflite} | contents
    constants = c_lines(found, name, declare=True, static=out.suffix == ".h")
    example = c_lines(found, name, static=out.suffix == ".h")
    if out.suffix == ".h":
        return {out: _source(convert.to_c_array(tflite, name, more=[*constants, *example]))} | contents
    header = out.with_suffix(".h")
    return {
        header: _source(convert.to_c_header(tflite, name, constants)),
        out: _source(convert.to_c_array(tflite, name, header.name, example)),
    } | contents


def _source(text):
    """Return C source in UTF-8; a file's name keeps its bytes."""
    return text.encode("utf-8", "surrogateescape")


def _markdown(found):
    taken, given, example = found["input"], found["output"], found["example"]
    header, *rows = found["table"]
    low, high = taken["range"]
    facts = {
        "Input": f"{taken['type']}, {' × '.join(map(str, taken['shape']))} ({', '.join(taken['axes'])}), "
        f"values from {low:g} to {high:g}" + (f", {taken['channels']}" if taken["channels"] else "") + _scale(taken),
        **({"Scaling of the features": _scaling(taken)} if taken["scaling"] else {}),
        **({"Preparation of the images": taken["preparation"]} if taken["preparation"] else {}),
        "Output": f"{given['type']}, {given['what']}; classes in order: {', '.join(given['class_names'])}{_scale(given)}",
        "Operators to register": ", ".join(found["operators"]),
        "Arena": f"{found['arena_bytes']:,} bytes to begin with: {found['activation_bytes']:,} for activations, an "
        "estimate, a quarter more, and 4 KiB for records; MicroInterpreter::arena_used_bytes() says what it took",
        "Example": f"{len(example['input'])} values in, {example['output']} out, which is {example['class']}; all are in "
        "the .json beside",
        "Versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "Date": found["date"],
    }
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        results.markdown_table(header, rows),
        "\n".join(f"- {note}" for note in found["notes"]),
    ]
    return results.page(found, parts)


def _scale(part):
    if part["scale"] is None:
        return ""
    return f"; q = round(value / {part['scale']:.9g}) + {part['zero_point']}, from -128 to 127"


def _scaling(taken):
    """Return how a table's features become the input's values, with the numbers of each, in words."""
    scaling = taken["scaling"]
    numbers = (
        f"{mean:.6g} ({deviation:.6g})" for mean, deviation in zip(scaling["mean"], scaling["deviation"], strict=True)
    )
    return f"{scaling['formula']}; mean (standard deviation) of each feature in the training rows: {', '.join(numbers)}"


def _notes(model):
    not_counted = convert.multiply_adds(model).not_counted
    if not_counted:
        yield f"The multiply-adds of these layers are not counted: {', '.join(not_counted)}."
    yield from NOTES


def _table(options, model, found, labels):
    """Return the table, header and rows of strings: a column for each of the ``forms`` found.

    ``labels`` (N,) are the right outputs for their samples, or None.
    """
    of_keras, *files = found.values()
    rows = [
        ["size", byte_size(Path(options.model).stat().st_size), *(byte_size(form.file) for form in files)],
        ["multiply-adds per sample", *[f"{convert.multiply_adds(model).total:,}"] * len(found)],
        ["ms per sample (quartiles)", *(milliseconds(*form.seconds[:3]) for form in found.values())],
        ["arena, estimate", "", *(byte_size(form.arena) for form in files)],
        *([board.name, "", *(_fits(board, form.file, form.arena) for form in files)] for board in BOARDS),
    ]
    if labels is not None:
        rows[:0] = [
            ["test accuracy (95 % interval)", *(_accuracy(form.logits, labels) for form in found.values())],
            ["agreement with the Keras model", "", *(percent(agreement(of_keras.logits, f.logits)) for f in files)],
        ]
    return ["", f"Keras, {Path(options.model).name}", *(f"LiteRT {name}" for name in [*found][1:])], rows


def _accuracy(logits, labels):
    return percent_interval(*wilson_interval(int((logits.argmax(axis=1) == labels).sum()), len(labels)))


def _fits(board, flash, ram):
    return (
        f"{board.verdict(flash, ram)}: {100 * flash / board.flash:.1f} % of flash, {100 * ram / board.ram:.1f} % of RAM"
    )


def _identifier(stem):
    """Return a C identifier made of a file's name."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return f"_{name}" if name[:1].isdigit() else name
