"""The teacher of the digits chapters, and the script that makes the shipped logits: ``python -m kdlab.teachers.digits``."""

import numpy as np

from ..backend import keras
from ..datasets.dataset import DATA, load
from ..models import mlp

__all__ = ["begun_student", "digits_teacher", "write_digits_logits"]


def digits_teacher(data=None, seed=0, epochs=60):
    """Return a teacher for digits, trained now (a few seconds): dense 64-256-256-10, dropout, logits out."""
    data = data or load("digits")
    keras.utils.set_random_seed(seed)
    teacher = mlp(64, (256, 256), 10, dropout=0.3, seed=seed, name="teacher")
    _fit(teacher, data, epochs)
    return teacher


def begun_student(data=None, seed=1):
    """Return a student, dense 64-16-10, after three epochs on the hard labels: it still has much to learn."""
    data = data or load("digits")
    keras.utils.set_random_seed(seed)
    student = mlp(64, (16,), 10, seed=seed, name="student")
    _fit(student, data, epochs=3)
    return student


def _fit(model, data, epochs):
    model.compile(
        optimizer=keras.optimizers.Adam(0.002),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data.train.x, data.train.y, batch_size=64, epochs=epochs, verbose=0)


def write_digits_logits(path=DATA / "digits_logits.npz"):
    """Train both and write their logits on the test split, float32."""
    data = load("digits")
    logits = {
        name: model.predict(data.test.x, verbose=0).astype(np.float32)
        for name, model in (("teacher", digits_teacher(data)), ("student", begun_student(data)))
    }
    np.savez_compressed(path, **logits)
    return logits


if __name__ == "__main__":
    labels = load("digits").test.y
    for name, logits in write_digits_logits().items():
        print(f"{name}: test accuracy {(logits.argmax(axis=1) == labels).mean():.4f}")
