"""Students trained one after another in one kept model: as Keras trains each by itself; progress, stop and kinds."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdlab.backend import keras, tf
from kdlab.live.sequential import KeptModel, SequentialTrainer

EPOCHS, STEPS = 2, 3
X = np.random.default_rng(0).normal(size=(EPOCHS * STEPS, 4, 5)).astype(np.float32)  # all batches of a seed


def dense():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])


def begun(seed):
    student = dense()
    student.set_weights([np.random.default_rng(seed).normal(size=w.shape) for w in student.get_weights()])
    return student


def batches(target):
    return tf.data.Dataset.from_tensor_slices((X, np.full((*X.shape[:2], 1), target, np.float32)))


class Learner(keras.Model):
    def __init__(self):
        super().__init__()
        self.student = dense()

    def call(self, x):
        return self.student(x)


class Trainer(SequentialTrainer):
    """Trains a layer to return ``target``, whatever it gets."""

    def __init__(self):
        super().__init__(EPOCHS)
        learner = Learner()
        learner.compile(keras.optimizers.Adam(0.1), "mse", steps_per_execution=STEPS)
        learner(X[0])
        self.kept, self.trained = KeptModel(learner), []

    def train(self, target=1.0, seeds=1, progress=None, stop=None):
        self.trained.append(target)
        losses, biases = np.full((2, seeds, EPOCHS), np.nan)
        result = SimpleNamespace(train_loss=losses, bias=biases, students=[])

        def begin(seed):
            student = begun(seed)
            self.kept.begin(student)
            return student, batches(target)

        def judge(result, place):
            (result.bias[place],) = self.kept.model.student.get_weights()[1]
            assert result.students[-1].get_weights()[1] == result.bias[place].astype(np.float32)

        return self._train(result, self.kept, begin, judge, progress, stop)


@pytest.fixture(scope="module")
def trainer():
    return Trainer()


def test_each_student_is_trained_as_keras_trains_it_by_itself(trainer):
    trainer.train(target=-3.0, seeds=2)  # of which nothing is left
    found = trainer.train(seeds=2)
    for seed in range(2):
        alone = begun(seed)
        alone.compile(keras.optimizers.Adam(0.1), "mse")
        history = alone.fit(batches(1.0), steps_per_epoch=STEPS, epochs=EPOCHS, shuffle=False, verbose=0).history
        np.testing.assert_allclose(found.train_loss[seed], history["loss"], rtol=1e-5)
        for ours, theirs in zip(found.students[seed].get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert np.isfinite(found.bias).all()


def test_progress_counts_the_epochs_of_all_seeds_and_a_stop_keeps_what_there_is(trainer):
    seen = []

    def progress(done, total, result):
        seen.append((done, total, np.isfinite(result.train_loss).sum(), len(result.students)))

    found = trainer.train(seeds=3, progress=progress, stop=lambda: len(seen) == 3)
    assert seen == [(1, 6, 1, 1), (2, 6, 2, 1), (3, 6, 3, 2)]
    assert len(found.students) == 2
    for curve in (found.train_loss, found.bias):
        assert np.isfinite(curve).tolist() == [[True, True], [True, False], [False, False]]


def test_of_several_kinds_only_what_changed_is_trained_again(trainer, monkeypatch):
    for name, nothing in {"trained": [], "finished": {}, "_settings": {}}.items():
        monkeypatch.setattr(trainer, name, nothing)
    told = []
    kinds = {"one": {"target": 1.0}, "two": {"target": 2.0}}
    first = trainer.train_kinds(kinds, 2, lambda done, total, results: told.append((done, total, list(results))))
    assert told == [(k, 8, ["one"] if k <= 4 else ["one", "two"]) for k in range(1, 9)]
    second = trainer.train_kinds(kinds | {"two": {"target": 3.0}}, 2)
    assert trainer.trained == [1.0, 2.0, 3.0]
    assert second["one"] is first["one"]
    assert trainer.finished == second
    assert trainer.train_kinds({"one": {"target": 1.0}}, 1)["one"] is not first["one"]
    assert trainer.trained == [1.0, 2.0, 3.0, 1.0]


def test_a_stop_keeps_the_kinds_that_were_finished_before(trainer):
    whole = trainer.train_kinds({"one": {}}, 1)
    stopped = trainer.train_kinds({"one": {"target": 5.0}, "two": {}}, 1, stop=lambda: True)
    assert list(stopped) == ["one"]
    assert np.isnan(stopped["one"].train_loss).tolist() == [[False, True]]
    assert trainer.finished == whole


def test_a_stop_at_a_kind_s_last_epoch_keeps_it_and_begins_no_other(trainer):
    told = []
    found = trainer.train_kinds(
        {"one": {"target": 7.0}, "two": {}}, 1, lambda *_: told.append(1), lambda: len(told) == EPOCHS
    )
    assert list(found) == ["one"]
    assert trainer.finished["one"] is found["one"]


def test_what_does_not_fit_is_refused(trainer):
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
        SequentialTrainer(0)
    with pytest.raises(ValueError, match="seeds must be a whole number of at least 1, got 0"):
        trainer.train_kinds({"one": {}}, 0)
