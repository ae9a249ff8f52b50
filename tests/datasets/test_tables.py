"""A reader's own table: what a file says is what a data set holds, and whatever is wrong is said in one sentence."""

import csv
import io
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab.datasets.tables import COLUMNS, ROWS, from_table, holds_table, read_table

PARTS = ("train", "validation", "test")
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(5, 2, (60, 3)).round(3), np.arange(60) % 3
KINDS = np.array(["a dog", "cat", "Ünde, „x“"])


def csv_file(x, y, heads=None, delimiter=",", decimal="."):
    file = io.StringIO()
    rows = (
        [repr(v if isinstance(v, int) else float(v)).replace(".", decimal) for v in row] + [label]
        for row, label in zip(x, y, strict=True)
    )
    csv.writer(file, delimiter=delimiter).writerows([*([heads] if heads else []), *rows])
    return file.getvalue().encode()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def rows_of(data):
    """The features of a data set in units of the training rows' deviations, and class names, both in one order."""
    x = np.concatenate([getattr(data, part).x for part in PARTS])
    y = [data.class_names[k] for part in PARTS for k in getattr(data, part).y]
    return x, y


def same(one, other):
    assert one.class_names == other.class_names
    for part in PARTS:
        np.testing.assert_allclose(getattr(one, part).x, getattr(other, part).x, atol=1e-6)
        np.testing.assert_array_equal(getattr(one, part).y, getattr(other, part).y)


def test_features_are_standardised_by_the_training_rows():
    data = read_table(csv_file(X, KINDS[Y], ["a", "b", "c", "kind"]))
    assert data.class_names == ("a dog", "cat", "Ünde, „x“")
    assert data.count() == [(14, 2, 4)] * 3
    standard = 8 * (data.train.x.astype(float) - 0.5)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(data.scaling.mean, X.mean(axis=0), atol=0.5)
    x, _ = rows_of(data)
    undone = (x.astype(float) - 0.5) * 2 * data.scaling.reach * data.scaling.deviation + data.scaling.mean
    np.testing.assert_allclose(undone[np.lexsort(undone.round(3).T)], X[np.lexsort(X.T)], atol=1e-4)
    # Every row is there once, under its label: undo the scale by two rows that are known.
    x, y = rows_of(data)
    order, found = np.lexsort(X.T), np.lexsort(x.T)
    slopes = np.polyfit(X[order][:, 2], x[found][:, 2], 1)
    np.testing.assert_allclose(np.polyval(slopes, X[order][:, 2]), x[found][:, 2], atol=1e-5)
    assert [y[k] for k in found] == KINDS[Y][order].tolist()


def test_what_is_far_from_the_mean_is_at_the_end_of_the_range_and_what_is_constant_in_its_middle():
    x = np.column_stack([np.r_[np.arange(99.0), 1e12], np.full(100, 7.0)])
    data = from_table(x, np.arange(100) % 2)
    everything = np.concatenate([getattr(data, part).x for part in PARTS])
    assert everything[:, 0].max() == 1.0
    np.testing.assert_array_equal(everything[:, 1], 0.5)
    assert (data.scaling.mean[1], data.scaling.deviation[1]) == (7, 1)


@given(st.floats(-1e6, 1e6))
def test_a_constant_feature_has_a_deviation_of_1_whatever_rounds(value):
    data = from_table(np.column_stack([np.arange(50), np.full(50, value)]), np.arange(50) % 2)
    assert (data.scaling.mean[1], data.scaling.deviation[1]) == (value, 1)
    np.testing.assert_array_equal(data.train.x[:, 1], 0.5)


FILES = {
    "semicolons and decimal commas": csv_file(X, KINDS[Y], ["a", "b", "c", "k"], ";", ","),
    "tabs": csv_file(X, KINDS[Y], ["a", "b", "c", "k"], "\t"),
    "no names": csv_file(X, KINDS[Y]),
    "semicolons, decimal commas, no names": csv_file(X, KINDS[Y], None, ";", ","),
    "commas in names between semicolons": csv_file(X, KINDS[Y], ["a, cm", "b, cm", "c, cm", "k"], ";", ","),
    "names that are numbers": csv_file(X, KINDS[Y], ["0", "1", "2", "3"]),
    "the rows' numbers, as pandas writes them": csv_file(
        np.c_[np.arange(60).astype(object), X], KINDS[Y], ["", "a", "b", "c", "k"]
    ),
    "the rows' numbers, shuffled, and numbers for names": csv_file(
        np.c_[RANDOM.permutation(60).astype(object), X], KINDS[Y], ["", "0", "1", "2", "3"]
    ),
    "patients' numbers": csv_file(
        np.c_[X[:, :1].astype(object), 1000 + np.arange(60), X[:, 1:]], KINDS[Y], ["a", "ID", "b", "c", "k"]
    ),
    "a byte-order mark and empty lines": b"\xef\xbb\xbf"
    + csv_file(X, KINDS[Y], ["a", "b", "c", "k"])
    + b"\r\n , ,,\r\n",
    "npz": npz(x=X, y=KINDS[Y]),
    "npz of other names": npz(notes=np.ones(2), Features=X, target=KINDS[Y][:, None]),
}


@pytest.mark.parametrize("file", FILES)
def test_the_same_table_in_other_words_is_the_same_data(file):
    same(read_table(FILES[file]), read_table(csv_file(X, KINDS[Y], ["a", "b", "c", "kind"])))


@pytest.mark.parametrize(
    ("heads", "label", "taken"),
    [
        (["a", "b", "c"], "", 2),
        (["a", "Class", "c"], "", 1),
        (["y", "b", "c"], "", 0),
        (["y", "b", "c"], "c", 2),
        (["y", "b", "c"], "2", 1),
        (None, "1", 0),
        (None, "", 2),
        (["0", "1", "label"], "", 2),
        (["x", "y", "label"], "", 2),
        (["x", "y", "c"], "", 1),
        (["label", "target", "c"], "target", 1),
        (None, 1, 0),
    ],
)
def test_the_label_is_the_named_column_or_the_one_that_is_called_so_or_the_last(heads, label, taken):
    columns = [RANDOM.normal(0, 1, 40).tolist() for _ in range(3)]
    columns[taken] = [10 * (k % 2) for k in range(40)]
    file = "\n".join(",".join(map(str, row)) for row in [*([heads] if heads else []), *zip(*columns, strict=True)])
    data = read_table(file.encode(), label=label)
    assert data.class_names == ("0", "10")
    assert data.train.x.shape[1] == 2


def test_numbers_are_classes_in_the_order_of_their_size_and_1_point_0_is_1():
    y = np.array(["10", "9", "1.0"])[Y]
    assert read_table(csv_file(X, y)).class_names == ("1", "9", "10")
    assert read_table(npz(x=X, y=np.array([10.0, 9.0, 1.0])[Y])).class_names == ("1", "9", "10")
    assert read_table(npz(x=X, y=Y == 1)).class_names == ("False", "True")


def test_classes_named_y_and_n_are_no_names_of_columns():
    rows = "".join(f"{k},{k * k % 7},{'yn'[k % 2]}\n" for k in range(40))
    assert sum(map(sum, read_table(rows.encode()).count())) == 40


def test_what_numbers_the_rows_is_left_out_and_said_to_be():
    x = np.c_[np.arange(60).astype(object), X]
    data = read_table(csv_file(x, KINDS[Y], ["", "a", "b", "c", "kind"]))
    assert data.notes == ("Left out, as it numbers the rows and is no feature: 'column 1'.",)
    assert read_table(csv_file(X, KINDS[Y], ["a", "b", "c", "kind"])).notes == ()
    x[7, 0] = 6  # not a number for each row
    assert read_table(csv_file(x, KINDS[Y], ["id", "a", "b", "c", "kind"])).train.x.shape[1] == 4


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_part_may_be_empty(part):
    data = read_table(csv_file(X, KINDS[Y]), **{f"{part}_split": 0})
    assert len(getattr(data, part)) == 0
    assert sum(map(sum, data.count())) == 60


def test_copies_of_a_row_are_on_one_side_of_the_split():
    data = read_table(csv_file(np.tile(X, (3, 1)), np.tile(Y, 3)))
    sides = [{row.tobytes() for row in getattr(data, part).x} for part in PARTS]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 60


numbers = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_numbers_and_any_texts_come_back(data):
    width = data.draw(st.integers(1, 4))
    text = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
    text = text.filter(lambda t: not t.lower().strip('"').startswith(("nan", "inf", "+", "-")) and t[0].isalpha())
    kinds = data.draw(
        st.lists(text.filter(lambda t: t.lower() not in ("na", "null", "none")), min_size=2, max_size=5, unique=True)
    )
    x = np.array(data.draw(st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=60, max_size=60)))
    x[:, 0] = np.arange(60)  # so that no two rows are the same
    y = [kinds[k % len(kinds)] for k in range(60)]
    heads = [f"feature {k}" for k in range(width)] + ["of what kind"]
    same(read_table(csv_file(x, y, heads)), from_table(x, y))
    same(read_table(npz(x=x, y=np.array(y))), from_table(x, y))


def test_load_reads_tables_by_their_path(tmp_path):
    (tmp_path / "mine.csv").write_bytes(csv_file(X, KINDS[Y], ["a", "b", "c", "kind"]))
    (tmp_path / "mine.npz").write_bytes(npz(x=X, y=Y))
    data = kdlab.load(tmp_path / "mine.csv", label="kind", test_split=0.4, seed=3)
    assert sum(test for _, _, test in data.count()) == 24
    same(kdlab.load(str(tmp_path / "mine.npz")), from_table(X, Y))
    with pytest.raises(
        ValueError, match=r"mine\.csv has no column 'what' to take the labels from; it has 'a', 'b', 'c', 'kind'\.$"
    ):
        kdlab.load(tmp_path / "mine.csv", label="what")
    (tmp_path / "images.npz").write_bytes(npz(x_train=X, y_train=Y))
    assert not holds_table(tmp_path / "images.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04...")
    assert not holds_table(tmp_path / "broken.npz")


GOOD = "a,b,label\n" + "".join(f"{k},{k * k % 7},{'xy'[k % 2]}\n" for k in range(40))
BAD = {
    "nothing": (b"", "is empty; accepted are tables as .csv or .npz."),
    "an image": (b"\x89PNG\r\n\x1a\n\xff", "is no text in UTF-8; accepted are"),
    "zeros": (b"a,b\0", "is no text; accepted are tables"),
    "one column": (b"label\nx\ny\n", "has 1 columns; at least one feature and a label are needed."),
    "blank": (b" \n\n", "has 0 columns"),
    "names alone": (b"a,b,label\n", "has no rows below its names."),
    "a short row": ((GOOD + "1,2\n").encode(), "has 2 values in line 42 where its first row has 3."),
    "two labels": (GOOD.replace("a,b,", "a,Target,").encode(), "several columns that may be the labels, 'Target', 'label': name"),
    "numbers alone": (
        ("id,label\n" + "".join(f"{k},{k % 2}\n" for k in range(40))).encode(), "no features beside its labels and its rows'"
    ),
    "a gap": (GOOD.replace("3,2,y", "3,,y").encode(), "has missing values in 'b' (line 5): fill them in, or leave"),
    "a label's gap": (GOOD.replace("3,2,y", "3,2,?").encode(), "has missing values in 'label' (line 5)"),
    "words": (GOOD.replace("3,2,y", "3,two,y").encode(), "are not all numbers: 'b' ('two' in line 5): write them as"),
    "infinity": (GOOD.replace("3,2,y", "3,inf,y").encode(), "are not all numbers: 'b' ('inf' in line 5)"),
    "one class": (GOOD.replace("y\n", "x\n").encode(), "has 1 different labels ('x'); accepted are 2 to 20 classes"),
    "no classes": (csv_file(X, X[:, 0], ["a", "b", "c", "y"]), "accepted are 2 to 20 classes: is it the right column?"),
    "many rows": (("1,2\n" * (ROWS + 1)).encode(), "has 20,001 rows; accepted are at most 20,000."),
    "many columns": ((",".join(["1"] * (COLUMNS + 2)) + "\n").encode(), "has 501 features; accepted are at most 500."),
    "many bytes": (b"1" * 5_000_001, "has 5,000,001 bytes; accepted are at most 5,000,000."),
    "a single one": ((GOOD + "1,2,z\n").encode(), "class 'z' has too few different samples to split off 20% of them"),
    "a damaged npz": (npz(x=X, y=Y)[:300], "is an .npz that is damaged or cut off."),
    "bytes lost": (npz(x=X, y=Y).replace(b"NUMPY", b"NUMPX"), "is an .npz that is damaged or cut off."),
    "objects": (npz(x=X, y=np.array([{}] * 60)), "is an .npz that holds Python objects: save plain arrays."),
    "other arrays": (npz(a=X, y=Y), """must hold the arrays "x" (N, F) and "y" (N,), got 'a', 'y'."""),
    "nothing in it": (npz(), "must hold the arrays"),
    "images": (npz(x=np.zeros((60, 8, 8)), y=Y), "must hold numbers x (N, F) and labels y (N,), got float64 (60, 8, 8)"),
    "fewer labels": (npz(x=X, y=Y[:9]), "must hold numbers x (N, F) and labels y (N,)"),
    "not a number": (npz(x=np.where(np.eye(60, 3), np.nan, X), y=Y), "has missing or infinite values in x[:, 0], x[:, 1], "),
    "no label": (npz(x=X, y=np.where(Y == 1, np.nan, Y)), "has missing or infinite values in its labels"),
    "large npz": (npz(x=np.zeros((ROWS, 700)), y=Y), "unpacks to 112,000,"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_whatever_is_wrong_is_one_sentence(case):
    data, said = BAD[case]
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_table(data, max_bytes=5_000_000 if case != "large npz" else 500_000_000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 260


def test_a_workbook_is_said_to_be_one():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(ValueError, match=r"is a file of an office program; save its table as \.csv\.$"):
        read_table(file.getvalue())


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_table_or_refused_in_one_sentence(data):
    said = ""
    try:
        read_table(data)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said
