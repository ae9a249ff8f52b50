"""Chapter 5's state: students converted for LiteRT, in float32 and in int8, and what they lose and need. No view in here.

TensorFlow is imported by the first method that trains, so that a page appears before it.
"""

import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from ..checks import check_alpha
from ..evaluation import agreement, mean_interval, wilson_interval
from ..export.boards import BOARDS
from ..export.quantisation import HIGHEST_BITS, LOWEST_BITS, quantise_weights
from ..scenarios import SCENARIOS
from .memo import Once
from .response_state import ResponseState, check_training_temperature
from .response_summary import compare
from .tinyml_students import WIDTHS, DigitStudents, NucleusStudents

__all__ = ["BITS", "DEFAULTS", "TASKS", "WIDTHS", "TinymlState"]

DIGITS = ("few", "unlabelled", "all")
TASKS = {name: f"Digits: {SCENARIOS[name].title}" for name in DIGITS} | {"nuclei": "Nuclei: all 551 labels"}
BITS = tuple(range(LOWEST_BITS, HIGHEST_BITS + 1))
DEFAULTS = {"task": "few", "width": "medium", "temperature": 4.0, "alpha": 0.9}
REPRESENTATIVE = 200  # training samples that the ranges of activations are taken from
TIMING = 0.1  # seconds of calls that a time is the median of
ALONE = (1.0, 0.0)  # temperature and alpha


class TinymlState:
    """Students of digits and of nuclei, and their LiteRT files; results are plain Python values."""

    def __init__(self):
        response = ResponseState()
        self._sources = {name: DigitStudents(response, name) for name in DIGITS} | {"nuclei": NucleusStudents()}
        self._once = Once()
        # TensorFlow's converter changes what is global while it works.
        self._converting = threading.Lock()

    def check(self, task, width, temperature, alpha):
        """Return the position with numbers as floats; raises ValueError naming what is not accepted."""
        for name, value, accepted in (("task", task, TASKS), ("width", width, WIDTHS)):
            if value not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {value!r}")
        numbers = {"temperature": check_training_temperature(temperature), "alpha": check_alpha(alpha)}
        return {"task": task, "width": width} | numbers

    def convert(self, progress=None, stop=None, **position):
        """Train one student and convert it; return what the page shows, and C source that holds the int8 file.

        The result is None after a stop. ``progress(words, done, total)`` is told of epochs, where there are any to wait for;
        then ``stop()`` is asked. ``rows`` are the forms of the student, see ``_rows``; ``changed`` counts the test samples
        that int8 classifies otherwise than float32 does, ``lost`` those it gets wrong for it, and ``won`` the opposite.
        """
        position, source, settings = self._prepare(position)
        started = time.perf_counter()
        students = source.train(*settings, 1, _told(progress, "Training"), stop)
        if not students:
            return None, None
        seconds = {"training": time.perf_counter() - started}
        if progress:
            progress("Converting", 0, 1)
        started = time.perf_counter()
        rows, answers, files = self._rows("student", students[0], source)
        seconds["converting"] = time.perf_counter() - started
        before, after = answers["float32"].argmax(axis=1), answers["int8"].argmax(axis=1)
        labels = source.data.test.y
        result = {
            "position": position,
            "student": source.describe(position["width"]),
            "samples": len(labels),
            "seconds": seconds,
            "rows": rows,
            "changed": int((before != after).sum()),
            "lost": int(((before == labels) & (after != labels)).sum()),
            "won": int(((before != labels) & (after == labels)).sum()),
        }
        from ..export.convert import to_c_array

        return result, to_c_array(files["int8"], f"student_{position['task']}")

    def with_teacher(self, result):
        """Return a result of ``convert`` with the teacher's rows after the student's."""
        task = result["position"]["task"]
        source, key = self._sources[task], "all" if task in DIGITS else task  # the digits have one teacher
        rows = self._once(("rows", key), lambda: self._rows("teacher", source.teacher(), source)[0])
        return result | {"rows": result["rows"] + rows}

    def compare(self, progress, stop=None, **position):
        """Train and quantise paired students, alone and distilled; return what the page shows, None for no two pairs.

        Pairs share initial weights and batches. ``students``: accuracies of "alone" and "distilled", each in "float32"
        (Keras) and "int8" (LiteRT), one per pair and their mean with interval; ``differences`` are paired: "order" is
        distilled − alone in int8, "float32" the same before it, "alone" and "distilled" int8 − float32 of that kind.
        A stop ends the training, or keeps the pairs that are converted.
        """
        position, source, settings = self._prepare(position)
        started = time.perf_counter()
        students = [
            source.train(settings[0], *how, source.pairs, _told(progress, f"Training, {kind}"), stop)
            for kind, how in (("without distillation", ALONE), ("distilled", settings[1:]))
        ]
        pairs, accuracies = list(zip(*students, strict=False)), []
        for done, pair in enumerate(pairs):
            progress("Pairs converted", done, len(pairs))
            if stop and stop():
                break
            accuracies.append([a for student in pair for a in self._accuracies(student, source)])
        if len(accuracies) < 2:
            return None
        found = dict(zip(("alone", "alone_int8", "distilled", "distilled_int8"), np.transpose(accuracies), strict=True))
        differences = {
            "order": ("distilled_int8", "alone_int8"),
            "float32": ("distilled", "alone"),
            "alone": ("alone_int8", "alone"),
            "distilled": ("distilled_int8", "distilled"),
        }
        return {
            "position": position,
            "pairs": len(accuracies),
            "teacher": self._teacher_accuracy(position["task"]),
            "seconds": time.perf_counter() - started,
            "students": {k: {"runs": v.tolist(), "accuracy": list(mean_interval(v))} for k, v in found.items()},
            "differences": {k: compare(found[one], found[other]) for k, (one, other) in differences.items()},
        }

    def bits(self, **position):
        """Return what is left of the students when their weights have 2 to 8 bits; None where none are trained.

        ``unit``: the first distilled student's weights into one unit, the one whose weights vary most. By number of
        bits, ``error`` is the size of all weights' rounding errors relative to theirs (root of the sums of squares),
        ``unit`` these weights rounded, ``accuracy`` that of each kind, (mean, low, high) over the students. Activations
        and biases stay as they are.
        """
        position, source, settings = self._prepare(position)
        kinds = {"alone": (settings[0], *ALONE), "distilled": settings}
        students = {kind: source.trained(*how, source.pairs) for kind, how in kinds.items()}
        if min(map(len, students.values())) < 2:
            return None
        first = _kernels(students["distilled"][0])
        layer = len(first) // 2
        unit = first[layer].reshape(-1, first[layer].shape[-1])
        place = int(unit.std(axis=0).argmax())
        accuracies = {
            kind: np.transpose([_accuracies_in_bits(student, source) for student in found])
            for kind, found in students.items()
        }
        rows = []
        for number, bits in enumerate(BITS):
            rounded = [quantise_weights(kernel, bits) for kernel in first]
            errors = sum(((a - b) ** 2).sum() for a, b in zip(rounded, first, strict=True))
            rows.append(
                {
                    "bits": bits,
                    "error": float((errors / sum((kernel**2).sum() for kernel in first)) ** 0.5),
                    "unit": _short(rounded[layer].reshape(unit.shape)[:, place]),
                    "accuracy": {kind: list(mean_interval(values[number])) for kind, values in accuracies.items()},
                }
            )
        return {
            "position": position,
            "students": len(students["alone"]),
            "unit": _short(unit[:, place]),
            "float32": {kind: list(mean_interval(values[-1])) for kind, values in accuracies.items()},
            "bits": rows,
        }

    def _prepare(self, position):
        position = self.check(**position)
        settings = position["width"], position["temperature"], position["alpha"]
        return position, self._sources[position["task"]], settings

    def _teacher_accuracy(self, task):
        source = self._sources[task]
        return self._once(("accuracy", task), lambda: _accuracy(_logits(source.teacher(), source.data.test.x), source))

    def _to_int8(self, model, source):
        from ..export.convert import to_tflite_int8

        samples = source.training_samples()
        chosen = np.random.default_rng(0).permutation(len(samples))[:REPRESENTATIVE]
        with self._converting:
            return to_tflite_int8(model, samples[np.sort(chosen)])

    def _accuracies(self, model, source):
        """Return the test accuracies of a model as it is and in int8."""
        from ..export.convert import run_tflite

        x = source.data.test.x
        return [
            _accuracy(logits, source) for logits in (_logits(model, x), run_tflite(self._to_int8(model, source), x))
        ]

    def _rows(self, name, model, source):
        """Return what the page shows of a model's forms, "Keras", "float32" and "int8", their logits and their files.

        Of each: accuracy (with Wilson's interval), agreement with the Keras model, bytes, multiply-adds, time of one
        sample in seconds (median and quartiles) and, but for Keras, arena and a verdict for every board.
        """
        from ..export import convert

        x, labels = source.data.test.x, source.data.test.y
        with self._converting:
            files = {"float32": convert.to_tflite(model)}
        files["int8"] = self._to_int8(model, source)
        logits = {"Keras": _logits(model, x)} | {form: convert.run_tflite(file, x) for form, file in files.items()}
        times = {"Keras": convert.keras_latency(model, x, TIMING)}
        times |= {form: convert.latency(file, x, TIMING) for form, file in files.items()}
        sizes = {"Keras": _size(model)} | {form: len(file) for form, file in files.items()}
        rows = []
        for form, answers in logits.items():
            row = {
                "name": name,
                "form": form,
                "accuracy": list(wilson_interval(int((answers.argmax(axis=1) == labels).sum()), len(labels))),
                "agreement": agreement(logits["Keras"], answers),
                "bytes": sizes[form],
                "multiply_adds": convert.multiply_adds(model).total,
                "seconds": list(times[form][:3]),
                "parameters": model.count_params(),
            }
            if form in files:
                row["arena"] = convert.arena_bytes(files[form])
                row["boards"] = [board.verdict(row["bytes"], row["arena"]) for board in BOARDS]
            rows.append(row)
        return rows, logits, files


def _told(progress, words):
    return progress and (lambda done, total: progress(words, done, total))


def _logits(model, x):
    from ..transfer_set import over_batches

    return over_batches(lambda batch: model(batch, training=False), x)


def _accuracy(logits, source):
    return float((logits.argmax(axis=1) == source.data.test.y).mean())


def _size(model):
    """Return the bytes of the model's .keras file, without an optimizer's state."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras", include_optimizer=False)
        return (Path(folder) / "model.keras").stat().st_size


def _layers(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


def _kernels(model):
    """Return the weights of the model's dense and convolutional layers, without biases."""
    return [layer.kernel.numpy() for layer in _layers(model)]


def _accuracies_in_bits(model, source):
    """Return the model's test accuracies with weights of each number of ``BITS``, and last with its own."""
    from ..backend import keras

    own, accuracies = _kernels(model), []
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for bits in (*BITS, None):
        for layer, kernel in zip(_layers(copy), own, strict=True):
            layer.kernel.assign(kernel if bits is None else quantise_weights(kernel, bits))
        accuracies.append(_accuracy(_logits(copy, source.data.test.x), source))
    return accuracies


def _short(values):
    return [round(float(value), 4) for value in values]
