"""The batches of an epoch: all samples once, in the order that seed and epoch say."""

import numpy as np
import pytest

from kdlab.datasets.dataset import Split, epoch_order
from kdlab.runs.epoch_batches import EpochBatches

SAMPLES = 10


def split():
    images = np.random.default_rng(0).random((SAMPLES, 2, 2, 1), np.float32)
    return Split(images, np.arange(SAMPLES, dtype=np.int32) % 3)


def epochs_of(epochs, first, number):
    """The batches of ``number`` epochs from ``first`` on, as fit takes them."""
    batches = epochs.batches()
    iterator = iter(batches)
    for epoch in range(first, first + number):
        epochs.begin(epoch)
        yield [next(iterator) for _ in range(epochs.steps)]
        assert next(iterator, None) is None
        iterator = iter(batches)  # as Keras does it: before the next epoch has begun


@pytest.mark.parametrize(("batch_size", "whole", "steps"), [(4, False, 3), (4, True, 2), (5, True, 2), (20, True, 1)])
def test_every_epoch_in_its_own_order(batch_size, whole, steps):
    data, logits = split(), np.random.default_rng(1).normal(size=(SAMPLES, 3)).astype(np.float32)
    batches = EpochBatches(data, np.arange(SAMPLES), batch_size, 7, logits, whole)
    assert batches.steps == steps
    for epoch, found in enumerate(epochs_of(batches, 3, 2), 3):
        order = epoch_order(SAMPLES, 7, epoch)
        for number, (x, (y, targets)) in enumerate(found):
            rows = order[number * batch_size : (number + 1) * batch_size]
            np.testing.assert_array_equal(x, data.x[rows])
            np.testing.assert_array_equal(y, data.y[rows])
            np.testing.assert_array_equal(targets, logits[rows])
            assert (x.dtype, y.dtype, targets.dtype) == ("float32", "int32", "float32")


def test_labels_alone():
    ((first, *_),) = epochs_of(EpochBatches(split(), np.arange(SAMPLES), 4, 0), 0, 1)
    x, y = first
    assert (x.shape, y.shape) == ((4, 2, 2, 1), (4,))


def test_some_rows_only():
    data, rows = split(), np.array([1, 4, 9, 2, 7])
    (found,) = epochs_of(EpochBatches(data, rows, 2, 0), 0, 1)
    expected = rows[epoch_order(5, 0, 0)]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), data.x[expected])
