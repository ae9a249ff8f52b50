"""The shipped nuclei: what is in them, crops against direct slicing, and splits of which no two share a pixel."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab.datasets import nuclei

SIZES = (32, 64)


@pytest.fixture(scope="module")
def fields():
    return nuclei.fields()


@pytest.fixture(scope="module")
def data():
    return kdlab.load("nuclei")


def covered(centres, size):
    """The pixels of the field that these crops have, as a mask."""
    mask = np.zeros((1500, 1500), bool)
    for row, column in centres.astype(int):
        top, left = max(row - size // 2, 0), max(column - size // 2, 0)
        mask[top : row + size // 2, left : column + size // 2] = True
    return mask


# --- what is shipped


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("nest", {"inflammatory": 633, "connective": 374, "neoplastic": 288}),
        ("stroma", {"inflammatory": 31, "connective": 387, "neoplastic": 5}),
    ],
)
def test_each_field_has_the_nuclei_that_the_package_says(name, counts, fields):
    field = fields[name]
    assert Counter(nuclei.CLASS_NAMES[label] for label in field.y) == counts
    assert field.image.shape == (1500, 1500, 3)
    assert field.image.dtype == np.uint8
    assert field.centres.shape == (len(field.y), 2)
    np.testing.assert_array_equal(np.unique(field.nuclei), np.arange(len(field.y) + 1))


@pytest.mark.parametrize("name", ["nest", "stroma"])
def test_the_outlines_lie_around_the_centres(name, fields):
    field = fields[name]
    rows, columns = np.nonzero(field.nuclei)
    numbers = field.nuclei[rows, columns]
    off = []
    for number in range(1, len(field.y) + 1):
        own = numbers == number
        middle = [(axis[own].min() + axis[own].max()) / 2 for axis in (rows, columns)]
        off.append(np.abs(middle - field.centres[number - 1]).max())
    # Where two outlines overlap, the later one covers the earlier: a few middles move.
    assert np.median(off) <= 1
    assert np.mean(np.array(off) <= 2) > 0.97


@pytest.mark.parametrize("name", ["nest", "stroma"])
def test_nuclei_are_darker_than_what_is_around_them(name, fields):
    # Haematoxylin absorbs red light: outlines that are mirrored or shifted would not show it.
    red, inside = fields[name].image[..., 0].astype(float), fields[name].nuclei > 0
    straight = red[~inside].mean() - red[inside].mean()
    assert straight > 40
    for wrong in (inside.T, inside[::-1], inside[:, ::-1], np.roll(inside, 20, axis=1)):
        assert red[~wrong].mean() - red[wrong].mean() < 0.7 * straight


def test_neoplastic_nuclei_are_the_largest(fields):
    field = fields["nest"]
    areas = np.bincount(field.nuclei.ravel())[1:]
    by_class = [np.median(areas[field.y == label]) for label in range(3)]
    assert by_class[2] > 2 * by_class[0]


# --- crops


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["nest", "stroma"])
def test_crops_are_slices_of_the_image(name, size, fields):
    field = fields[name]
    x, half = nuclei.crops(field, size), size // 2
    assert x.dtype == np.float32
    assert x.shape == (len(field.y), size, size, 3)
    whole = ((field.centres >= half) & (field.centres <= 1500 - half)).all(axis=1)
    assert whole.mean() > 0.85
    for k in np.flatnonzero(whole)[::25]:
        row, column = field.centres[k]
        here = field.image[row - half : row + half, column - half : column + half]
        np.testing.assert_array_equal(np.rint(x[k] * 255).astype(np.uint8), here)
        np.testing.assert_allclose(x[k], here / 255, atol=1e-7)


def test_beyond_the_edge_a_crop_is_mirrored(fields):
    corners = np.array([[0, 0], [0, 1500], [1500, 0], [1500, 1500], [3, 700]], np.int16)
    field = replace(fields["nest"], centres=corners, y=np.zeros(5, np.int32))
    mirror = np.array([*range(4, 0, -1), *range(4)])  # the field's edge itself is not doubled
    first = field.image[mirror][:, mirror]
    np.testing.assert_array_equal(np.rint(nuclei.crops(field, 8)[0] * 255), first)
    last = np.array([*range(1496, 1500), *range(1498, 1494, -1)])
    np.testing.assert_array_equal(np.rint(nuclei.crops(field, 8)[3] * 255), field.image[last][:, last])


# --- regions


@pytest.mark.parametrize("size", SIZES)
def test_no_pixel_is_in_crops_of_two_splits(size, fields):
    for field in fields.values():
        where = nuclei.regions(field, size)
        pixels = {name: covered(field.centres[where == name], size) for name in nuclei.SPLITS}
        for one, two in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert pixels[one].any()
            assert not (pixels[one] & pixels[two]).any()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(0, 1500), min_size=1, max_size=300),
    size=st.sampled_from([8, 16, 30, 32, 64, 128]),
)
def test_between_splits_lie_twice_the_margin_wherever_the_nuclei_are(rows, size, fields):
    centres = np.array([[row, 700] for row in rows], np.int16)
    where = nuclei.regions(replace(fields["nest"], centres=centres), size)
    spans = {
        name: [
            (max(row - size // 2, 0), min(row + size // 2, 1500))
            for row, at in zip(rows, where, strict=True)
            if at == name
        ]
        for name in nuclei.SPLITS
    }
    for one, two in (("train", "test"), ("train", "validation"), ("validation", "test")):
        for first, end in spans[one]:
            for other_first, other_end in spans[two]:
                assert other_first - end >= 2 * nuclei.MARGIN or first - other_end >= 2 * nuclei.MARGIN


def test_only_crops_at_a_border_are_left_out(fields):
    field = fields["nest"]
    borders = np.array([150, 700, 850, 1350])
    distance = np.abs(field.centres[:, :1].astype(int) - borders).min(axis=1)
    left_out = nuclei.regions(field, 32) == ""
    assert left_out[distance < 16 + nuclei.MARGIN].all()
    assert not left_out[distance > 16 + nuclei.MARGIN].any()


def test_the_bands_cover_the_field_once(fields):
    edges = [0] + [end for _, end, _ in nuclei.BANDS]
    assert [top for top, _, _ in nuclei.BANDS] == edges[:-1]
    assert edges[-1] == fields["nest"].image.shape[0]


# --- the data set


def test_the_data_set_holds_the_crops_of_its_regions(data, fields):
    field = fields["nest"]
    where, x = nuclei.regions(field, 32), nuclei.crops(field, 32)
    for name in nuclei.SPLITS:
        split = getattr(data, name)
        np.testing.assert_array_equal(split.x, x[where == name])
        np.testing.assert_array_equal(split.y, field.y[where == name])
    assert data.class_names == ("inflammatory", "connective", "neoplastic")
    assert data.licence == "BSD-3-Clause"
    assert "histolytics" in data.source
    assert any("labels will be wrong" in note for note in data.notes)


@pytest.mark.parametrize("size", [32, 64])
def test_every_split_has_every_class_in_fair_shares(size):
    data = kdlab.load("nuclei", size=size)
    overall = np.array([633, 374, 288]) / 1295
    for split in (data.train, data.validation, data.test):
        shares = np.bincount(split.y, minlength=3) / len(split)
        assert np.abs(shares - overall).max() < 0.06
    assert len(data.test) > 300


def test_the_random_split_has_the_same_nuclei_and_leaks(data):
    leaking = kdlab.load("nuclei", split="random")
    for name in nuclei.SPLITS:
        assert len(getattr(leaking, name)) == len(getattr(data, name))
    every = [np.concatenate([getattr(d, name).x for name in nuclei.SPLITS]) for d in (data, leaking)]
    first, second = ({sample.tobytes() for sample in x} for x in every)
    assert first == second
    assert any("overlap" in note for note in leaking.notes)
    assert not any("overlap" in note for note in data.notes)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("split", ["region", "random"])
def test_the_names_of_the_splits_are_those_of_the_loaded_nuclei(size, split):
    field = nuclei.fields()["nest"]
    where, loaded = nuclei.split_nuclei(field, size, split), kdlab.load("nuclei", size=size, split=split)
    for name in nuclei.SPLITS:
        np.testing.assert_array_equal(field.y[where == name], getattr(loaded, name).y)
    train, test = (field.centres[where == name].astype(int) for name in ("train", "test"))
    apart = np.abs(test[:, None] - train).max(axis=2).min(axis=1)
    assert (apart < size).mean() == 0 if split == "region" else (apart < size).mean() > 0.5


def test_it_is_the_same_every_time(data):
    assert kdlab.load("nuclei").fingerprint == data.fingerprint
    assert kdlab.load("nuclei", split="random").fingerprint == kdlab.load("nuclei", split="random").fingerprint


def test_what_all_callers_share_nobody_can_change(fields):
    for name, field in nuclei.fields().items():
        for kind, array in vars(field).items():
            assert array is getattr(fields[name], kind)
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_views_are_the_eight_ways_a_square_can_lie():
    x = np.arange(2 * 3 * 3 * 2, dtype=np.float32).reshape(2, 3, 3, 2)
    made = nuclei.views(x)
    assert made.shape == (8, 2, 3, 3, 2)
    np.testing.assert_array_equal(made[0], x)
    np.testing.assert_array_equal(nuclei.views(x[1])[5], made[5, 1])
    assert len({view[0].tobytes() for view in made}) == 8
    for view in made:  # each is one of row and column, kept or reversed, kept or swapped
        ways = [x[:, ::a, ::b] for a in (1, -1) for b in (1, -1)]
        ways += [way.transpose(0, 2, 1, 3) for way in ways]
        assert sum(np.array_equal(view, way) for way in ways) == 1


# --- what is refused


@pytest.mark.parametrize("size", [31, 6, 130, 32.0, True, "32", None])
def test_a_size_that_cannot_be_cut_is_refused(size):
    with pytest.raises(ValueError, match="size must be an even number of pixels from 8 to 128, got"):
        kdlab.load("nuclei", size=size)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match='split must be "region" or "random", got \'rows\''):
        kdlab.load("nuclei", split="rows")


def test_an_unknown_option_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="'nuclei' takes size, split; got pixels"):
        kdlab.load("nuclei", pixels=32)


@pytest.mark.parametrize("shape", [(32, 32), (4, 30, 32, 3)])
def test_views_of_what_is_not_square_are_refused(shape):
    with pytest.raises(ValueError, match=r"x must be square images"):
        nuclei.views(np.zeros(shape))
