"""Tiles against the fields themselves, splits of which no two share a pixel, Dice against scikit-learn and numpy."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from kdlab import segmentation
from kdlab.datasets import nuclei
from kdlab.segmentation import SIDE, TILE, dice, dice_differences, dice_intervals, load_tiles, named_classes, overlaps


@pytest.fixture(scope="module")
def tiles():
    return {split: load_tiles(split) for split in nuclei.SPLITS}


@pytest.fixture(scope="module")
def maps():
    """A map of classes of 12 tiles, and two others that are right in 80 and 60 % of the pixels."""
    random = np.random.default_rng(0)
    true = random.integers(0, 4, (12, 8, 8))
    return true, *(np.where(random.random(true.shape) < p, true, random.integers(0, 4, true.shape)) for p in (0.8, 0.6))


# --- tiles


def test_the_map_of_classes_says_the_class_of_the_nucleus_at_every_pixel():
    field = nuclei.fields()["nest"]
    classes = segmentation.class_map(field)
    for number in range(1, len(field.y) + 1, 60):
        inside = field.nuclei == number
        assert set(classes[inside]) == {1 + field.y[number - 1]}
    np.testing.assert_array_equal(classes == 0, field.nuclei == 0)


def test_tiles_are_what_the_field_has_there_at_half_the_resolution(tiles):
    fields = nuclei.fields()
    for split in tiles.values():
        for k in range(0, len(split), 7):
            field, (row, column) = fields[split.fields[k]], split.corners[k]
            here = slice(row, row + TILE), slice(column, column + TILE)
            np.testing.assert_array_equal(split.images[k], field.image[here])
            np.testing.assert_array_equal(split.classes[k], segmentation.class_map(field)[here][::2, ::2])
            four = [field.image[here][a::2, b::2].astype(float) for a in (0, 1) for b in (0, 1)]
            np.testing.assert_allclose(split.x[k], np.mean(four, axis=0) / 255, atol=1e-6)


@pytest.mark.parametrize("stride", [TILE, 64])
def test_no_pixel_is_in_tiles_of_two_splits_and_a_margin_lies_between(tiles, stride):
    every = tiles if stride == TILE else {split: load_tiles(split, stride) for split in nuclei.SPLITS}
    for name in nuclei.fields():
        rows = {}
        for split, found in every.items():
            first = found.corners[found.fields == name, 0]
            assert len(first) > 20
            rows[split] = np.zeros(1500, bool)
            for row in first:
                rows[split][row : row + TILE] = True
        for split, of_split in rows.items():
            at = np.flatnonzero(of_split)
            others = np.flatnonzero(np.any([used for other, used in rows.items() if other != split], axis=0))
            assert np.abs(at[:, None] - others).min() > 2 * nuclei.MARGIN


def test_a_mask_per_class_is_the_map_taken_apart(tiles):
    test = tiles["test"]
    masks = test.masks()
    assert masks.dtype == np.float32
    assert masks.shape == (len(test), SIDE, SIDE, 3)
    np.testing.assert_array_equal((masks * [1, 2, 3]).sum(axis=-1), test.classes)


def test_every_split_has_every_class(tiles):
    for split in tiles.values():
        assert (split.masks().mean(axis=(0, 1, 2)) > 0.01).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rows",), "split must be one of train, validation, test, got 'rows'"),
        (("test", 0), "stride must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_not_accepted_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_tiles(*arguments)


# --- Dice


def test_the_class_of_a_pixel_is_its_largest_logit_if_that_is_above_0():
    logits = np.array([[1.0, 2.0, -1.0], [-1.0, -2.0, -0.1], [0.0, 0.0, 0.0], [-3.0, -2.0, 0.2]])
    np.testing.assert_array_equal(named_classes(logits), [2, 0, 0, 3])


def test_dice_is_f1_of_the_pixels(maps):
    true, *others = maps
    for predicted in others:
        expected = [f1_score((true == c).ravel(), (predicted == c).ravel()) for c in (1, 2, 3)]
        np.testing.assert_allclose(dice(overlaps(predicted, true)), expected, rtol=1e-12)
        by_hand = []
        for c in (1, 2, 3):
            a, b = (true == c).astype(np.float64), (predicted == c).astype(np.float64)
            by_hand.append(2 * (a * b).sum() / (a.sum() + b.sum()))
        np.testing.assert_allclose(dice(overlaps(predicted, true)), by_hand, rtol=1e-12)
    np.testing.assert_array_equal(dice(overlaps(true, true)), 1)


def test_a_class_that_is_nowhere_has_no_dice():
    empty = np.zeros((2, 4, 4), int)
    one = empty.copy()
    one[0, 0, 0] = 1
    np.testing.assert_array_equal(dice(overlaps(one, empty)), [0, np.nan, np.nan])


def test_intervals_are_those_of_a_bootstrap_over_tiles(maps):
    true, predicted, _ = maps
    counts, random, drawn = overlaps(predicted, true), np.random.default_rng(3), []
    for _ in range(4000):
        which = random.integers(len(true), size=len(true))
        of_draw = dice(overlaps(predicted[which], true[which]))
        drawn.append([*of_draw, of_draw.mean()])
    value = dice(counts)
    for found, exact, ends in zip(
        dice_intervals(counts, resamples=4000),
        [*value, value.mean()],
        np.quantile(drawn, [0.025, 0.975], axis=0).T,
        strict=True,
    ):
        assert found.mean == pytest.approx(exact, rel=1e-12)
        assert (found.low, found.high) == pytest.approx(ends, abs=0.006)
        assert found.low < found.mean < found.high


def test_dice_of_several_networks_is_averaged(maps):
    true, *others = maps
    counts = np.stack([overlaps(predicted, true) for predicted in others])
    expected = np.mean([dice(of) for of in counts], axis=0)
    found = dice_intervals(counts)
    np.testing.assert_allclose([one.mean for one in found], [*expected, expected.mean()])
    assert dice_intervals(counts[:1]) == dice_intervals(counts[0])


def test_a_difference_is_paired_tile_by_tile(maps):
    true, better, worse = maps
    first, second = overlaps(better, true), overlaps(worse, true)
    for one, a, b in zip(dice_differences(first, second), dice_intervals(first), dice_intervals(second), strict=True):
        assert one.mean == pytest.approx(a.mean - b.mean)
        assert one.verdict == "better"
    same = dice_differences(first, first)
    assert all((one.mean, one.low, one.high) == (0, 0, 0) for one in same)
    # What all tiles share cancels: with half of each tile lost to both, in turn, the difference varies less than each.
    hard = np.arange(len(true)) % 2 == 0
    pair = [overlaps(np.where(hard[:, None, None], 0, predicted), true) for predicted in (true, better)]
    paired = dice_differences(*pair)[-1]
    alone = dice_intervals(pair[0])[-1]
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_tiles_that_differ_in_number_are_refused(maps):
    true, predicted, _ = maps
    counts = overlaps(predicted, true)
    with pytest.raises(ValueError, match="first and second must have the same shape"):
        dice_differences(counts, counts[:5])
    with pytest.raises(ValueError, match="predicted and true must have the same shape"):
        overlaps(predicted, true[:5])
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 100, got 5"):
        dice_intervals(counts, resamples=5)
