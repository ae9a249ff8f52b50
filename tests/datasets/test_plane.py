"""Points in the plane: drawn by the formula, and each split drawn for itself."""

import numpy as np
import pytest

from kdlab.datasets.plane import NOISE, SHAPES, grid, plane


@pytest.mark.parametrize("shape", SHAPES)
def test_splits_are_drawn_apart_and_fewer_points_are_the_first(shape):
    data = plane(shape)
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [600, 1000, 1000]
    assert len(np.unique(np.concatenate([split.x for split in splits]), axis=0)) > 2590  # but where noise is cut off
    assert all(np.bincount(split.y).tolist() == [len(split) / 2] * 2 for split in splits)
    np.testing.assert_array_equal(plane(shape, 24).train.x, data.train.x[:24])


def test_moons_lie_on_their_arcs_but_for_the_noise():
    test = plane("moons").test
    away = []
    for y, (centre, sign) in enumerate(
        (([0.5 - 0.5 / 3.2, 0.5 - 0.25 / 3.2], 1), ([0.5 + 0.5 / 3.2, 0.5 + 0.25 / 3.2], -1))
    ):
        from_centre = sign * (test.x[test.y == y] - centre)
        away.append(np.linalg.norm(from_centre, axis=1) - 1 / 3.2)
        assert from_centre[:, 1].min() > -5 * NOISE["moons"]
    assert np.std(away) == pytest.approx(NOISE["moons"], rel=0.1)


def test_a_grid_is_read_row_by_row_from_below():
    assert grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape must be one of moons, spirals, got 'stars'"):
        plane("stars")
