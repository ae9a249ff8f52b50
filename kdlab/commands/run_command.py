"""``kdlab train``, ``distill`` and ``sweep``: data and models in; models, a table and a record out."""

import csv
import hashlib
import io
import json
import os
import shlex
import warnings
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from .. import models
from ..cache import ELSEWHERE, new_file, try_file
from ..datasets.class_folders import printable
from ..datasets.load import NAMES, load
from ..evaluation import at_chance, balanced_accuracy
from ..figures import landscape, png
from ..foreign_models import Inputs, adapt, explain_chance, inputs_by_itself, judge, take_softmax_off
from ..model_files import MisfitError, fingerprint, input_shape
from ..model_files import load as load_model
from ..runs import results, runs
from ..runs.logits_cache import teacher_logits
from ..runs.record import UNKNOWN, answers, describe_run, knows_data, measure, record
from ..runs.sweeps import sweep
from ..runs.unfinished import Unfinished
from .progress import Display


def run(options, done=None):
    """Run the command of these options, as ``run_arguments`` makes them; or only show the record of one that is done.

    Errors are those of what it calls.
    """
    with Display(quiet=options.quiet) as display, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: display.say(f"Note: {message}")
        if done is not None:
            return _show(done, display)
        command = _Command(options, display)
        try:
            {"train": _train, "distill": _distill, "sweep": _sweep}[options.command](command)
        finally:
            command.work.tidy()
        return None


def _show(found, display):
    """Show a record: its tables, what they say, and the notes."""
    display.table(*results.table(found["models"]))
    if "grid" in found:
        display.say(f"\n{results.GRID_TITLE}\n")
        display.table(*results.grid_table(found["grid"]))
    for text in (found.get("sentence"), *found["notes"]):
        if text:
            display.say(f"\n{text}")


def _train(command):
    options = command.options
    if options.pixel_range and options.model in models.NAMES:
        raise ValueError(
            f"--pixel-range is of a saved model, and {options.model} is a new one, which takes 0 to 1: leave it out"
        )
    inputs = options.pixel_range and Inputs(options.pixel_range)
    model = command.model(options.model, inputs=inputs)
    command.begin(model=fingerprint(model))
    trained = command.trained("model", options.out, partial(runs.train, model, command.data))
    measured = command.measured("model", [options.out], [trained])
    command.meet_chance(measured.name, [measured.at_chance], measured.correct.mean())
    command.finish(command.record(models=[measured.to_json()]))


def _distill(command):
    options = command.options
    if options.lambda_ is not None:
        command.add_notes(
            f"lambda = {options.lambda_:g} of the two-headed student is alpha = {options.alpha:.4g} here, at T = "
            f"{options.temperature:g}: its soft loss has no T², so that {100 * (1 - options.alpha):.1f} % of the weight is "
            "on the labels."
        )
    teachers = command.teachers()
    given = None
    if options.student_alone:
        knows = knows_data("student", options.student_alone, command.data)
        if knows is False:
            raise ValueError(
                f"--student-alone {options.student_alone} was trained on other data, or on these read or split otherwise, and "
                "may have seen some of these test samples: leave it out, and a student is trained alone here"
            )
        given = command.model(options.student_alone)
        if knows is None:
            command.add_notes(UNKNOWN.format(options.student_alone))
    command.begin(
        teacher=[fingerprint(teacher) for teacher in teachers],
        student=fingerprint(command.model(options.student)),
        student_alone=given and fingerprint(given),
        temperature=options.temperature,
        alpha=options.alpha,
    )
    alone_file = options.student_alone or options.outputs[1]
    if given:
        command.add_notes(f"The student alone is {alone_file}: its initial weights and batches may differ.")
    alone, student = _pair(command, teachers, options.seed, given, alone_file, options.out)
    rows = [
        command.measured("teacher", options.teacher, teachers),
        command.measured("student alone", [alone_file], [alone]),
        command.measured("student distilled", [options.out], [student]),
    ]
    comparison, sentence = results.compare(rows[2], rows[1])
    labels, pairs, named = command.data.test.y, {}, [[row.predicted for row in rows[1:]]]
    if options.seeds > 1:
        for seed in range(options.seed + 1, options.seed + options.seeds):
            files = [options.out.with_name(f"seed{seed}.{kind}.keras") for kind in ("alone", "distilled")]
            models_of_seed = _pair(command, teachers, seed, None, *files)
            named.append([answers(model, command.data.test)[0] for model in models_of_seed])
        pairs, sentence = results.compare_pairs(*np.swapaxes(named, 0, 1)[::-1], labels)
        command.add_notes(f"The table and the files are of seed {options.seed}.")
    for row, of_seeds in zip(rows[1:], zip(*named, strict=True), strict=True):
        guesses = [at_chance(one, labels) for one in of_seeds]
        command.meet_chance(row.name, guesses, np.mean([one == labels for one in of_seeds]))
    command.finish(
        command.record(
            models=[row.to_json() for row in rows],
            comparison=comparison,
            **({"pairs": pairs} if pairs else {}),
            sentence=sentence,
            chosen={"temperature": options.temperature, "alpha": options.alpha},
        )
    )


def _pair(command, teachers, seed, alone, alone_file, file):
    """Return a student trained alone, unless there is one, and one distilled, of the same weights and batches."""
    options, data = command.options, command.data
    which = "" if seed == options.seed else f", seed {seed}"

    def distill(**how):
        weights = {"temperature": options.temperature, "alpha": options.alpha}
        return runs.distill(command.model(options.student, seed), command.logits(teachers), data, **weights, **how)

    if alone is None:
        train = partial(runs.train, command.model(options.student, seed), data)
        alone = command.trained(f"student alone{which}", alone_file, train, f"alone{which}", seed)
    return alone, command.trained(f"student distilled{which}", file, distill, f"distilled{which}", seed)


def _sweep(command):
    options, display = command.options, command.display
    teachers = command.teachers()
    student = command.model(options.student, seed=0)
    key = command.key(teacher=[fingerprint(teacher) for teacher in teachers], student=fingerprint(student))
    del key["seed"]  # Each point has its own.
    command.try_record(lambda path: path)
    points = display.count("points")

    def callbacks(done, total, title):
        points(done, total)
        if options.scheduler:  # It is trained elsewhere, and has just come.
            display.note(f"{title}: trained, {done + 1} of {total}")
            return []
        return [display.training(title, passing=True)]

    table = sweep(
        lambda seed: command.model(options.student, seed),
        lambda: command.logits(teachers),
        command.data,
        options.out,
        command.settings(),
        options.temperatures,
        options.alphas,
        options.seeds,
        run=hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16],
        overwrite=options.force,
        callbacks=callbacks,
        scheduler=options.scheduler,
    )
    summary, differences = table.summary(), table.differences()
    table_file, picture, as_json, as_markdown = options.outputs
    title = (
        f"{options.student} from {', '.join(Path(file).name for file in options.teacher)} on {Path(options.data).name}"
    )
    chosen = summary["temperature"], summary["alpha"]
    figure = landscape(options.temperatures, options.alphas, differences, chosen, printable(title))
    place = {"temperature": f"{chosen[0]:g}", "alpha": f"{chosen[1]:g}", "out": "student.keras"}
    keep = again(options.line, "temperatures", "alphas", "seeds", "scheduler", "force", command="distill", **place)
    command.add_notes(f"To keep such a student: {keep}")
    for name, guesses in (("alone", table.guesses()), ("distilled", table.guesses(*chosen))):
        accuracy = summary["student_alone_test_accuracy" if name == "alone" else "test_accuracy"]["mean"]
        command.meet_chance(f"student {name}", guesses, accuracy)
    if options.seeds == 1:
        command.add_notes(
            f"To judge by three seeds, the first of which is kept: {again(options.line, 'force', seeds=3)}"
        )
    found = command.record(
        models=[command.measured("teacher", options.teacher, teachers).to_json()],
        sentence=summary.pop("sentence"),
        sweep=summary,
        grid={
            "temperatures": list(options.temperatures),
            "alphas": list(options.alphas),
            "validation_difference": differences.tolist(),
        },
        table=table_file.name,
        picture=picture.name,
    )
    with new_file(picture, ELSEWHERE) as file:
        file.write(png(figure))
    _write(found, as_json, as_markdown)
    _show(found, display)


def _write(found, as_json, as_markdown):
    """Write a record to both of its files."""
    for path, content in zip((as_json, as_markdown), results.to_bytes(found, results.markdown), strict=True):
        with new_file(path, ELSEWHERE) as file:
            file.write(content)


def read_data(options, display):
    """Return the ``Dataset`` of --data and the options about it; ValueError where it cannot be had or lacks a split."""
    display.note(f"Reading {options.data}")
    folder = _is_folder(options.data)
    if options.data in NAMES and Path(options.data).exists():
        raise ValueError(
            f"--data {options.data} is the name of a data set, and here is a file or folder of that name: for that write "
            f"--data .{os.sep}{options.data}, or give the command in another folder"
        )
    if options.data == "brain-tumor" and options.preparation is None:
        options.preparation = "brain-mri"
    if options.image_size is None and folder:
        options.image_size = _size_of_models(options)
    try:  # Of a folder alone the reader makes the channels.
        data = load(options.data, **_given(options, *_READING, *(["channels"] if folder else [])))
    except ValueError as error:
        raise ValueError(str(error).replace("name_or_path must", "--data must", 1)) from error
    if options.channels and not folder:
        data = _with_channels(data, options)
    for name in ("train", "test"):
        if not len(getattr(data, name)):
            raise ValueError(f"{options.data} has no {name} samples")
    display.note(_classes(data))
    for note in data.notes:
        display.note(note)
    return data


def _classes(data):
    """Return the classes with their numbers of samples in words."""
    counts = zip(data.class_names, data.count(), strict=True)
    found = [f"{name} {' + '.join(f'{count:,}' for count in numbers)}" for name, numbers in counts]
    bare = int((data.train.y < 0).sum())
    unlabelled = f"; to train on without a label {bare:,}" if bare else ""
    return f"{len(found)} classes, samples to train on + validate with + test on: {', '.join(found)}{unlabelled}"


def _size_of_models(options):
    """Return the side of the images that the first saved model of the options takes, where it is fixed, else None."""
    names = *(getattr(options, "teacher", None) or ()), *_given(options, "model", "student_alone", "student").values()
    for file in names:
        if file not in models.NAMES and (shape := input_shape(file)) and len(shape) == 3 and all(shape[:2]):
            return shape[0] if shape[0] == shape[1] else tuple(shape[:2])
    return None


def again(line, *dropped, command=None, **changed):
    """Return a command line with options changed, True for those without a value; None and ``dropped`` are left out."""
    gone = {f"--{name.replace('_', '-')}" for name in (*dropped, *changed)}
    words, kept, skip = shlex.split(line), [], False
    for word in words:
        if skip:
            skip = False
        elif word.partition("=")[0] in gone:
            skip = "=" not in word and word not in _FLAGS
        else:
            kept.append(word)
    if command:
        kept[next(k for k, word in enumerate(kept) if word in ("train", "distill", "sweep"))] = command
    for name, value in changed.items():
        if value is not None:
            kept += _option(name, value)
    return shlex.join(kept)


def _listed(names):
    """Return names as one value of an option, those with a comma in quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def _option(name, value):
    """Return an option in the words of a command line; argparse would take a value with a minus for an option."""
    flag, text = f"--{name.replace('_', '-')}", str(value)
    return [flag] if value is True else [f"{flag}={text}"] if text.startswith("-") else [flag, text]


@contextmanager
def complete(options):
    """Within the block, an error that names options of reading the data ends in the command with them."""
    try:
        yield
    except MisfitError as error:
        what = str(error).partition("; a folder's")[0]
        if error.options and (error.options == {"channels": 3} or _is_folder(options.data)):
            what += f"; to read them so: {again(options.line, **error.options)}"
        raise ValueError(what) from error


def _is_folder(data):
    return data == "brain-tumor" or Path(data).expanduser().is_dir()


def inputs_of(options, class_names, model, order="teacher_classes"):
    """Return the ``Inputs`` that a model takes by its first layers and the options; ``order`` is that of its classes."""
    pixel_range = options.pixel_range or inputs_by_itself(model).pixel_range
    given = getattr(options, order)
    if given and sorted(given) != sorted(class_names):
        flag = f"--{order.replace('_', '-')}"
        raise ValueError(f"{flag} must be {_listed(class_names)} in some order, got {_listed(given)}")
    if options.colour_order == "bgr" and model.inputs[0].shape[-1] != 3:
        raise ValueError(f"--colour-order is of colour images; the model takes {tuple(model.inputs[0].shape[1:])}")
    places = given and tuple(given.index(name) for name in class_names)
    return Inputs(pixel_range, options.colour_order == "bgr", None if places == (*range(len(class_names)),) else places)


def chance(what, model, inputs, data, splits, options, order="teacher_classes"):
    """Return what to say of a model at chance, (what was measured, what mends it or ""), or None for one that is not.

    ``what`` names the model, which is without adaptation; ``inputs`` is what it gets; it is judged on samples of
    ``splits`` of ``data``. ``order`` is the option of the order of its classes.
    """
    named, labels = judge(adapt(model, inputs), *splits)
    if not at_chance(named, labels):
        return None
    class_names, (low, high) = data.class_names, inputs.pixel_range
    measured = (
        f"{what} is at chance level: balanced accuracy {100 * balanced_accuracy(named, labels):.0f} % on {len(labels)} "
        f"samples of {len(class_names)} classes, with pixels from {low:g} to {high:g}."
    )
    found = explain_chance(model, inputs, class_names, *splits)
    if found is None:
        return measured, ""
    best, share = found
    ranges = {part: "{:g},{:g}".format(*part) for part in (best.pixel_range, inputs.pixel_range)}
    by_itself = inputs_by_itself(model).pixel_range
    wanted, had = {}, {}  # of what differs: None is without the option
    if best.pixel_range != inputs.pixel_range:
        wanted["pixel_range"] = None if best.pixel_range == by_itself else ranges[best.pixel_range]
        had["pixel_range"] = ranges[inputs.pixel_range]
    if best.bgr != inputs.bgr:
        wanted["colour_order"], had["colour_order"] = "bgr" if best.bgr else None, "bgr"
    if best.classes != inputs.classes:
        names = [
            places and _listed([class_names[k] for k in np.argsort(places)])
            for places in (best.classes, inputs.classes)
        ]
        wanted[order], had[order] = names
    parts = [
        f"{word} {shlex.join(word_of for name in chosen for word_of in _option(name, chosen[name]))}"
        for word, chosen in (
            ("with", {name: value for name, value in wanted.items() if value is not None}),
            ("without", {name: had[name] for name, value in wanted.items() if value is None}),
        )
        if chosen
    ]
    said = " and ".join(parts)
    if options.command == "export" or options.weak_teacher:  # It goes on, and writes its files.
        wanted |= {"force": True, "weak_teacher": None}
    mend = f"{said[0].upper()}{said[1:]} its balanced accuracy would be {100 * share:.0f} %: {again(options.line, **wanted)}"
    return measured, mend


def _with_channels(data, options):
    """Return the data with each image's one channel three times; ValueError for others."""
    shape = tuple(data.train.x.shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, options.channels):
        raise ValueError(
            f"--channels {options.channels} does not go with {options.data}, whose samples have shape {shape}"
        )
    if shape[-1] == options.channels:
        return data
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    return replace(data, **{name: replace(part, x=np.repeat(part.x, 3, axis=-1)) for name, part in splits.items()})


def _given(options, *names):
    """Return those of these options that were given."""
    return {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}


_NOT_OF_TRAIN = (
    *("teacher", "student", "student-alone", "width", "colour-order", "teacher-classes", "weak-teacher"),
    *("temperature", "alpha", "lambda", "seeds", "temperatures", "alphas", "scheduler", "force"),
)
_FLAGS = ("--force", "--quiet", "--weak-teacher")  # options without a value
_READING = ("image_size", "preparation", "classes", "label", "test_split", "validation_split")


class _Command:
    """What all commands share: the options, the data, the files being made, the sentences to show at the end."""

    def __init__(self, options, display):
        self.options, self.display = options, display
        self.data = read_data(options, display)
        self.notes = list(self.data.notes)
        self.work = Unfinished(options.outputs)
        self.training, self.teacher_inputs = {}, {}

    def settings(self, part="", seed=None):
        """Return the ``runs.Settings``; logs for TensorBoard go to a folder ``part``."""
        options = self.options
        suggested = runs.suggest(len(self.data.train))
        if options.epochs is not None:
            suggested["patience"] = 5 if options.epochs <= 30 else options.epochs // 2
        return runs.Settings(
            **{**suggested, **_given(options, "epochs", "batch_size", "patience")},
            learning_rate=options.learning_rate,
            seed=options.seed if seed is None else seed,
            mixed_precision=options.mixed_precision,
            tensorboard=options.tensorboard and options.tensorboard / part,
        )

    def key(self, **parts):
        """Return all that the result depends on, in plain values."""
        return {"command": self.options.command, "data": self.data.fingerprint, **parts, **self._plain_settings()}

    def begin(self, **parts):
        """Begin the run whose result depends on these parts; raise what the record of it would raise at its end."""
        self.work.begin(self.key(**parts), self.options.force)
        self.try_record(self.work.path)

    def try_record(self, place):
        """Raise what writing the record and the other outputs would raise; ``place`` is a function to their paths."""
        results.to_bytes(self.record(models=[]), results.markdown)
        for output in self.options.outputs:  # A file's record, while it is made, has the longest name.
            try_file(Path(f"{place(output)}.json"), ELSEWHERE)

    def model(self, name_or_path, seed=None, inputs=None):
        """Return a model for the data and add its note to the notes."""
        options = self.options
        asked = getattr(options, "model", None) or options.student
        width = options.width if name_or_path == asked else 1.0
        with complete(options):
            model = models.build(name_or_path, self.data, options.seed if seed is None else seed, inputs, width)
        self.add_notes(model.note)
        return model

    def teachers(self):
        """Return the teachers, checked to know these classes; ValueError for one at chance, unless --weak-teacher."""
        options, data, teachers = self.options, self.data, []
        for file in options.teacher:
            further = again(options.line, *_NOT_OF_TRAIN, command="train", model=file, out="again.keras")
            knows = knows_data("teacher", file, data)
            if knows is None:
                self.add_notes(f"{UNKNOWN.format(file)} To train it further on this training split alone: {further}")
            elif not knows:
                self.add_notes(
                    f"The teacher {file} was trained on other data, which may hold some of these test samples."
                )
            self.display.note(f"Judging {file}")
            whole = take_softmax_off(load_model(file), f"model {file}")[0]
            inputs = inputs_of(options, data.class_names, whole)
            teacher = self.model(file, inputs=inputs)
            self.teacher_inputs[file] = inputs._asdict()
            splits = data.validation, data.train
            if said := chance(f"The teacher {file}", whole, inputs, data, splits, options):
                if options.weak_teacher:
                    self.add_notes(" ".join(filter(None, said)))
                else:
                    nothing = (
                        "No other range of pixels, order of colours or order of classes makes it better; to go on with "
                        f"it: {again(options.line, weak_teacher=True)}"
                    )
                    raise ValueError(f"{said[0]} {said[1] or nothing}")
            teachers.append(teacher)
        return teachers

    def logits(self, teachers):
        """Return the teachers' logits on the training data, (N, C), or (N, K, C) for K of them."""
        key = f"{self.data.fingerprint} train"
        each = []
        for file, teacher in zip(self.options.teacher, teachers, strict=True):
            progress = self.display.count(f"logits of {file}")
            each.append(teacher_logits(teacher, self.data.train, key, progress=progress))
        return each[0] if len(each) == 1 else np.stack(each, axis=1)

    def trained(self, name, output, train, part="", seed=None):
        """Return the model that ``train``, called as ``runs.train``, makes or has made before the command was killed."""
        file = self.work.path(output)
        known = self.work.kept(f"{file.name}.json") if file.exists() else None
        if known is None:
            callbacks = [self.display.training(name)]
            done = train(out=file, settings=self.settings(part, seed), callbacks=callbacks, overwrite=True)
            known, model = describe_run(done), done.model
            self.work.keep(f"{file.name}.json", known)
        else:
            model = models.build(str(file), self.data)
        self.training[name] = known
        self.add_notes(*known["notes"])
        return model

    def measured(self, name, files, trained):
        """Return the ``ModelResult`` of models on the test samples, from files that may not be in place yet."""
        self.display.note(f"Measuring the {name}")
        made = [self.work.path(file) for file in files]
        found = [path if path.exists() else file for path, file in zip(made, files, strict=True)]
        others = {"training": self.data.train, "validation": self.data.validation}
        return replace(measure(name, found, trained, self.data.test, others), file=", ".join(map(str, files)))

    def meet_chance(self, name, guesses, accuracy):
        """Add a note on students that cannot be told from guessing, with a command that may do better.

        ``guesses`` says of which, a boolean per seed, ``accuracy`` is their mean on the test samples, 0 to 1.
        """
        if not any(guesses):
            return
        settings = self.settings()
        some = f" of {sum(guesses)} of {len(guesses)} seeds" if len(guesses) > 1 else ""
        more = {"epochs": 4 * settings.epochs, "patience": settings.epochs, "batch_size": min(8, settings.batch_size)}
        old = ["student_alone"] if name == "student alone" else []  # a file, which would come to the same again
        further = again(self.options.line, *old, **more, force=True)
        self.add_notes(
            f"The {name}{some} cannot be told from guessing on {len(self.data.test):,} test samples "
            f"({results.percent(accuracy)} right). More steps, on smaller batches, may help: {further}"
        )

    def record(self, chosen=(), **parts):
        """Return the run's record; ``chosen`` are settings beside those of every command."""
        options = self.options
        given = _given(options, "model", "teacher", "student", "student_alone", "channels", *_READING)
        if self.teacher_inputs:
            given["teacher_inputs"] = self.teacher_inputs
        settings = {**given, **dict(chosen), **self._plain_settings()}
        title = f"kdlab {options.command}: {options.out.name}"
        if any(model.get("clinical") for model in parts.get("models", ())):
            other, positive = self.data.class_names
            self.add_notes(
                f"The positive class is {positive}: sensitivity is the recall of {positive}, specificity that of {other}."
            )
        parts = {**parts, "training": self.training, "notes": self.notes}
        return record(title, self.data, options.data, settings, options.line, **parts)

    def add_notes(self, *notes):
        """Add sentences, each once."""
        self.notes.extend(note for note in notes if note and note not in self.notes)

    def finish(self, found):
        """Write the record beside the models, put all in place, and show it."""
        *_, as_json, as_markdown = self.options.outputs
        _write(found, self.work.path(as_json), self.work.path(as_markdown))
        self.work.finish()
        _show(found, self.display)

    def _plain_settings(self):
        return {name: value for name, value in asdict(self.settings()).items() if name != "tensorboard"}
