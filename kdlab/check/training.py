"""The check of chapter 2's exercise that trains: one step of a distiller, in Keras."""

import functools

import numpy as np

from .judging import Exercise, exercise
from .response import mixed, swapped
from .temperature import numerical_gradient

RATE = 0.5  # of plain gradient descent


def _step(loss, rate=RATE):
    """Return what a step down a ``loss`` makes of a linear student: kernel, bias, and what must stay as it was."""

    def after(x, y, kernel, bias, teacher_kernel, T, alpha):
        def cost(kernel, bias):
            return loss(x @ kernel + bias, x @ teacher_kernel, y, T, alpha)

        of_kernel = numerical_gradient(lambda at: cost(at, bias), kernel)
        of_bias = numerical_gradient(lambda at: cost(kernel, at), bias)
        return kernel - rate * of_kernel, bias - rate * of_bias, teacher_kernel, 1, 0

    return after


@functools.cache
def _networks(inputs, classes):
    """Return a linear student and teacher in Keras, made once per process: that takes longer than the rest of a check."""
    from ..backend import keras

    class Linear(keras.Model):
        """``x @ kernel + bias``, which remembers in ``modes`` of each call whether it was in training."""

        def __init__(self, use_bias):
            super().__init__()
            self.dense, self.modes = keras.layers.Dense(classes, use_bias=use_bias), []
            self.dense.build((None, inputs))
            self.built = True

        def call(self, inputs, training=None):
            self.modes.append(bool(training))
            return self.dense(inputs)

    return Linear(use_bias=True), Linear(use_bias=False)


def _run(answer, x, y, kernel, bias, teacher_kernel, T, alpha):
    """Run an answer on a linear student and teacher of these weights; return weights, and whether each was in training."""
    from ..backend import keras

    student, teacher = networks = _networks(*kernel.shape)
    for network, weights in zip(networks, ([kernel, bias], [teacher_kernel]), strict=True):
        network.trainable = True  # an answer may have frozen it
        network.set_weights(weights)
        network.modes.clear()
        network.predict_function = None  # one kept from the last answer would not call the network's Python again
    inputs = x.astype(np.float32), y.astype(np.int32)
    answer(student, teacher, keras.optimizers.SGD(RATE), *inputs, T, alpha)
    modes = (-1 if not network.modes else int(any(network.modes)) for network in networks)
    return *student.get_weights(), teacher.get_weights()[0], *modes


def _explain(found, x, y, kernel, bias, teacher_kernel, T, alpha):
    teacher, student_mode, teacher_mode = found[2:]
    if not np.allclose(teacher, teacher_kernel, atol=1e-6):
        return (
            "The teacher changed: it answers, but it does not learn. Give the optimizer the student's variables alone."
        )
    if student_mode < 0 or teacher_mode < 0:
        return f"The {'student' if student_mode < 0 else 'teacher'} was never asked for its logits."
    if teacher_mode:
        return "The teacher ran in training mode: its dropout would answer at random. Call it with training=False."
    if not student_mode:
        return "The student did not run in training mode: its dropout would be off. Call it with training=True."
    return ""


@exercise
def training_step(random):
    """Check ``training_step(student, teacher, optimizer, x, y, T, alpha)`` on linear networks, against finite differences.

    What counts are the student's weights after the step; what the answer returns does not.
    """
    x, y = random.normal(0, 1, (6, 2)), random.integers(0, 3, 6)  # few weights, for each costs differences of its own
    kernel, bias, teacher_kernel = random.normal(0, 1, (2, 3)), random.normal(0, 1, 3), random.normal(0, 2, (2, 3))
    return Exercise(
        cases=[(x, y, kernel, bias, teacher_kernel, 3.0, 0.7)],
        reference=_step(mixed()),
        mistakes={
            "The student did not change: the gradient must be applied to its variables.": _step(mixed(), rate=0.0),
            "The student climbs: the step goes along the gradient, and must go against it.": _step(mixed(), rate=-RATE),
            "T² is missing in front of the teacher's term.": _step(mixed(soft=lambda T, a: a)),
            "The teacher's term is multiplied by T where it must be T².": _step(mixed(soft=lambda T, a: a * T)),
            "α is the other way round: it weights the teacher's term, and 1 − α the labels'.": (
                _step(mixed(lambda T, a: a, lambda T, a: (1 - a) * T**2))
            ),
            "T² is on the wrong term: it belongs to the teacher's.": (
                _step(mixed(lambda T, a: (1 - a) * T**2, lambda T, a: a))
            ),
            "The labels' term has no weight: it counts in full at every α.": _step(mixed(lambda T, a: 1.0)),
            "The labels are not used: the term of the teacher is the only one.": _step(mixed(lambda T, a: 0.0)),
            "The teacher is not used: the term of the labels is the only one.": _step(mixed(soft=lambda T, a: 0.0)),
            "The labels' term is softened too: it takes the student at T = 1.": _step(mixed(hard_T=lambda T: T)),
            "The teacher's term is not softened: both of its answers are taken at T = 1.": (
                _step(mixed(soft_T=lambda T: 1.0))
            ),
            "Teacher and student are swapped in the soft term: the student's logarithm is weighted by the teacher's "
            "probabilities, not the other way round.": _step(swapped),
            "The loss is the sum over the batch: the step would grow with it. Take the mean.": _step(
                mixed(reduce=np.sum)
            ),
            "The loss is the mean over the classes too: the cross-entropy sums over the classes.": (
                _step(mixed(reduce=lambda loss: np.mean(loss) / len(bias)))
            ),
        },
        right="The student took the right step, and the teacher stayed as it was.",
        hint="Are all cross-entropies computed from logits (from_logits=True), and is the mean taken over the batch?",
        returns=("kernel", "bias", "teacher", "student's mode", "teacher's mode"),
        tolerance=1e-4,
        call=_run,
        explain=_explain,
    )
