"""The arguments of ``kdlab train``, ``distill``, ``sweep`` and ``export``: checked here, before TensorFlow is loaded."""

import argparse
import csv
import json
import math
import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..checks import check_alpha, check_count, check_model_file, check_temperature, check_training_temperature
from ..conventions import to_ours
from ..quiet import without_standard_error
from ..runs.unfinished import Unfinished, exclusive_lock, refuse_existing

MODELS = "cnn, mlp, small-cnn, efficientnet, or a saved .keras file"
ENDINGS = {
    "train": (".keras",),
    "distill": (".keras",),
    "sweep": (".csv",),
    "tflite": (".tflite",),
    "tflite-int8": (".tflite",),
    "c-array": (".h", ".c", ".cc", ".cpp"),
}
"""The endings that --out of a command may have, and of what ``export`` makes."""
_EXPORTS = ("tflite", "tflite-int8", "c-array")


def checked(check, kind=float, **limits):
    """Return a type for argparse: one of ``kdlab.checks`` on what ``kind`` makes of the text."""

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = text
        try:
            return check(value, "it", **limits)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix("it ")) from None

    return convert


def _list_of(kind):
    def convert(text):  # 'a, b' in quotes is one name
        parts = next(csv.reader([text], skipinitialspace=True)) or [""]
        values = tuple(kind(part.strip()) for part in parts)
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"must not hold a value twice, got {text!r}")
        return values

    return convert


def _pixel_range(text):
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"must be two numbers such as 0,255 or -1,1, the lower first, got {text!r}")
    return low, high


def new_folder(text):
    """Return the path of a folder that is there or can be made; a type for argparse."""
    path = Path(text)
    if not next(place for place in (path, *path.parents) if place.exists()).is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder or the name of a new one, got {text!r}")
    return path


@contextmanager
def of_extra(name, what):
    """Within the block, a package that is not installed is one of the extra ``name``, which the message installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "kdlab":
            raise
        raise ValueError(f"{what} needs {error.name}, which is not installed: pip install 'kdlab[{name}]'") from None


_count, _positive = checked(check_count, int), checked(check_temperature)
_temperature, _alpha = checked(check_training_temperature), checked(check_alpha)

_KINDS = {
    "data": {"metavar": "D", "required": True},
    "image-size": {"metavar": "N", "type": _count},
    "test-split": {"metavar": "S", "type": float},
    "validation-split": {"metavar": "S", "type": float},
    "channels": {"type": int, "choices": (1, 3)},
    "preparation": {"metavar": "P"},
    "classes": {"metavar": "A,B,…", "type": _list_of(str)},
    "label": {"metavar": "COLUMN"},
    "model": {"metavar": "M", "required": True},
    "teacher": {"metavar": "FILE", "required": True, "action": "append"},
    "student": {"metavar": "M", "required": True},
    "width": {"metavar": "W", "type": _positive, "default": 1.0},
    "pixel-range": {"metavar": "LOW,HIGH", "type": _pixel_range},
    "colour-order": {"choices": ("rgb", "bgr"), "default": "rgb"},
    "teacher-classes": {"metavar": "A,B,…", "type": _list_of(str)},
    "model-classes": {"metavar": "A,B,…", "type": _list_of(str)},
    "weak-teacher": {"action": "store_true"},
    "student-alone": {"metavar": "FILE"},
    "temperature": {"metavar": "T", "type": _temperature, "default": 4.0},
    "alpha": {"metavar": "A", "type": _alpha, "default": 0.9},
    "lambda": {"metavar": "L", "type": float, "dest": "lambda_"},
    "temperatures": {"metavar": "T,T,…", "type": _list_of(_temperature), "default": (1.0, 2.0, 5.0, 10.0, 20.0)},
    "alphas": {"metavar": "A,A,…", "type": _list_of(_alpha), "default": (0.1, 0.5, 0.9)},
    "seeds": {"metavar": "N", "type": _count},
    "scheduler": {"metavar": "ADDRESS"},
    "to": {"choices": _EXPORTS, "required": True},
    "out": {"metavar": "FILE", "type": Path, "required": True},
    "epochs": {"metavar": "N", "type": _count},
    "batch-size": {"metavar": "N", "type": _count},
    "learning-rate": {"metavar": "N", "type": _positive, "default": 0.001},
    "seed": {"metavar": "N", "type": checked(check_count, int, least=0), "default": 0},
    "patience": {"metavar": "N", "type": _count},
    "mixed-precision": {"choices": ("auto", "on", "off"), "default": "auto"},
    "tensorboard": {"metavar": "DIR", "type": new_folder},
    "force": {"action": "store_true"},
    "quiet": {"action": "store_true"},
}
"""What argparse is told of each option, but for its help."""

_HELP = {
    "data": "a folder of class folders, a table (.csv, .npz), a MedMNIST .npz, an EMNIST .mat, or a name such as emnist-letters",
    "image-size": "scale the images of a folder to N×N (default: a saved model's own size, else 64)",
    "test-split": "the share of a folder's images or a table's rows to test on, where none are given",
    "validation-split": "the share of the rest to validate on, where none are given",
    "channels": "3: grey images get three equal channels, for a teacher of colour images; 1: colour ones become grey",
    "preparation": "of the images of a folder: none, or brain-mri, which cuts scans to the head and evens their brightness "
    "(default: none; brain-mri for --data brain-tumor)",
    "classes": "the folders that are the classes, where the folder of --data leaves doubt or holds others; a name with a comma "
    "goes in double quotes",
    "label": "a table's column of labels (default: the one called label, class, target or y, else the last)",
    "model": MODELS,
    "teacher": "a saved .keras file; several times for an ensemble",
    "student": MODELS,
    "width": "of a new small-cnn: 0.5 halves its channels (default: 1)",
    "pixel-range": "that a saved model or teacher takes: 0,1 or 0,255 or -1,1 (default: what its first layers say, else 0,1)",
    "colour-order": "that the teachers, or the model to export, take (default: %(default)s)",
    "teacher-classes": "the classes in the order of the teachers' outputs, written as for --classes (default: by name)",
    "model-classes": "the classes in the order of the model's outputs, written as for --classes (default: by name)",
    "weak-teacher": "go on with a teacher at chance level",
    "student-alone": "trained without a teacher (default: it is trained too, from the same initial weights)",
    "temperature": "above 0 (default: %(default)s)",
    "alpha": "weight of the teacher, 0 to 1; labels have the rest (default: %(default)s)",
    "lambda": "weight of the labels beside the teacher's 1, as in the two-headed student; translated to alpha",
    "temperatures": "(default: 1,2,5,10,20)",
    "alphas": "(default: 0.1,0.5,0.9)",
    "seeds": "students, each also trained alone, from --seed on; one verdict for all (default: %(default)s)",
    "scheduler": "of a Dask cluster, whose workers train the points, such as tcp://host:8786 (default: trained here)",
    "to": "tflite: float32; tflite-int8: all in 8 bits; c-array: the 8-bit file as C source: .c, .cc or .cpp to be linked, "
    "with its header beside it, or .h alone to be included once",
    "out": "file to write",
    "epochs": "at most (default: by the number of training samples, 30 to 200)",
    "batch-size": "(default: by the number of training samples, 8 to 64)",
    "learning-rate": "of Adam; halved after half the patience (default: %(default)s)",
    "seed": "of initial weights and batches (default: %(default)s)",
    "patience": "epochs without improvement on validation data before training stops (default: half of the epochs; 5 of up to 30)",
    "mixed-precision": "auto: where the GPU is faster in 16 bits (default: %(default)s)",
    "tensorboard": "write logs for TensorBoard",
    "force": "replace what is there",
    "quiet": "show no progress, only the results",
}
_DATA = ("data", "image-size", "test-split", "validation-split", "channels", "preparation", "classes", "label")
_TEACHER = ("teacher", "student", "width", "pixel-range", "colour-order", "teacher-classes", "weak-teacher")
_TRAINING = ("epochs", "batch-size", "learning-rate", "seed", "patience", "mixed-precision", "tensorboard")
_OUT = ("out", "force", "quiet")


def add_commands(commands):
    """Add the commands to argparse's ``commands``; each sets ``run``, which takes the options."""

    def command(name, text, description, example):
        parser = commands.add_parser(
            name, allow_abbrev=False, help=text, description=description, epilog=f"Example: kdlab {example}"
        )
        parser.set_defaults(run=_run, command=name)
        return parser

    resume = "If interrupted, repeat the command to resume"
    train = command(
        "train",
        "train a model on your data",
        f"Train a model on the labels. {resume}.",
        "train --data emnist-letters --model cnn --out teacher.keras",
    )
    _add(train, *_DATA, "model", "width", "pixel-range", *_TRAINING, *_OUT)

    distill = command(
        "distill",
        "distil a teacher into a student, and compare it with the student alone",
        f"Train a student on a teacher's logits, and the same student without them, and compare the two. {resume}.",
        "distill --data emnist-letters --teacher teacher.keras --student mlp --out student.keras",
    )
    _add(distill, *_DATA, *_TEACHER, "student-alone", "temperature")
    _add(distill.add_mutually_exclusive_group(), "alpha", "lambda")
    _add(distill, "seeds", default=1)
    _add(distill, *_TRAINING, *_OUT)

    sweep = command(
        "sweep",
        "distil at many temperatures and alphas, with several seeds",
        "Train students at every temperature and alpha, with several seeds, and draw the landscape. "
        f"Every point is kept in the table. {resume}; with more points, it adds them.",
        "sweep --data emnist-letters --teacher teacher.keras --student mlp --out sweep.csv",
    )
    _add(sweep, *_DATA, *_TEACHER, "temperatures", "alphas")
    _add(sweep, "seeds", default=3)
    _add(sweep, "scheduler", *_TRAINING, *_OUT)

    export = command(
        "export",
        "convert a trained student for LiteRT and microcontrollers",
        "Convert a model for LiteRT (TensorFlow Lite), and say what it needs and, given data, what it lost.",
        "export student.keras --to tflite-int8 --data emnist-letters --out student.tflite",
    )
    export.add_argument("model", metavar="FILE", help="a saved .keras file")
    _add(export, "data", required=False)
    _add(export, "to", *_DATA[1:], "pixel-range", "colour-order", "model-classes", *_OUT)


def _add(parser, *names, **changes):
    for name in names:
        parser.add_argument(f"--{name}", help=_HELP[name], **{**_KINDS[name], **changes})


def _run(options):
    """Check what needs no TensorFlow, then load it and run the command."""
    export, out = options.command == "export", options.out
    kind = options.to if export else options.command
    if out.suffix not in ENDINGS[kind] or out.is_dir():
        of = f" of --to {kind}" if export else ""
        raise ValueError(f"--out{of} must be a file whose name ends in {' or '.join(ENDINGS[kind])}, got {str(out)!r}")
    if not out.parent.is_dir():
        raise ValueError(f"the folder {out.parent} of --out does not exist; make it first")
    options.outputs = _outputs(options)
    _check_inputs(options)
    _check_data(options)
    if options.command == "distill":
        if options.seeds > 1 and options.student_alone:
            raise ValueError("--seeds trains the students alone too; leave out --student-alone")
        if options.lambda_ is not None:
            options.alpha, _ = to_ours("two-headed", options.temperature, lambda_=options.lambda_)
    if options.command == "sweep" and options.scheduler:
        with of_extra("cluster", "--scheduler"):
            import distributed  # noqa: F401 - before anything is computed
    with exclusive_lock(out):
        record = _killed_at_its_end(options)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with nullcontext() if "tensorflow" in sys.modules else without_standard_error():
            from ..backend import tf
            from . import export_command, run_command

            tf.config.list_physical_devices()
        if export:
            with without_standard_error():
                export_command.run(options)
        else:
            run_command.run(options, record)


def _outputs(options):
    """Return the files that the command writes, the one of --out first, the record's .json and .md last."""
    out, bare = options.out, options.out.with_suffix("")
    if options.command == "export":
        # Not student.json, which is the record of student.keras.
        bare, more = out, [out.with_suffix(".h")] if out.suffix in (".c", ".cc", ".cpp") else []
    elif options.command == "sweep":
        more = [bare.with_name(f"{bare.name}.png")]
    else:
        alone = options.command == "distill" and options.student_alone is None
        more = [bare.with_name(f"{bare.name}.alone.keras")] if alone else []
    return [out, *more, *(bare.with_name(bare.name + kind) for kind in (".json", ".md"))]


def _check_inputs(options):
    """Raise ValueError for a model's file that is not there, and for a file that is read and that an output would overwrite."""
    for name in ("data", "teacher", "student_alone", "model", "student"):
        given = getattr(options, name, None) or []
        for path in given if isinstance(given, list) else [given]:
            # What looks like no path is the name of a new model, which kdlab.models knows.
            new = name in ("model", "student") and options.command != "export"
            if name != "data" and (not new or os.sep in path or Path(path).suffix or Path(path).is_dir()):
                check_model_file(path)
            if any(Path(path).expanduser().resolve() == output.resolve() for output in options.outputs):
                raise ValueError(f"--out would overwrite --{name.replace('_', '-')} {path}; give another --out")


def _check_data(options):
    """Raise ValueError for options about data that are not given or, of those about folders, for other data."""
    about_folders = {"image_size": "scales", "preparation": "prepares", "classes": "chooses"}
    if options.data is None:
        if options.to != "tflite":
            raise ValueError(
                f"--to {options.to} needs --data, the data that the model was trained on: the 8-bit scales are measured "
                "on some of its training samples"
            )
        if any(
            getattr(options, name) for name in (*about_folders, "label", "test_split", "validation_split", "channels")
        ):
            raise ValueError(
                "--image-size, --channels, --preparation, --classes, --label and splits are about --data, which is not given"
            )
    elif options.data != "brain-tumor" and not Path(options.data).expanduser().is_dir():
        for name, does in about_folders.items():
            if getattr(options, name):
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(
                    f"{flag} {does} the images of a folder, and --data {options.data} is none; leave it out"
                )


def _killed_at_its_end(options):
    """Return the record of this very command where it was killed while its files were put in place, else None.

    Raises ValueError for outputs that exist, unless --force. A sweep goes on with its table: ``sweeps`` looks at it.
    """
    if options.command in ("train", "distill") and Unfinished(options.outputs).move_if_complete():
        record = json.loads(options.outputs[-2].read_text("utf-8"))
        if record["command"] == options.line:
            return record
    if options.force:
        return None
    if options.command != "sweep" or not options.out.exists():
        refuse_existing(options.outputs)
    elif not _is_of(options.out, options.outputs[-2]):
        for output in filter(Path.exists, options.outputs[1:]):
            raise ValueError(f"{output} exists already, and is not of the sweep in {options.out}: move it away")
    return None


def _is_of(table, record):
    """Return whether a sweep's record is that of this table."""
    try:
        return json.loads(record.read_text("utf-8")).get("table") == table.name
    except (OSError, ValueError, AttributeError):
        return False
