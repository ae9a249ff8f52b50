"""Chapter 2's students trained with a mistake in the loss, at a slider position. No view in here."""

import numpy as np

from ..datasets.dataset import digits_logits
from ..evaluation import accuracy, mean_interval
from ..mistakes import MISTAKES, equivalent_alpha, mistaken_gradient
from ..scenarios import SCENARIOS, STEPS
from .response_state import SEEDS
from .response_summary import compare

__all__ = ["keras_default", "mistakes"]


def mistakes(state, temperature, alpha, scenario, width):
    """Return, per mistake, what it does to the gradient and to ten students trained with it.

    ``state`` is the ``ResponseState`` whose students they are. ``size`` and ``cosine`` compare the mistake's gradient
    on the shipped logits with the right one. "keras_default" is not trained here: see ``keras_default``.
    """
    position = state.check(temperature, alpha, scenario, width)
    logits, labels = digits_logits(), state.data.test.y
    gradients = {
        name: mistaken_gradient(name, logits["student"], logits["teacher"], labels, *position[:2]) for name in MISTAKES
    }
    right = _right(state, *position)
    return [
        {"name": name}
        | _against(gradients["none"], gradient)
        | _compared(_mistaken(state, name, right, *position), right)
        for name, gradient in gradients.items()
    ]


def keras_default(state, temperature, alpha, scenario, width, seeds=3):
    """Train ``seeds`` students with Keras's own Distiller and its default loss; return their accuracy and difference.

    They begin where our students begin, but Keras shuffles the samples in its own way. Samples without a label are
    left out, for Keras has no use for them, and in the place of an ensemble stands the one shipped teacher, for it takes one.
    """
    from ..backend import keras, tf

    temperature, alpha, scenario, width = state.check(temperature, alpha, scenario, width)
    trainer, right = state.trainer(scenario, width), _right(state, temperature, alpha, scenario, width)
    train = SCENARIOS[scenario].prepare(state.data, state.teacher_logits(scenario, state.data.train.x)).data.train
    labelled = train.y >= 0
    batches = tf.data.Dataset.from_tensor_slices((train.x[labelled], train.y[labelled]))
    batches = batches.shuffle(int(labelled.sum()), seed=0).batch(trainer.batch_size)
    # As one long epoch: Keras's way from one to the next takes longer than the few steps of one.
    batches = batches.repeat(max(1, round(STEPS / len(batches))))
    accuracies = []
    for seed in range(seeds):
        student = right.student(seed, epoch=0)
        distiller = keras.distillation.Distiller(
            teacher=state.teachers(1)[0].student(0),
            student=student,
            distillation_losses=keras.distillation.LogitsDistillation(temperature=temperature),
            student_loss_weight=1 - alpha,
        )
        distiller.compile(
            optimizer=keras.optimizers.Adam(trainer.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        distiller.fit(batches, shuffle=False, verbose=0)
        accuracies.append(accuracy(student.predict(state.data.test.x, verbose=0), state.data.test.y))
    return _compared(np.array(accuracies), right)


def _right(state, temperature, alpha, scenario, width):
    """Return the students of the right loss, with their beginnings."""
    return state.trainer(scenario, width).train(temperature, alpha, seeds=SEEDS, keep_epochs=True)


def _mistaken(state, name, right, temperature, alpha, scenario, width):
    """Return the test accuracies of ten students trained with a mistake, (SEEDS,), or None where it takes long."""
    if name == "none":
        return right.test_accuracy
    if name == "keras_default":
        return None
    if name == "swapped":  # they stay as they began
        predicted = right.logits(state.data.test.x, epoch=0).argmax(axis=-1)
        return (predicted == state.data.test.y).mean(axis=1)
    if name == "probabilities":
        return state.trainer_on_probabilities(scenario, width).train(temperature, alpha, seeds=SEEDS).test_accuracy
    # A factor on the whole loss hardly matters to Adam, so the right loss with another alpha is the same training.
    alpha = equivalent_alpha(name, temperature, alpha)
    return state.trainer(scenario, width).train(temperature, alpha, seeds=SEEDS).test_accuracy


def _against(right, gradient):
    """Return the size of a gradient as a multiple of the right one's, and the cosine between them; None without any."""
    norm, of_right = np.linalg.norm(gradient), np.linalg.norm(right)
    return {
        "size": float(norm / of_right),
        "cosine": float((gradient * right).sum() / norm / of_right) if norm else None,
    }


def _compared(accuracies, right):
    """Return mean and interval of accuracies (seeds,), or None, and the difference to the same seeds of ``right``."""
    if accuracies is None:
        return {"accuracy": None, "difference": None}
    return {
        "accuracy": list(mean_interval(accuracies)),
        "difference": compare(accuracies, right.test_accuracy[: len(accuracies)]),
    }
