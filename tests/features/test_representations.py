"""CKA against its definition by HSIC and its invariances, common axes against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdlab.features.representations import cka_matrix, common_pca, linear_cka


def features(samples=40, units=7, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, units)) @ random.normal(size=(units, units)) + random.normal(size=units)


def orthogonal(units, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]


def cka_by_hsic(first, second):
    """HSIC(K, G) / √(HSIC(K, K) HSIC(G, G)) with HSIC(K, G) = tr(KHGH) / (N − 1)² (Gretton et al. 2005), float64."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    samples = len(first)
    centre = np.eye(samples) - np.ones((samples, samples)) / samples

    def hsic(k, g):
        return np.trace(k @ centre @ g @ centre) / (samples - 1) ** 2

    k, g = first @ first.T, second @ second.T
    return hsic(k, g) / np.sqrt(hsic(k, k) * hsic(g, g))


@given(
    samples=st.integers(2, 30),
    units=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_cka_is_its_definition_by_hsic(samples, units, seed):
    first, second = features(samples, units[0], seed), features(samples, units[1], seed + 1)
    found = linear_cka(first, second)
    assert found == pytest.approx(cka_by_hsic(first, second), rel=1e-6, abs=1e-9)
    assert 0 <= found <= 1
    assert found == pytest.approx(linear_cka(second, first))


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), mirrored=st.booleans())
def test_cka_sees_neither_turns_nor_mirrors_nor_scale_nor_shifts(seed, scale, shift, mirrored):
    first, second = features(seed=seed), features(units=5, seed=seed + 1)
    turn = orthogonal(7, seed) * (-1 if mirrored else 1)
    assert linear_cka(first @ turn * scale + shift, second) == pytest.approx(linear_cka(first, second), rel=1e-6)
    assert linear_cka(first, first @ turn * scale + shift) == pytest.approx(1)


def test_cka_sees_an_invertible_map_that_is_no_turn():
    x = features()
    assert linear_cka(x, x @ np.diag([100, 1, 1, 1, 1, 1, 1])) < 0.9


def test_cka_is_0_where_nothing_is_shared():
    x = np.array([[1, 1, -1, -1]]).T
    y = np.array([[1, -1, 1, -1]]).T
    assert linear_cka(x, y) == 0
    assert linear_cka(x, x + y) == pytest.approx(0.5)


def test_cka_of_maps_and_of_more_units_than_samples():
    maps = np.random.default_rng(0).random((12, 4, 4, 3)).astype(np.float32)
    flat = maps.reshape(12, -1)
    assert linear_cka(maps, features(12)) == pytest.approx(cka_by_hsic(flat, features(12)), rel=1e-6)


def test_a_matrix_has_every_pair():
    first, second = [features(seed=k) for k in range(2)], [features(units=4, seed=k) for k in range(5, 8)]
    found = cka_matrix(first, second)
    assert found.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert found[i, j] == pytest.approx(cka_by_hsic(first[i], second[j]), rel=1e-6)


# --- common axes


def test_the_teachers_coordinates_are_scikit_learns_pca():
    from sklearn.decomposition import PCA

    teacher = features(60, 9)
    pca = PCA(3).fit(teacher)
    found = common_pca(teacher, features(60, 5, seed=1), components=3)
    np.testing.assert_allclose(np.abs(found.teacher), np.abs(pca.transform(teacher)), atol=1e-9)
    assert found.teacher_share == pytest.approx(pca.explained_variance_ratio_.sum())
    stays = common_pca(teacher, features(60, 8, seed=2), components=3)
    np.testing.assert_array_equal(found.teacher, stays.teacher)


@pytest.mark.parametrize("units", [4, 9, 12])
def test_the_student_is_placed_as_scipys_procrustes_places_it(units):
    """The narrower of the two gets zeros for the units that it lacks: then scipy's square problem is the same."""
    from scipy.linalg import orthogonal_procrustes
    from sklearn.decomposition import PCA

    teacher, student = features(60, 9), features(60, units, seed=1)
    wide = max(units, 9)
    padded = [np.pad(f - f.mean(axis=0), ((0, 0), (0, wide - f.shape[1]))) for f in (student, teacher)]
    turn, size = orthogonal_procrustes(*padded)
    pca = PCA(2).fit(teacher)
    axes = np.pad(pca.components_, ((0, 0), (0, wide - 9)))
    expected = size / np.sum(padded[0] ** 2) * padded[0] @ turn @ axes.T
    found = common_pca(teacher, student)
    np.testing.assert_allclose(found.student * np.sign(found.teacher * pca.transform(teacher)), expected, atol=1e-9)
    assert found.student_share == pytest.approx(np.sum((padded[0] @ turn @ axes.T) ** 2) / np.sum(padded[0] ** 2))


@given(seed=st.integers(0, 1000), scale=st.floats(1e-2, 1e2))
def test_a_turned_and_scaled_teacher_lies_on_the_teacher(seed, scale):
    teacher = features(seed=seed)
    found = common_pca(teacher, scale * teacher @ orthogonal(7, seed) + 3, components=2)
    np.testing.assert_allclose(found.student, found.teacher, atol=1e-6 * np.abs(found.teacher).max())
    assert found.student_share == pytest.approx(found.teacher_share)


def test_it_flatters_less_than_a_free_linear_map():
    """Noise in as many units as samples fits any teacher by least squares, and by turns it does not."""
    teacher, noise = features(30, 10), np.random.default_rng(5).normal(size=(30, 30))
    found = common_pca(teacher, noise)
    fitted = noise @ np.linalg.lstsq(noise, found.teacher, rcond=None)[0]
    assert np.allclose(fitted, found.teacher)
    assert np.linalg.norm(found.student - found.teacher) > 0.3 * np.linalg.norm(found.teacher)


# --- what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: linear_cka(x[:5], x), "all layers must have the same samples, got 5, 40 of them"),
        (lambda x: linear_cka(x[:1], x[:1]), "layer 0 of first must have at least two samples, got 1"),
        (lambda x: linear_cka(x, np.ones((40, 3))), "layer 0 of second is the same for all samples"),
        (lambda x: linear_cka(x * np.nan, x), "layer 0 of first must be finite"),
        (
            lambda x: linear_cka(x[0], x),
            r"layer 0 of first must be real numbers of shape .* got float64 of shape \(7,\)",
        ),
        (lambda x: linear_cka(x, x.astype(str)), "layer 0 of second must be real numbers"),
        (lambda x: cka_matrix([x, x[:9]], [x]), "all layers must have the same samples, got 9, 40 of them"),
        (lambda x: cka_matrix([], [x]), "first and second must have at least one layer each, got none"),
        (lambda x: common_pca(x, x[:, :2], components=3), "components must be a whole number from 1 to 2, got 3"),
        (lambda x: common_pca(x[:3], x[:3], components=0), "components must be a whole number from 1 to 2, got 0"),
        (lambda x: common_pca(x, x[:7]), "all layers must have the same samples, got 7, 40 of them"),
        (lambda x: common_pca(np.ones((40, 3)), x), "teacher is the same for all samples"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(features())
