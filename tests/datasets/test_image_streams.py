"""Streams: the batches of an epoch are those that plain indexing of the arrays gives, whatever holds the images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlab import Distiller
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Split, epoch_order
from kdlab.datasets.image_streams import stream
from kdlab.datasets.stored_images import StoredImages, to_float

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 3, 2), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, 40).astype(np.int32)
LOGITS = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)


def split(samples=40, stored=False):
    rows = np.arange(40)[::-1][:samples]
    return Split(StoredImages(PIXELS, rows) if stored else to_float(PIXELS, rows), LABELS[rows])


def batches(dataset):
    """Every batch as a flat list of arrays."""
    return [[part.numpy() for part in tf.nest.flatten(batch)] for batch in dataset]


def expected(whole, batch_size, orders, logits=None, drop_remainder=False):
    """The same by indexing."""
    arrays = [whole.x[:], whole.y] + ([] if logits is None else [logits])
    found = []
    for order in orders:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            if len(rows) == batch_size or not drop_remainder:
                found.append([array[rows] for array in arrays])
    return found


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, other)
            assert mine.dtype == other.dtype


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.none() | st.integers(0, 2**32),
    epoch=st.integers(0, 500),
    epochs=st.integers(1, 3),
    stored=st.booleans(),
    taught=st.booleans(),
    drop_remainder=st.booleans(),
)
def test_batches_are_those_of_indexing(samples, batch_size, seed, epoch, epochs, stored, taught, drop_remainder):
    if drop_remainder:
        batch_size = min(batch_size, samples)
    whole, logits = split(samples, stored), LOGITS[:samples] if taught else None
    dataset = stream(whole, batch_size, seed, epoch, logits, epochs, drop_remainder)
    orders = [
        np.arange(samples) if seed is None else np.random.default_rng((seed, epoch + k)).permutation(samples)
        for k in range(epochs)
    ]
    wanted = expected(whole, batch_size, orders, logits, drop_remainder)
    assert_same(batches(dataset), wanted)
    assert int(dataset.cardinality()) == len(wanted)


def test_teacher_logits_come_beside_the_labels():
    for logits in (LOGITS, LOGITS[:, None], LOGITS.astype(np.float64)):
        x, (y, found) = next(iter(stream(split(), 8, teacher_logits=logits)))
        assert (x.shape, y.shape) == ((8, 4, 3, 2), (8,))
        np.testing.assert_array_equal(found, logits[:8].astype(np.float32))
        assert found.dtype == tf.float32


def test_shapes_are_known_before_the_first_batch():
    x, (y, logits) = stream(split(), 16, teacher_logits=LOGITS).element_spec
    assert [spec.shape.as_list() for spec in (x, y, logits)] == [[None, 4, 3, 2], [None], [None, 3]]
    assert (x.dtype, y.dtype, logits.dtype) == (tf.float32, tf.int32, tf.float32)
    x, y = stream(split(), 16, drop_remainder=True).element_spec
    assert [spec.shape.as_list() for spec in (x, y)] == [[16, 4, 3, 2], [16]]


def test_every_iteration_is_the_same_and_every_epoch_another():
    dataset = stream(split(), 16, seed=1)
    assert_same(batches(dataset), batches(dataset))
    orders = {tuple(np.concatenate([y for _, y in batches(stream(split(), 16, 1, epoch))])) for epoch in range(5)}
    assert len(orders) == 5
    assert len({tuple(epoch_order(40, seed, 0)) for seed in range(5)}) == 5


def test_without_an_end_the_epochs_go_on():
    endless = stream(split(), 16, seed=1, epoch=3, epochs=None)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert_same(batches(endless.take(9)), batches(stream(split(), 16, seed=1, epoch=3, epochs=3)))


def test_a_training_that_is_resumed_comes_to_the_same_weights():
    def model():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((4, 3, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
        student = keras.Sequential(layers)
        student.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return student

    def fit(student, first, last):
        endless = stream(split(stored=True), 16, seed=1, epoch=first, epochs=None)
        student.fit(endless, steps_per_epoch=3, initial_epoch=first, epochs=last, shuffle=False, verbose=0)
        return student.get_weights()

    whole = fit(model(), 0, 4)
    student = model()
    fit(student, 0, 2)
    for mine, other in zip(whole, fit(student, 2, 4), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_student_is_distilled_from_a_stream_as_from_arrays():
    def distilled(fit):
        keras.utils.set_random_seed(0)
        layers = [keras.Input((4, 3, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
        student = keras.Sequential(layers)
        distiller = Distiller(teacher=None, student=student, temperature=2.0, alpha=0.7)
        distiller.compile("sgd")
        fit(distiller)
        return student.get_weights()

    taught = stream(split(stored=True), 16, teacher_logits=LOGITS)
    streamed = distilled(lambda model: model.fit(taught, shuffle=False, verbose=0))
    arrays = split()
    whole = distilled(
        lambda model: model.fit(arrays.x, arrays.y, teacher_logits=LOGITS, batch_size=16, shuffle=False, verbose=0)
    )
    for mine, other in zip(streamed, whole, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be .* got 2.5"),
        ({"batch_size": None}, "batch_size must be .* got None"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"epoch": -1}, "epoch must be a whole number of at least 0, got -1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 41, "drop_remainder": True}, "batch_size must be at most 40, the number of samples"),
        ({"teacher_logits": LOGITS[:39]}, r"teacher_logits must have 40 rows, one per sample, got shape \(39, 3\)"),
        ({"teacher_logits": LOGITS[:, 0]}, r"teacher_logits must .* got shape \(40,\)"),
        ({"teacher_logits": np.full((40, 3), np.nan)}, "teacher_logits must be finite"),
    ],
)
def test_stream_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        stream(split(), **{"batch_size": 8, **options})


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="the split is empty"):
        stream(split(0), 8)
