"""The state of a run: what decides goes on as if nothing had happened, and a file is whole or not there."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlab.backend import keras
from kdlab.models import mlp
from kdlab.runs.resuming import TrainingState, state_path
from kdlab.runs.runs import Settings

KEY = {"data": "a", "learning_rate": 0.1}


class Model:
    """What a TrainingState needs of the model that ``fit`` trains."""

    def __init__(self, learning_rate=0.1):
        self.stop_training = False
        self.optimizer = keras.optimizers.Adam(learning_rate)


@pytest.fixture(scope="module")
def student():
    return mlp(2, (), 2, seed=0)


def keeper_of(student, out, wanted, key=KEY):
    keeper = TrainingState(student, wanted, out, key, lambda epoch: None)
    model = Model()
    model.optimizer.build(student.trainable_variables)
    keeper.set_model(model)
    keeper.resume(model.optimizer)
    return keeper


def end_epoch(keeper, accuracy, loss, prefix="val_"):
    keeper.on_epoch_begin(keeper.epochs_done)
    logs = {"loss": 1.0, "accuracy": 0.5, f"{prefix}accuracy": accuracy, f"{prefix}loss": loss}
    keeper.on_epoch_end(keeper.epochs_done, logs)


class Rival:
    """Keras's EarlyStopping and ReduceLROnPlateau, on one number that puts the epochs into the same order."""

    def __init__(self, student, wanted):
        self.model = Model()
        self.model.stop_training = False
        self.parts = [
            keras.callbacks.EarlyStopping("rank", mode="max", patience=wanted.patience),
            keras.callbacks.ReduceLROnPlateau(
                "rank", mode="max", factor=0.5, patience=wanted.reduce_patience, min_delta=0, min_lr=0
            ),
        ]
        for part in self.parts:
            part.set_model(self.model)
            part.on_train_begin()

    def end_epoch(self, epoch, rank):
        for part in self.parts:
            part.on_epoch_end(epoch, {"rank": rank})


CURVES = st.lists(
    st.tuples(st.sampled_from([0.5, 0.6, 0.7]), st.sampled_from([1.0, 2.0, 3.0])), min_size=1, max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(curve=CURVES, patience=st.integers(1, 4), reduce_patience=st.integers(1, 3), interrupted=st.integers(0, 11))
def test_it_stops_halves_and_chooses_as_keras_does_also_after_an_interruption(
    student, tmp_path, curve, patience, reduce_patience, interrupted
):
    out = tmp_path / "out.keras"
    state_path(out).unlink(missing_ok=True)
    wanted = Settings(epochs=len(curve), patience=patience, reduce_patience=reduce_patience, learning_rate=0.1)
    order = sorted(set(curve), key=lambda pair: (pair[0], -pair[1]))
    rival, keeper = Rival(student, wanted), keeper_of(student, out, wanted)
    rates = []
    for epoch, (accuracy, loss) in enumerate(curve):
        if epoch == interrupted:
            keeper = keeper_of(student, out, wanted)
        rates.append(float(rival.model.optimizer.learning_rate.numpy()))
        rival.end_epoch(epoch, order.index((accuracy, loss)))
        end_epoch(keeper, accuracy, loss)
        assert keeper.finished == (rival.model.stop_training or epoch + 1 == len(curve))
        assert keeper.model.stop_training == keeper.finished
        if keeper.finished:
            break
    assert keeper.history["learning_rate"] == pytest.approx(rates)
    assert keeper.model.optimizer.learning_rate.numpy() == rival.model.optimizer.learning_rate.numpy()
    ranks = [order.index(pair) for pair in curve[: keeper.epochs_done]]
    assert keeper.best_epoch == 1 + int(np.argmax(ranks))
    assert keeper.history["val_loss"] == [loss for _, loss in curve[: keeper.epochs_done]]


def test_without_validation_the_training_split_decides(student, tmp_path):
    keeper = keeper_of(student, tmp_path / "out.keras", Settings(epochs=5))
    for accuracy, loss in [(0.5, 1.0), (0.7, 1.0), (0.6, 0.1)]:
        end_epoch(keeper, accuracy, loss, prefix="")
    assert keeper.best_epoch == 2


def test_weights_optimizer_and_best_come_back_bit_by_bit(tmp_path):
    out, student = tmp_path / "out.keras", mlp(3, (4,), 2, seed=0)
    keeper = keeper_of(student, out, Settings(epochs=9))
    optimizer = keeper.model.optimizer
    rng = np.random.default_rng(0)
    weights = []
    for accuracy in (0.5, 0.8, 0.7):
        optimizer.apply([rng.normal(size=w.shape).astype(np.float32) for w in student.weights], student.weights)
        weights.append(student.get_weights())
        end_epoch(keeper, accuracy, 1.0)
    moments = [variable.numpy() for variable in optimizer.variables]

    other = mlp(3, (4,), 2, seed=7)
    again = keeper_of(other, out, Settings(epochs=9))
    assert (again.epochs_done, again.best_epoch, again.seconds) == (3, 2, keeper.seconds)
    assert again.history == keeper.history
    for got, expected in (
        (other.get_weights(), weights[2]),
        (again.best, weights[1]),
        ([variable.numpy() for variable in again.model.optimizer.variables], moments),
    ):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_another_run_left_is_not_used_and_said(student, tmp_path):
    out = tmp_path / "out.keras"
    end_epoch(keeper_of(student, out, Settings()), 0.5, 1.0)
    again = keeper_of(student, out, Settings(), {**KEY, "learning_rate": 0.2, "temperature": 4.0})
    assert again.epochs_done == 0
    assert again.notes == [f"{state_path(out)} was left by a run of other learning_rate, temperature: it is not used."]
    more, fewer = (keeper_of(student, out, Settings(epochs=epochs), again.key) for epochs in (40, 1))
    assert more.notes == fewer.notes == []
    for _ in range(2):
        end_epoch(more, 0.5, 1.0)
    assert keeper_of(student, out, Settings(epochs=1), again.key).notes == [
        f"{state_path(out)} was left by a run of 2 epochs: it is not used."
    ]


def test_a_damaged_state_is_not_used_and_said(student, tmp_path):
    out = tmp_path / "out.keras"
    keeper = keeper_of(student, out, Settings())
    end_epoch(keeper, 0.5, 1.0)
    path = state_path(out)
    content = path.read_bytes()
    kernel = content.index(student.get_weights()[0].tobytes())
    for damaged in (b"", content[:-30], content[:kernel] + bytes([content[kernel] ^ 1]) + content[kernel + 1 :]):
        path.write_bytes(damaged)
        again = keeper_of(student, out, Settings())
        assert again.epochs_done == 0
        assert again.notes == [f"{path} is damaged and not used: the run began anew."]


def test_a_full_disk_is_met_before_the_first_epoch(student, tmp_path, file_size_limit):
    file_size_limit(50)
    with pytest.raises(OSError, match=r"there is no space left in .*: free some, or write to another place"):
        keeper_of(student, tmp_path / "out.keras", Settings())
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_later_does_not_end_the_run(student, tmp_path, file_size_limit):
    out = tmp_path / "out.keras"
    keeper = keeper_of(student, out, Settings())
    end_epoch(keeper, 0.5, 1.0)
    file_size_limit(50)
    end_epoch(keeper, 0.6, 1.0)
    (note,) = keeper.notes
    assert note.startswith(
        f"After epoch 2 the state of the run could not be kept: there is no space left in {tmp_path}"
    )
    assert os.listdir(tmp_path) == ["out.keras.resume"]
    assert keeper_of(student, out, Settings()).epochs_done == 1


def test_what_a_kill_while_writing_left_is_swept_up(student, tmp_path):
    (tmp_path / ".out.keras.resume.123").write_bytes(b"half")
    keeper_of(student, tmp_path / "out.keras", Settings())
    assert os.listdir(tmp_path) == ["out.keras.resume"]


def test_the_key_may_hold_what_json_writes_otherwise(student, tmp_path):
    key = {"shape": (1, 2), "rate": 0.1}
    for _ in range(2):
        assert keeper_of(student, tmp_path / "out", Settings(), key).notes == []
