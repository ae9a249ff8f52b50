"""Data sets: one shape for all of them, how they are split and ordered, and the digits that come with the package."""

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..checks import check_count, check_labels

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Split:
    """Samples with their labels: ``x`` float32 in [0, 1], (N, height, width, channels) or (N, F); ``y`` int32 (N,).

    ``names`` are the samples' own, as files have them, or none.
    """

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.x.dtype != np.float32 or self.y.dtype != np.int32:
            raise ValueError(f"x must be float32 and y int32, got {self.x.dtype} and {self.y.dtype}")
        if self.x.ndim not in (2, 4):
            raise ValueError(f"x must be (N, F) or (N, height, width, channels), got shape {self.x.shape}")
        if self.y.shape != (len(self.x),):
            raise ValueError(f"y must have shape ({len(self.x)},), one label per sample of x, got {self.y.shape}")
        if len(self.names) not in (0, len(self.x)):
            raise ValueError(f"names must be one for each of {len(self.x)} samples, got {len(self.names)}")
        if self.x.size and not (self.x.min() >= 0 and self.x.max() <= 1):
            raise ValueError(f"x must lie in [0, 1], got values from {self.x.min()} to {self.x.max()}")

    def __len__(self):
        return len(self.x)

    def __repr__(self):
        return f"Split({len(self):,} samples of shape {tuple(self.x.shape[1:])})"


class FeatureScaling(NamedTuple):
    """How a table's features became samples: 0.5 + (feature − mean) / (2 · reach · deviation), cut off at 0 and 1.

    ``mean`` and ``deviation`` (F,) are those of the training rows, 1 for the deviation of a constant feature.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    reach: float


@dataclass(frozen=True)
class Dataset:
    """Three splits that share their classes, with where they come from; −1 in ``train.y`` is "no label".

    ``notes`` are sentences for the user: duplicates, files that were skipped. ``scaling`` is what a table's features
    were standardised with, None for other data.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    licence: str
    notes: tuple[str, ...] = ()
    scaling: FeatureScaling | None = None

    def __post_init__(self):
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            if split.x.shape[1:] != self.train.x.shape[1:]:
                raise ValueError(f"{name}.x must have samples of shape {self.train.x.shape[1:]}, got {split.x.shape}")
            check_labels(split.y, len(self.class_names), len(split), f"{name}.y", unlabelled=name == "train")

    def count(self):
        """Return the labelled samples of each class, (to train on, to validate with, to test on)."""
        counts = [
            np.bincount(split.y[split.y >= 0], minlength=len(self.class_names)).tolist() for split in self._splits
        ]
        return list(zip(*counts, strict=True))

    @property
    def _splits(self):
        return self.train, self.validation, self.test

    def __repr__(self):
        sizes = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("train", "validation", "test"))
        return f"Dataset({sizes}; {len(self.class_names)} classes; samples of shape {tuple(self.train.x.shape[1:])})"

    @classmethod
    def from_arrays(
        cls, x, y, *, test=None, validation=None, class_names=None, test_split=0.2, validation_split=0.1, seed=0
    ):
        """Return the ``Dataset`` of arrays: ``x`` (N, F), (N, height, width) or (N, height, width, channels), ``y`` (N,).

        ``x`` are numbers from 0 to 1, or whole numbers of 8 bits from 0 to 255, ``y`` whole numbers from 0 on; −1 is
        "no label", in the training split. ``test`` and ``validation`` are pairs (x, y); where they are None,
        ``test_split`` of the labelled samples of every class are split off to test on and ``validation_split`` of the
        rest to validate on. ``class_names`` are "0", "1", … unless given. Raises ValueError for what does not fit.
        """
        pairs = {"train": (x, y), "test": test, "validation": validation}
        classes = None if class_names is None else len(class_names)
        parts = {name: _split(name, *pair, classes) for name, pair in pairs.items() if pair is not None}
        if class_names is None:
            class_names = [str(k) for k in range(max(part.y.max(initial=0) for part in parts.values()) + 1)]
        x, y = parts["train"].x, parts["train"].y
        rest = np.arange(len(x))
        for name, share in (("test", test_split), ("validation", validation_split)):
            if name not in parts:
                known = rest[y[rest] >= 0]
                held = known[hold_out(y[known], share, seed, class_names=class_names)[1]]
                parts[name], rest = Split(x[held], y[held]), np.setdiff1d(rest, held)
        parts["train"] = Split(x[rest], y[rest])
        return cls(**parts, class_names=tuple(class_names), source="arrays", licence="its own")

    @cached_property
    def fingerprint(self):
        """Names the data: the SHA-256, in hexadecimal, of every split's samples and labels and of the class names."""
        content = hashlib.sha256(repr(self.class_names).encode())
        for split in self._splits:
            content.update(repr(split.x.shape).encode())
            content.update(np.ascontiguousarray(split.x, "<f4"))
            content.update(np.ascontiguousarray(split.y, "<i4"))
        return content.hexdigest()


def _split(name, x, y, classes):
    """Return the ``Split`` of given arrays, or raise ValueError; only that to train on may have samples without a label."""
    train = name == "train"
    whose = "" if train else f"{name}'s "
    x = _samples(x, f"{whose}x", least=1 if train else 0)
    return Split(x, check_labels(y, classes, len(x), f"{whose}y", unlabelled=train).astype(np.int32))


def _samples(x, name, least=1):
    """Return samples as float32 in [0, 1], images with their channels, or raise ValueError."""
    x = np.asarray(x)
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / 255
    if x.dtype.kind not in "fiu" or x.ndim not in (2, 3, 4) or len(x) < least:
        shapes = "(N, F), (N, height, width) or (N, height, width, channels)"
        raise ValueError(f"{name} must be numbers of shape {shapes}, got {x.dtype} of shape {x.shape}")
    return (x[..., None] if x.ndim == 3 else x).astype(np.float32)


def hold_out(labels, share, seed=0, groups=None, class_names=None):
    """Split samples by class: return the rest's indices and those of ``share`` of every class, both ascending.

    Of every class at least one sample is held out and one is left. ``labels`` and, where samples belong together
    (copies of one image), ``groups`` are (N,) of whole numbers: a group stays whole. ``share`` 0 holds out nothing.

    Raises ValueError for a ``share`` outside [0, 1), another ``seed`` than 0, 1, … and a class that is too small.
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
        raise ValueError(f"the share of samples to split off must lie in [0, 1), got {share!r}")
    seed = check_count(seed, "seed", 0)
    labels = np.asarray(labels)
    if share == 0:
        return np.arange(len(labels)), np.arange(0)
    groups = np.arange(len(labels)) if groups is None else groups
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    held = np.zeros(len(first), bool)
    for label in np.unique(labels[first]):
        members = order[labels[first][order] == label]
        if len(members) < 2:
            name = class_names[label] if class_names else int(label)
            raise ValueError(f"class {name!r} has too few different samples to split off {share:.0%} of them")
        held[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return np.flatnonzero(~held[group]), np.flatnonzero(held[group])


def few_of_each(labels, count):
    """Return the places of ``count`` samples, balanced over the classes as far as can be; the same every time.

    ``labels`` (N,) are whole numbers from 0 on. Raises ValueError for another ``count`` than a whole number from 2 to N.
    """
    count = check_count(count, "labels", 2, len(labels))
    # The order of a fixed shuffle, class by class in turn.
    order = np.random.default_rng(0).permutation(len(labels))
    within = np.zeros(len(order), int)
    for c in np.unique(labels):
        members = order[labels[order] == c]
        within[members] = np.arange(len(members))
    return np.argsort(within, kind="stable")[:count]


def epoch_order(samples, seed, epoch):
    """Return the order, (samples,) int64, in which the epoch of that number sees the samples; the same every time."""
    return np.random.default_rng((seed, epoch)).permutation(samples)


@cache
def _read_digits():
    """Return pixels (1797, 64) from 0 to 1, labels, and the places of the three splits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, rest = train_test_split(np.arange(len(x)), test_size=0.5, stratify=y, random_state=0)
    validation, test = train_test_split(rest, test_size=2 / 3, stratify=y[rest], random_state=0)
    return (x / 16).astype(np.float32), y.astype(np.int32), (train, validation, test)


def digits(labels=None):
    """1797 handwritten digits, 8×8 pixels as 64 features; half to train on, a sixth to validate, a third to test.

    ``labels`` are how many of the 898 to train on are kept; all, unless given.
    """
    x, y, (train, *rest) = _read_digits()
    parts = (train if labels is None else train[few_of_each(y[train], labels)], *rest)
    return Dataset(
        *(Split(x[part], y[part]) for part in parts),
        class_names=tuple("0123456789"),
        source="scikit-learn's digits: Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI",
        licence="CC BY 4.0",
    )


def digits_teacher_weights(path=DATA / "digits_teacher.npz"):
    """Return the shipped teacher's weights, float32, in the order of ``get_weights``: kernel and bias of each layer.

    Dense 64-256-256-10 with relu, see ``kdlab.teachers.digits.digits_teacher``: (64, 256), (256,), (256, 256), …
    """
    with np.load(path, allow_pickle=False) as file:
        return [file[name].astype(np.float32) for name in file]


def digits_logits(split="test"):
    """Return the shipped real logits on a split of ``load("digits")``: {"teacher": (N, 10), "student": (N, 10)}, float32.

    ``split`` is "train" (898 digits), "validation" (299) or "test" (600). The teacher is that of
    ``kdlab.teachers.digits.digits_teacher``, the student is only partly trained; ``python -m kdlab.teachers.digits`` made both.
    Raises ValueError for another split.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split must be train, validation or test, got {split!r}")
    with np.load(DATA / "digits_logits.npz", allow_pickle=False) as file:
        return {name: file[f"{split}_{name}"] for name in ("teacher", "student")}
