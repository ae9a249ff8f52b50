"""A reader's own table: a ``.csv``, or an ``.npz`` of features and labels, with limits, or refused in one sentence."""

import csv
import io
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..checks import check_count
from .class_folders import listed, printable
from .dataset import Dataset, FeatureScaling, hold_out

ROWS, COLUMNS, CLASSES = 20_000, 500, 20  # the most of each
LABELS = ("label", "labels", "class", "target", "y")
NUMBERING = ("", "unnamed: 0", "index", "id")  # what columns that number the rows are called, the first two by pandas
FEATURES = ("x", "features", "data")
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
DEVIATIONS = 4.0  # beyond, a feature counts as so far from its mean


def read_file(path, *, label=None, seed=0, test_split=0.2, validation_split=0.1):
    """Return the ``Dataset`` of the table in the file ``path``; options, result and errors as for ``read_table``."""
    path, shares = Path(path), {"test_split": test_split, "validation_split": validation_split}
    name = printable(path)
    return read_table(path.read_bytes(), label=label, seed=seed, **shares, name=name, max_bytes=500_000_000)


def read_table(
    data,
    *,
    label=None,
    seed=0,
    test_split=0.2,
    validation_split=0.1,
    name="The uploaded file",
    max_bytes=5_000_000,
):
    """Return the ``Dataset`` of the table that ``data`` are the bytes of: a CSV file, or an ``.npz``.

    A CSV file is UTF-8 text with commas, semicolons or tabs between its values; its first row are names unless one of
    them is a number, or if they are 0, 1, 2, …. ``label`` names the column of the classes, or says which it is, from 1; by
    default it is the one called label, class, target or y, else the last. A column without a name, or called index or id,
    that numbers the rows is left out. All others are features: numbers, none missing. An ``.npz`` holds an array "x" (N, F)
    of features and an array "y" (N,) of labels. Splitting and scaling are those of ``from_table``.

    ``name`` is what messages call the table. Raises ValueError, one sentence that says what came and what is accepted, for
    anything else, and for more than ``max_bytes`` bytes, 20,000 rows, 500 features or 20 classes.
    """
    max_bytes = check_count(max_bytes, "max_bytes")
    if not data:
        raise ValueError(f"{name} is empty; accepted are tables as .csv or .npz.")
    if len(data) > max_bytes:
        raise ValueError(f"{name} has {len(data):,} bytes; accepted are at most {max_bytes:,}.")
    read = _read_npz if data.startswith(b"PK") else _read_csv
    x, y, notes = read(bytes(data), label, name)
    table = from_table(x, y, seed=seed, test_split=test_split, validation_split=validation_split, name=name)
    return replace(table, notes=notes)


def from_table(x, y, *, seed=0, test_split=0.2, validation_split=0.1, name="The table"):
    """Return the ``Dataset`` of features ``x`` (N, F), finite numbers, and labels ``y`` (N,), texts or whole numbers.

    Of every class ``test_split`` is held out to test on and ``validation_split`` of the rest to validate on; rows with
    the same features stay together. Each feature is standardised by mean and standard deviation of the training rows;
    0 and 1 are then 4 deviations below and above the mean, and what is further away is taken to be there; the data's
    ``scaling`` keeps both. Raises ValueError as ``read_table`` does, and as ``hold_out``.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers x (N, F) and labels y (N,), got {x.shape} and {y.shape}.")
    if len(x) > ROWS or x.shape[1] > COLUMNS:
        raise ValueError(
            f"{name} has {len(x):,} rows and {x.shape[1]:,} features; accepted are at most {ROWS:,} and {COLUMNS:,}."
        )
    names, y = _classes([_said(value) for value in y.tolist()], name)
    groups = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    rest, test = hold_out(y, test_split, seed, groups, names)
    inner, held = hold_out(y[rest], validation_split, seed, groups[rest], names)
    train, validation = rest[inner], rest[held]
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    least = x[train].min(axis=0)
    constant = least == x[train].max(axis=0)  # whose mean and deviation may differ from it and from 0 by rounding
    mean, deviation = np.where(constant, least, mean), np.where(constant, 1.0, deviation)
    x = (x - mean) / deviation
    x = np.clip(0.5 + x / (2 * DEVIATIONS), 0, 1).astype(np.float32)
    held = {part: (x[rows], y[rows]) for part, rows in (("test", test), ("validation", validation))}
    data = Dataset.from_arrays(x[train], y[train], **held, class_names=names)
    return replace(data, scaling=FeatureScaling(tuple(mean.tolist()), tuple(deviation.tolist()), DEVIATIONS))


def holds_table(path):
    """Return whether the ``.npz`` at ``path`` has arrays of features and labels; not what is in them."""
    try:
        with zipfile.ZipFile(path) as members:
            found = {Path(member).stem.lower() for member in members.namelist()}
    except (zipfile.BadZipFile, OSError):
        return False
    return bool(found.intersection(FEATURES) and found.intersection(LABELS))


def _classes(said, name):
    """Return the classes' names, in order, and labels (N,) from 0 on."""
    found = set(said)
    if not 2 <= len(found) <= CLASSES:
        some = _quoted(sorted(found), 3)
        raise ValueError(
            f"{name} has {len(found):,} different labels ({some}); accepted are 2 to {CLASSES} classes: is it the right column?"
        )
    numbers = all(_number(label) is not None for label in found)
    names = sorted(found, key=float if numbers else None)
    place = {label: k for k, label in enumerate(names)}
    return tuple(names), np.array([place[label] for label in said], np.int32)


def _quoted(texts, most=5):
    return listed([repr(text[:30]) for text in texts], most)


def _said(value):
    """Return a label as text: whole numbers without a fraction."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(text):
    """Return the finite number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_csv(data, label, name):
    """Return x (N, F), labels (N,) and notes of a CSV file, or raise ValueError."""
    rows, number = _rows(data, name)
    width = len(rows[0][1])
    names = rows.pop(0)[1] if _are_names(rows, number) else [f"column {k}" for k in range(1, width + 1)]
    if not rows:
        raise ValueError(f"{name} has no rows below its names.")
    if len(rows) > ROWS:
        raise ValueError(f"{name} has {len(rows):,} rows; accepted are at most {ROWS:,}.")
    if width - 1 > COLUMNS:
        raise ValueError(f"{name} has {width - 1:,} features; accepted are at most {COLUMNS:,}.")
    chosen = _label_column(names, label, name)
    columns = list(zip(*(row for _, row in rows), strict=True))
    faults = [
        (names[k], rows[at][0])
        for k, column in enumerate(columns)
        if (at := next((i for i, v in enumerate(column) if v.lower() in MISSING), None)) is not None
    ]
    if faults:
        raise ValueError(
            f"{name} has missing values in {_quoted([column for column, _ in faults])} (line {faults[0][1]}): fill them in, "
            "or leave these rows or columns out."
        )
    numbering = [
        k
        for k, column in enumerate(columns)
        if k != chosen
        and names[k].lower() in NUMBERING
        and len(set(column)) == len(column)
        and all(map(str.isdecimal, column))
    ]
    features = [k for k in range(width) if k not in (chosen, *numbering)]
    if not features:
        raise ValueError(f"{name} has no features beside its labels and its rows' numbers.")
    x = [list(map(number, columns[k])) for k in features]
    bad = [(k, column.index(None)) for k, column in zip(features, x, strict=True) if None in column]
    if bad:
        k, at = bad[0]
        raise ValueError(
            f"{name} has columns that are not all numbers: {_quoted([names[k] for k, _ in bad])} ({columns[k][at][:30]!r} "
            f"in line {rows[at][0]}): write them as numbers, or leave them out."
        )
    # A whole number is the same class with a fraction and without: 1.0 is 1.
    labels = [text if (value := _number(text)) is None else _said(value) for text in columns[chosen]]
    left = _quoted([names[k] or f"column {k + 1}" for k in numbering])
    notes = (f"Left out, as it numbers the rows and is no feature: {left}.",) if numbering else ()
    return np.array(x, np.float64).T, np.array(labels), notes


def _rows(data, name):
    """Return the rows of a CSV file, (its line, its values) each, all as long, and what makes a number of a value, or None."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no text in UTF-8; accepted are tables as .csv or .npz.") from None
    if "\0" in text:
        raise ValueError(f"{name} is no text; accepted are tables as .csv or .npz.")
    delimiter = _delimiter(list(filter(str.strip, text[:1_000_000].splitlines()))[:20])
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(lines.line_num, [value.strip() for value in row]) for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        raise ValueError(f"{name} is no table that can be read ({error}); accepted are .csv or .npz.") from None
    width = len(rows[0][1]) if rows else 0
    if width < 2:
        raise ValueError(f"{name} has {width} columns; at least one feature and a label are needed.")
    for line, row in rows:
        if len(row) != width:
            raise ValueError(f"{name} has {len(row)} values in line {line} where its first row has {width}.")
    return rows, (lambda value: _number(value.replace(",", "."))) if delimiter == ";" else _number


def _delimiter(lines):
    """Return what is between the values of these lines: what cuts all alike, of several the most frequent in the first."""

    def fits(delimiter):
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)}
        except csv.Error:
            return False, 0
        return len(widths) == 1 and widths != {1}, lines[0].count(delimiter)

    return max(";\t,", key=fits) if lines else ","  # of as many commas as semicolons those: the commas are decimal


def _are_names(rows, number):
    """Return whether the first row holds the columns' names, not a sample; ``number`` makes one of a text, or None."""
    (_, first), *others = rows
    numbered = first[1:] if not first[0] else first
    if not any(number(value) is not None for value in first):
        return True
    if len(numbered) > 2 and numbered == [str(k) for k in range(len(numbered))]:
        return True  # as pandas names the columns of an array
    labels = [k for k, value in enumerate(first) if value.lower() in LABELS]
    return any(all(row[k] != first[k] for _, row in others) for k in labels)  # "y" may be a class, beside "n"


def _label_column(names, label, name):
    """Return the place of the label's column."""
    if label not in (None, ""):
        if str(label) in names:
            return names.index(str(label))
        if str(label).isdecimal() and 1 <= int(label) <= len(names):
            return int(label) - 1
        raise ValueError(f"{name} has no column {str(label)!r} to take the labels from; it has {_quoted(names, 12)}.")
    called = [k for k, column in enumerate(names) if column.lower() in LABELS]
    if len(called) > 1:
        called = [k for k in called if names[k].lower() != "y" or "x" not in map(str.lower, names)]  # a coordinate
    if len(called) > 1:
        raise ValueError(
            f"{name} has several columns that may be the labels, {_quoted([names[k] for k in called])}: name the one "
            "that holds them (label, --label), and leave the other out if it says the same, or it gives the answer away."
        )
    return called[0] if called else len(names) - 1


def _read_npz(data, label, name):
    """Return x (N, F), labels (N,) and no notes of an ``.npz``, or raise ValueError; never runs anything that it holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            sizes = {member.filename: member.file_size for member in members.infolist()}
    except zipfile.BadZipFile:
        raise ValueError(f"{name} is an .npz that is damaged or cut off.") from None
    if "[Content_Types].xml" in sizes:
        raise ValueError(f"{name} is a file of an office program; save its table as .csv.")
    if sum(sizes.values()) > 8 * ROWS * (COLUMNS + 100):
        raise ValueError(
            f"{name} unpacks to {sum(sizes.values()):,} bytes, more than {ROWS:,} rows of {COLUMNS:,} features."
        )
    arrays = {}
    for file in sizes:
        key = file.removesuffix(".npy")
        if key == label or key.lower() in (*FEATURES, *LABELS):
            with zipfile.ZipFile(io.BytesIO(data)) as members, members.open(file) as member:
                try:
                    arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
                except Exception as error:  # damaged files make numpy and zipfile raise exceptions of many kinds
                    objects = "Object arrays" in str(error)
                    what = "that holds Python objects: save plain arrays" if objects else "that is damaged or cut off"
                    raise ValueError(f"{name} is an .npz {what}.") from None
    x = next((arrays[key] for key in arrays if key.lower() in FEATURES), None)
    y = next((arrays[key] for key in arrays if (key == label if label else key.lower() in LABELS)), None)
    if x is None or y is None:
        had = _quoted([file.removesuffix(".npy") for file in sizes], 12) or "nothing"
        raise ValueError(f'{name} must hold the arrays "x" (N, F) and "{label or "y"}" (N,), got {had}.')
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    if x.dtype.kind not in "fiub" or x.ndim != 2 or y.shape != x.shape[:1] or y.dtype.kind not in "fiubU" or not x.size:
        raise ValueError(
            f"{name} must hold numbers x (N, F) and labels y (N,), got {x.dtype} {x.shape} and {y.dtype} {y.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(x).all(axis=0)).tolist()
    if bad:
        raise ValueError(
            f"{name} has missing or infinite values in {listed([f'x[:, {k}]' for k in bad])}: fill them in, or leave them out."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{name} has missing or infinite values in its labels: leave these rows out.")
    return x, y, ()
