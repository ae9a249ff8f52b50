"""The arguments of ``kdlab train``, ``distill``, ``sweep`` and ``export``: checked here, before TensorFlow is loaded."""

import argparse
import json
import math
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from ..checks import check_alpha, check_model_file, check_temperature, check_training_temperature
from ..quiet import without_standard_error
from ..runs.unfinished import Unfinished, alone, refuse_existing

__all__ = ["DEFAULT_ALPHA", "MODELS", "add_commands", "new_folder", "outputs", "whole_number"]

DEFAULT_ALPHA = 0.9
MODELS = "cnn, mlp, small-cnn, efficientnet, or a saved .keras file"
EXPORTS = {"tflite": (".tflite",), "tflite-int8": (".tflite",), "c-array": (".h", ".c", ".cc", ".cpp")}
"""What ``export`` writes, with the endings that a file of it may have."""
_EXAMPLE = "kdlab distill --data emnist-letters --teacher teacher.keras --student mlp --out student.keras"


def add_commands(commands):
    """Add the commands to argparse's ``commands``; each sets ``run``, which takes the options."""
    train = commands.add_parser(
        "train",
        help="train a model on your data",
        description="Train a model on the labels. If interrupted, repeat the command to resume.",
        epilog="Example: kdlab train --data emnist-letters --model cnn --out teacher.keras",
    )
    _add_data(train)
    train.add_argument("--model", required=True, type=_model, metavar="M", help=MODELS)
    _add_width(train)
    _add_pixel_range(train, "a saved --model was")
    _add_settings(train, "train", ".keras", "model")

    distill = commands.add_parser(
        "distill",
        help="distil a teacher into a student, and compare it with the student alone",
        description="Train a student on a teacher's logits, and the same student without them, and compare the two. "
        "If interrupted, repeat the command to resume.",
        epilog=f"Example: {_EXAMPLE}",
    )
    _add_data(distill)
    _add_models(distill)
    distill.add_argument(
        "--student-alone",
        type=_saved_model,
        metavar="FILE",
        help="the student trained without a teacher (default: it is trained too, from the same initial weights)",
    )
    distill.add_argument(
        "--temperature", type=_temperature, default=4.0, metavar="T", help="above 0 (default: %(default)s)"
    )
    weight = distill.add_mutually_exclusive_group()
    weight.add_argument(
        "--alpha", type=_alpha, metavar="A", help="weight of the teacher, 0 to 1; labels have the rest (default: 0.9)"
    )
    weight.add_argument(
        "--lambda",
        type=_lambda,
        dest="lambda_",
        metavar="L",
        help="weight of the labels beside the teacher's 1, as in the two-headed student; translated to alpha",
    )
    distill.add_argument(
        "--seeds",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="pairs of students, distilled and alone, from --seed on; one verdict for all (default: %(default)s)",
    )
    _add_settings(distill, "distill", ".keras", "student")

    sweep = commands.add_parser(
        "sweep",
        help="distil at many temperatures and alphas, with several seeds",
        description="Train students at every temperature and alpha, with several seeds, and draw the landscape. "
        "Every point is kept in the table: if interrupted, repeat the command to resume; with more points, it adds them.",
    )
    _add_data(sweep)
    _add_models(sweep)
    sweep.add_argument(
        "--temperatures",
        type=_list_of(_temperature),
        default=(1.0, 2.0, 5.0, 10.0, 20.0),
        metavar="T,T,…",
        help="(default: 1,2,5,10,20)",
    )
    sweep.add_argument(
        "--alphas", type=_list_of(_alpha), default=(0.1, 0.5, 0.9), metavar="A,A,…", help="(default: 0.1,0.5,0.9)"
    )
    sweep.add_argument(
        "--seeds", type=whole_number(1), default=3, metavar="N", help="students at each point (default: %(default)s)"
    )
    _add_settings(sweep, "sweep", ".csv", "table")

    export = commands.add_parser(
        "export",
        help="convert a trained student for LiteRT and microcontrollers",
        description="Convert a model for LiteRT (TensorFlow Lite), and say what it needs and, given data, what it lost.",
        epilog="Example: kdlab export student.keras --to tflite-int8 --data emnist-letters --out student.tflite",
    )
    export.add_argument("model", type=_saved_model, metavar="FILE", help="a saved .keras file")
    export.add_argument(
        "--to",
        required=True,
        choices=tuple(EXPORTS),
        help="tflite: float32; tflite-int8: all in 8 bits; c-array: the 8-bit file as C source: "
        ".c, .cc or .cpp to be linked, with its header beside it, or .h alone to be included once",
    )
    _add_data(export, required=False)
    _add_pixel_range(export, "the model was")
    export.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write")
    _add_output_settings(export)
    export.set_defaults(run=_run, command="export")


def outputs(options):
    """Return the files that the command writes, the one of --out first; TensorFlow is not needed to know them."""
    if options.command == "export":
        source = options.to == "c-array" and options.out.suffix != ".h"
        header = [options.out.with_suffix(".h")] if source else []
        # Not student.json, which is the record of student.keras.
        return [options.out, *header, *(options.out.with_name(options.out.name + kind) for kind in (".json", ".md"))]
    bare = options.out.with_suffix("")
    beside = [bare.with_name(bare.name + suffix) for suffix in (".json", ".md")]
    if options.command == "sweep":
        return [options.out, bare.with_name(bare.name + ".png"), *beside]
    if options.command == "distill" and options.student_alone is None:
        return [options.out, bare.with_name(bare.name + ".alone.keras"), *beside]
    return [options.out, *beside]


def _add_data(parser, required=True):
    parser.add_argument(
        "--data",
        required=required,
        metavar="D",
        help="a folder of class folders, a MedMNIST .npz, an EMNIST .mat, or a name such as emnist-letters",
    )
    parser.add_argument(
        "--image-size", type=whole_number(1), metavar="N", help="scale the images of a folder to N×N (default: 64)"
    )
    for split, share in (("test", "of the images of a folder"), ("validation", "of the rest")):
        parser.add_argument(
            f"--{split}-split",
            type=_share,
            metavar="S",
            help=f"the share {share} to {_USES[split]}, where none are given",
        )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="3: grey images get three equal channels, which a teacher of colour images takes; 1: colour ones become grey "
        "(default: as the images are)",
    )
    parser.add_argument(
        "--preparation",
        metavar="P",
        help="what is done with the images of a folder first: none, or brain-mri, which cuts scans to the head and "
        "brings them to one brightness (default: none; brain-mri for --data brain-tumor)",
    )
    parser.add_argument(
        "--classes",
        type=_list_of(str),
        metavar="A,B,…",
        help="the folders that are the classes, where the folder of --data leaves doubt or holds others",
    )


_USES = {"test": "test on", "validation": "validate on"}


def _add_models(parser):
    parser.add_argument(
        "--teacher",
        required=True,
        type=_saved_model,
        action="append",
        metavar="FILE",
        help="a saved .keras file; several times for an ensemble",
    )
    parser.add_argument("--student", required=True, type=_model, metavar="M", help=MODELS)
    _add_width(parser)
    _add_pixel_range(parser, "the teachers were")
    parser.add_argument(
        "--colour-order", choices=("rgb", "bgr"), default="rgb", help="that the teachers take (default: %(default)s)"
    )
    parser.add_argument(
        "--teacher-classes",
        metavar="A,B,…",
        type=lambda text: tuple(name.strip() for name in text.split(",")),
        help="the classes in the order of the teachers' outputs (default: as the data have them, by name)",
    )
    parser.add_argument("--weak-teacher", action="store_true", help="go on with a teacher at chance level")


def _add_width(parser):
    parser.add_argument(
        "--width",
        type=_above_0,
        default=1.0,
        metavar="W",
        help="of a new small-cnn: 0.5 halves its channels (default: 1)",
    )


def _add_pixel_range(parser, who):
    parser.add_argument(
        "--pixel-range",
        type=_pixel_range,
        metavar="LOW,HIGH",
        help=f"of the pixels that {who} trained on, 0,1 or 0,255 or -1,1 (default: what its first layers say, else 0,1)",
    )


def _add_settings(parser, command, suffix, what):
    def out(text):
        return _out(text, suffix)

    parser.add_argument("--out", required=True, type=out, metavar="FILE", help=f"{what} to write, {suffix}")
    numbers = (
        ("--epochs", whole_number(1), None, "at most (default: by the number of training samples, 30 to 200)"),
        ("--batch-size", whole_number(1), None, "(default: by the number of training samples, 8 to 64)"),
        ("--learning-rate", _above_0, 0.001, "of Adam; halved after half the patience"),
        ("--seed", whole_number(0), 0, "of initial weights and batches"),
        (
            "--patience",
            whole_number(1),
            None,
            "epochs without improvement on validation data before training stops (default: half of the epochs; 5 of up to 30)",
        ),
    )
    for name, kind, default, text in numbers:
        text = text if default is None else f"{text} (default: {default})"
        parser.add_argument(name, type=kind, default=default, metavar="N", help=text)
    parser.add_argument(
        "--mixed-precision",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto: where the GPU is faster in 16 bits (default: %(default)s)",
    )
    parser.add_argument("--tensorboard", type=new_folder, metavar="DIR", help="write logs for TensorBoard")
    _add_output_settings(parser)
    parser.set_defaults(run=_run, command=command)


def _add_output_settings(parser):
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--quiet", action="store_true", help="show no progress, only the results")


def _run(options):
    """Check what needs no TensorFlow, then load it and run the command."""
    if not options.out.parent.is_dir():
        raise ValueError(f"the folder {options.out.parent} of --out does not exist; make it first")
    for name in ("teacher", "student_alone", "model", "student"):
        given = getattr(options, name, None)
        for path in given if isinstance(given, list) else [given]:
            if path and any(Path(path).resolve() == output.resolve() for output in outputs(options)):
                raise ValueError(f"--out would overwrite --{name.replace('_', '-')} {path}; give another --out")
    if options.command == "export":
        _check_export(options)
    if options.command == "distill" and options.seeds > 1 and options.student_alone:
        raise ValueError("--seeds trains the students alone too; leave out --student-alone")
    folder = options.data in (None, "brain-tumor") or Path(options.data).expanduser().is_dir()
    for name, does in (("image_size", "scales"), ("preparation", "prepares"), ("classes", "chooses")):
        if getattr(options, name) and not folder:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} {does} the images of a folder, and --data {options.data} is none; leave it out")
    with alone(options.out):
        record = _killed_at_its_end(options)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with nullcontext() if "tensorflow" in sys.modules else without_standard_error():
            from ..backend import tf
            from . import export_command, run_command

            tf.config.list_physical_devices()
        if options.command == "export":
            with without_standard_error():
                export_command.run(options)
        else:
            run_command.run(options, record)


def _check_export(options):
    if options.out.suffix not in EXPORTS[options.to] or options.out.is_dir():
        endings = " or ".join(EXPORTS[options.to])
        raise ValueError(f"--out of --to {options.to} must be a file whose name ends in {endings}, got {options.out}")
    if options.to != "tflite" and options.data is None:
        raise ValueError(
            f"--to {options.to} needs --data, the data that the model was trained on: the 8-bit scales are measured on "
            "some of its training samples"
        )
    about_data = ("test_split", "validation_split", "image_size", "channels", "preparation", "classes")
    if options.data is None and any(getattr(options, name) for name in about_data):
        raise ValueError(
            "--image-size, --channels, --preparation, --classes and splits are about --data, which is not given"
        )
    if not options.force:
        refuse_existing(outputs(options))


def _killed_at_its_end(options):
    """Return the record of this very command where it was killed while its files were put in place, else None.

    Raises ValueError for outputs that exist, unless --force. A sweep goes on with its table: ``sweeps`` looks at it.
    """
    if options.command == "export":
        return None
    if options.command == "sweep":
        if not options.out.exists() and not options.force:
            refuse_existing(outputs(options))
        return None
    if not Unfinished(outputs(options), options.force).check():
        return None
    *_, as_json, _ = outputs(options)
    record = json.loads(as_json.read_text("utf-8"))
    if record["command"] == options.line:
        return record
    if not options.force:
        refuse_existing(outputs(options))
    return None


def _out(text, suffix):
    path = Path(text)
    if path.suffix != suffix or path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file whose name ends in {suffix}, got {text!r}")
    return path


def new_folder(text):
    """Return the path of a folder that is there or can be made."""
    path = Path(text)
    if not next(place for place in (path, *path.parents) if place.exists()).is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder or the name of a new one, got {text!r}")
    return path


def _model(text):
    """Return a model's name, or the path of a saved model that is there; ``kdlab.models`` knows the names."""
    return _saved_model(text) if os.sep in text or Path(text).suffix or Path(text).is_dir() else text


def _saved_model(text):
    try:
        check_model_file(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _pixel_range(text):
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"must be two numbers such as 0,255 or -1,1, the lower first, got {text!r}")
    return low, high


def _checked(check):
    """Return a type for argparse from a check of kdlab.checks."""

    def convert(text):
        try:
            return check(_number(text), "it")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix("it ")) from None

    return convert


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


_temperature, _alpha, _above_0 = map(_checked, (check_training_temperature, check_alpha, check_temperature))


def _share(text):
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"must be a share between 0 and 1, got {text!r}")
    return number


def _lambda(text):
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number of at least 0, got {text!r}")
    return number


def _list_of(kind):
    def convert(text):
        values = tuple(kind(part.strip()) for part in text.split(","))
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"must not hold a value twice, got {text!r}")
        return values

    return convert


def whole_number(least, most=None):
    """Return what makes a whole number from ``least`` to ``most`` of an argument's text, as argparse takes it."""

    def convert(text):
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            accepted = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {accepted}, got {text!r}")
        return int(text)

    return convert
