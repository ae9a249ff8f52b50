"""``distill``: from a teacher, a student and data to a distilled student, beside the same student alone."""

from dataclasses import dataclass

import numpy as np

from .backend import keras
from .datasets.dataset import Dataset
from .distiller import Distiller
from .execution import batches, build_state, choose_execution, count_steps, seed_layers
from .foreign_models import ready, warn_at_chance
from .losses import ensemble_logits
from .softening import cross_entropy


@dataclass(frozen=True)
class Result:
    """What ``distill`` returns.

    ``history`` maps each of Keras's names ("loss", "accuracy", "val_loss", …) to its value per epoch.
    ``metrics`` are those on the test split: "accuracy" (0 to 1) and "loss", the cross-entropy with the labels
    in nats; for the distilled student, the student alone and the teacher.
    """

    student: keras.Model
    history: dict
    metrics: dict
    student_alone: keras.Model
    student_alone_history: dict
    student_alone_metrics: dict
    teacher_metrics: dict

    def __repr__(self):
        named = {"distilled": self.metrics, "alone": self.student_alone_metrics, "teacher": self.teacher_metrics}
        words = (f"{name} {100 * metrics['accuracy']:.1f} %" for name, metrics in named.items())
        return f"Result(test accuracy: {', '.join(words)})"


def distill(
    teacher,
    student,
    data,
    temperature=4.0,
    alpha=0.9,
    epochs=30,
    batch_size=64,
    learning_rate=0.01,
    seed=0,
    verbose=0,
):
    """Train ``student`` with labels and the teacher's logits, a copy with the labels alone: a ``Result``.

    Both start from the student's present weights and see the same batches in the same order, with Adam at
    ``learning_rate`` (0.01 suits small dense students, 0.001 larger and convolutional ones): what differs is
    due to the loss. ``student`` itself becomes the distilled one; the teacher, a ``keras.Model`` that
    returns logits or a list of them, is not changed; it gets the samples in the range of pixels that its first layers
    speak of, and a warning says where it is at chance level. ``data`` is a ``kdlab.Dataset``; ``temperature``,
    ``alpha`` and the loss are those of ``kdlab.Distiller``; ``seed`` becomes Keras's global seed; ``verbose``
    as in ``fit``.

    The defaults suit about a thousand training samples. Fewer make fewer steps an epoch: ``suggest`` of
    ``kdlab.runs.runs`` says how many epochs of which batches the command line takes for so many samples.

    Raises ValueError and FloatingPointError as ``Distiller`` does, and ValueError for a teacher that ends in a sigmoid.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"data must be a kdlab.Dataset, as kdlab.load returns, got {type(data).__name__}")
    if teacher is None:
        raise ValueError("teacher must be a keras.Model or a list of them, got None")
    several = isinstance(teacher, (list, tuple))
    teachers = list(teacher) if several else [teacher]
    adapted = ready(teachers)
    distiller = Distiller(
        teacher=adapted if several else adapted[0], student=student, temperature=temperature, alpha=alpha
    )
    warn_at_chance(teachers, data, stacklevel=2)
    student(data.train.x[:1], training=False)  # Builds it, if need be: a copy needs weights to start from.
    alone = keras.models.clone_model(student)
    alone.set_weights(student.get_weights())

    # In large batches, and of arrays that no function of TensorFlow reads: else it takes longer than the training.
    judged = batches(data.validation, max(batch_size, 256)) if len(data.validation) else None
    histories, labelled = [], np.flatnonzero(data.train.y >= 0)
    hard_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for model, loss in ((distiller, None), (alone, hard_loss)):
        x, y = data.train.x, data.train.y
        if model is alone and len(labelled) < len(y):
            x, y = x[labelled], y[labelled]
        steps = count_steps(x, batch_size)
        keras.utils.set_random_seed(seed)
        seed_layers(model, seed)
        model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss, metrics=["accuracy"])
        if model is alone:  # a Distiller does both by itself
            build_state(alone, len(data.class_names))
            choose_execution(alone, alone, epochs * steps)
        fitted = model.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=judged,
            verbose=verbose,
        )
        histories.append(fitted.history)

    teacher_logits = distiller.teacher_logits(data.test.x)
    if teacher_logits.ndim == 3:
        teacher_logits = ensemble_logits(teacher_logits, 1.0).numpy()
    return Result(
        student=student,
        history=histories[0],
        metrics=_metrics(student.predict(data.test.x, verbose=0), data.test.y),
        student_alone=alone,
        student_alone_history=histories[1],
        student_alone_metrics=_metrics(alone.predict(data.test.x, verbose=0), data.test.y),
        teacher_metrics=_metrics(teacher_logits, data.test.y),
    )


def _metrics(logits, labels):
    return {
        "accuracy": float(np.mean(logits.argmax(axis=1) == labels)),
        "loss": float(np.mean(cross_entropy(labels, logits))),
    }
