"""What chapter 5's cells call: students of digits (at once) and of nuclei (in seconds), and its tables."""

from functools import partial

import numpy as np
from ipywidgets import Label

from .. import export, figures
from ..datasets.dataset import digits_logits
from ..datasets.load import load
from ..datasets.nuclei import CLASS_NAMES, load_nuclei
from ..evaluation import accuracy, agreement, paired_difference, wilson_interval
from ..export.boards import kib
from ..scenarios import SCENARIOS
from ..softening import softmax
from .controls import points, table, verdict
from .memo import once

DIGITS = {SCENARIOS[name].title: name for name in ("few", "unlabelled", "all")}
TASKS = {f"Digits: {title}": name for title, name in DIGITS.items()} | {"Nuclei: all 551 labels": "nuclei"}
WIDTHS = ("narrow", "medium", "wide")
UNITS = dict(zip(WIDTHS, (8, 16, 64), strict=True))
CHANNELS = dict(zip(WIDTHS, ((4, 8, 16), (8, 16, 32), (16, 32, 64)), strict=True))
SIZE = 48  # pixels a side of a nucleus's crop
PAIRS = {name: 5 if name == "nuclei" else 10 for name in TASKS.values()}
KINDS = ("alone, float32", "alone, int8", "distilled, float32", "distilled, int8")


@once
def prepared(task):
    """Return the training set of a digit task, with the teacher's logits on it; see ``kdlab.scenarios``."""
    return SCENARIOS[task].prepare(load("digits"), digits_logits("train")["teacher"][None])


@once
def data(task):
    """Return a task's ``Dataset``: what its students are trained and tested on."""
    return load_nuclei(size=SIZE) if task == "nuclei" else prepared(task).data


@once
def teacher(task):
    """Return the shipped teacher of a task, a ``keras.Model``."""
    from ..teachers import digits, nuclei

    return nuclei.nuclei_teacher() if task == "nuclei" else digits.digits_teacher()


def build(task, width, seed=0):
    """Return an untrained student: dense 64-units-10, or of nuclei three convolutions at half their resolution."""
    from ..backend import keras
    from ..models import mlp, small_cnn

    if task != "nuclei":
        return mlp(64, (UNITS[width],), 10, seed=seed)
    blocks = small_cnn((SIZE // 2, SIZE // 2, 3), len(CLASS_NAMES), seed, channels=CHANNELS[width]).layers
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(2), *blocks], name="student")


@once
def live_trainer(task, width):
    """Return the trainer of a task's students of this width."""
    from ..live.convolutional import ConvolutionalTrainer
    from ..live.trainer import LiveTrainer

    if task == "nuclei":
        new = partial(build, task, width)
        return ConvolutionalTrainer(data(task), teacher(task), new, epochs=15, batch_size=32, learning_rate=0.001)
    made = prepared(task)
    return LiveTrainer(made.data, build(task, width), made.teacher_logits, made.epochs, made.batch_size)


def representative(task, count=200, seed=0):
    """Return ``count`` training samples drawn at random, fewer where there are fewer: (N, …)."""
    x = data(task).train.x
    return x[np.sort(np.random.default_rng(seed).permutation(len(x))[:count])]


class Students:
    """Trained students by task, width, temperature and alpha (0 is the student alone), one per seed.

    Those of digits are trained at every call. Those of nuclei take seconds each: they are trained only for a caller
    with ``progress`` (a ``lab.Progress``), and kept; ``trained`` is a label that says which there are.
    """

    def __init__(self):
        self._kept, self.trained = {}, Label("Nuclei: none trained yet")

    def __call__(self, task, width, temperature, alpha, count, progress=None):
        """Return ``count`` ``keras.Model``s; of nuclei those that there are, fewer after a stop.

        Raises ValueError where training diverged.
        """
        if task != "nuclei":
            result = live_trainer(task, width).train(temperature, alpha, seeds=PAIRS[task])
            if result.message:
                raise ValueError(result.message)
            return [result.student(seed) for seed in range(count)]
        key = (width, temperature if alpha else 1.0, alpha)
        if len(self._kept.get(key, ())) < count and progress is not None:
            told = {"progress": lambda done, total, _: progress(done, total), "stop": progress.stopped}
            result = live_trainer(task, width).train(*key[1:], seeds=count, **told)
            whole = np.isfinite(result.test_accuracy)
            found = [student for student, done in zip(result.students, whole, strict=False) if done]
            if len(found) > len(self._kept.get(key, ())):  # a stop may leave fewer than there were
                self._kept[key] = found
                how = f"T = {temperature:.3g}, α = {alpha:.2f}" if alpha else "without a teacher"
                self.trained.value = f"Nuclei, trained last: {len(found)}, {width}, {how}"
        return self._kept.get(key, [])[:count]


@once
def _teacher_forms(nuclei):
    task = "nuclei" if nuclei else "all"  # the digits have one teacher
    return export.forms(teacher(task), representative(task), data(task).test.x)


def compare(task, student):
    """Return a table of a student's and its teacher's forms on the test samples, and in words what int8 changes."""
    test, forms, rows = data(task).test, export.forms(student, representative(task), data(task).test.x), []
    of_teacher = _teacher_forms(task == "nuclei")
    for name, model, found in (("student", student, forms), ("teacher", teacher(task), of_teacher)):
        products = f"{export.multiply_adds(model).total:,}"
        rows += [_row(f"{name}, {kind}", form, found["Keras"].logits, test.y, products) for kind, form in found.items()]
    heads = [
        "",
        "test accuracy (95 % interval)",
        "agrees with Keras",
        "file",
        "arena",
        "multiply-adds",
        "µs a sample (quartiles)",
    ]
    float32, int8 = forms["float32"], forms["int8"]
    words = (
        f"{changed(float32.logits, int8.logits, test.y)} In int8 the file has {int8.file / float32.file:.0%} of its "
        f"float32 bytes, and here a sample takes {int8.seconds.median / float32.seconds.median:.2g} times as long."
    )
    return table(rows, heads), words


def changed(float32, int8, y):
    """Say what int8 changes: both are logits (N, C) on samples of the classes ``y`` (N,)."""
    before, after = float32.argmax(axis=1), int8.argmax(axis=1)
    lost, won = ((before == y) & (after != y)).sum(), ((before != y) & (after == y)).sum()
    return (
        f"Test accuracy: float32 {np.mean(before == y):.1%}, int8 {np.mean(after == y):.1%}. Of {len(y)} samples int8 puts "
        f"{(before != after).sum()} in another class: {lost} from right to wrong, {won} from wrong to right."
    )


def _row(name, form, logits, y, products):
    right = wilson_interval(int((form.logits.argmax(axis=1) == y).sum()), len(y))
    median, low, high = (f"{1e6 * second:.0f}" for second in form.seconds[:3])
    return [
        name,
        f"{right.mean:.1%} ({right.low:.1%} to {right.high:.1%})",
        f"{agreement(logits, form.logits):.1%}",
        kib(form.file),
        "" if form.arena is None else kib(form.arena),
        products,
        f"{median} ({low} to {high})",
    ]


@once
def needs(task, width):
    """Return {name: (file, arena)}, in bytes, of the student's and the teacher's LiteRT files.

    Both depend on the layers, hardly on the weights, so the student is an untrained one. (Its weights are moved a
    little: the converter leaves out biases that are 0.)
    """
    student = build(task, width)
    student.set_weights([w + 0.1 * np.random.default_rng(0).random(w.shape) for w in student.get_weights()])
    found = {}
    for name, model in {"student": student, "teacher": teacher(task)}.items():
        files = {"float32": export.to_tflite(model), "int8": export.to_tflite_int8(model, representative(task, 10))}
        found |= {f"{name}, {form}": (len(file), export.arena_bytes(file)) for form, file in files.items()}
    return found


def fit(board, file, arena=None):
    """Say whether a model fits on a board, and the share of the memory that is fuller; an unknown ``arena`` is not counted."""
    shares = {"flash": file / board.flash} | ({} if arena is None else {"RAM": arena / board.ram})
    fullest, word = max(shares, key=shares.get), board.verdict(file, arena or 0)
    sign = {"fits": "✓", "close": "≈", "does not fit": "✗"}[word]
    return f"{sign} {word}: {fullest} {100 * shares[fullest]:.3g}\u00a0%"


def before_and_after(student, task):
    """Return the test accuracies of a student in float32 and in int8."""
    test = data(task).test
    int8 = export.run_tflite(export.to_tflite_int8(student, representative(task)), test.x)
    return [accuracy(logits, test.y) for logits in (np.asarray(student(test.x, training=False)), int8)]


def differences(found):
    """Return a figure of pairs of students, what distilling is worth in int8, in words, and a table of four differences.

    ``found`` (pairs, 4) are test accuracies in the order of ``KINDS``. Raises ValueError for fewer than two pairs.
    """
    if len(found) < 2:
        raise ValueError("Stopped before there were two pairs: there is nothing to compare")
    accuracies = dict(zip(KINDS, np.transpose(found), strict=True))
    alone, alone_int8, distilled, distilled_int8 = KINDS
    asked = (distilled_int8, alone_int8), (distilled, alone), (alone_int8, alone), (distilled_int8, distilled)
    each = [paired_difference(accuracies[first], accuracies[second]) for first, second in asked]
    rows = [
        [f"({first}) − ({second})", points(d.mean), f"{points(d.low)} to {points(d.high)}"]
        for (first, second), d in zip(asked, each, strict=True)
    ]
    said = verdict(each[0], "distilled and quantised", "quantised only")
    picture = figures.strip(accuracies, title=f"{len(found)} pairs: each dot is a student")
    return picture, said, table(rows, ["difference", "percentage points", "95 % interval"])


def copy(model):
    """Return a ``keras.Model`` with the same layers and weights."""
    from ..backend import keras

    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    return twin


def step(student, unrounded, made, temperature, alpha):
    """Return a function that takes one step of Adam: the gradient at ``student``'s weights moves those of ``unrounded``.

    The loss is distillation's, on all of ``made`` at once; digits without a label (−1) have no hard term.
    """
    from ..backend import keras, tf

    optimizer, cross_entropy = keras.optimizers.Adam(0.003), tf.nn.softmax_cross_entropy_with_logits
    optimizer.build(unrounded.trainable_variables)
    hard = tf.one_hot(made.data.train.y, len(made.data.class_names))
    soft = softmax(made.teacher_logits, temperature).astype(np.float32)

    @tf.function
    def take():
        with tf.GradientTape() as tape:
            logits = student(made.data.train.x)
            hard_loss, soft_loss = cross_entropy(hard, logits), cross_entropy(soft, logits / temperature)
            loss = tf.reduce_mean((1 - alpha) * hard_loss + alpha * temperature**2 * soft_loss)
        optimizer.apply(tape.gradient(loss, student.trainable_variables), unrounded.trainable_variables)

    return take


def trained_on(students, made, train, ways, bits, progress):
    """Return {name: test accuracies} of digit students whose weights have few ``bits``, (students,) each.

    ``ways`` is {name: keywords for ``train(student, made, bits, **keywords)``, or {} for rounding alone}.
    """
    found, test = {name: [] for name in ways}, made.data.test
    for done, student in enumerate(students, 1):
        weights = student.get_weights()
        for name, how in ways.items():
            student.set_weights(weights)
            if how:
                train(student, made, bits, **how)
            student.set_weights(export.quantise_model(student.get_weights(), bits))
            found[name].append(accuracy(np.asarray(student(test.x)), test.y))
        progress(done, len(students))
        if progress.stopped():
            break
    if len(found[name]) < 2:
        raise ValueError("Stopped before there were two students: there is nothing to compare")
    return found
