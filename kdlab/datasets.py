"""Data sets: one shape for all of them, and the ones that come with the package."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checks import check_labels

__all__ = ["Dataset", "Split", "digits_logits", "load"]

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Split:
    """Samples with their labels: ``x`` float32 in [0, 1], (N, height, width, channels) or (N, F); ``y`` int32 (N,)."""

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self):
        if self.x.dtype != np.float32 or self.y.dtype != np.int32:
            raise ValueError(f"x must be float32 and y int32, got {self.x.dtype} and {self.y.dtype}")
        if self.x.ndim not in (2, 4):
            raise ValueError(f"x must be (N, F) or (N, height, width, channels), got shape {self.x.shape}")
        if self.y.shape != (len(self.x),):
            raise ValueError(f"y must have shape ({len(self.x)},), one label per sample of x, got {self.y.shape}")
        if self.x.size and not (self.x.min() >= 0 and self.x.max() <= 1):
            raise ValueError(f"x must lie in [0, 1], got values from {self.x.min()} to {self.x.max()}")

    def __len__(self):
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """Three splits that share their classes, with where they come from; −1 in ``train.y`` is "no label"."""

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    licence: str

    def __post_init__(self):
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            if split.x.shape[1:] != self.train.x.shape[1:]:
                raise ValueError(f"{name}.x must have samples of shape {self.train.x.shape[1:]}, got {split.x.shape}")
            check_labels(split.y, len(self.class_names), len(split), f"{name}.y", unlabelled=name == "train")


def load(name_or_path):
    """Return the ``Dataset`` of that name. Shipped with the package: "digits".

    Raises ValueError, listing the names there are, for any other.
    """
    if name_or_path not in tuple(_LOADERS):
        raise ValueError(f"name_or_path must be one of {', '.join(map(repr, _LOADERS))}, got {name_or_path!r}")
    return _LOADERS[name_or_path]()


def _digits():
    """1797 handwritten digits, 8×8 pixels as 64 features; half to train on, a sixth to validate, a third to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int32)
    train, rest = train_test_split(np.arange(len(x)), test_size=0.5, stratify=y, random_state=0)
    validation, test = train_test_split(rest, test_size=2 / 3, stratify=y[rest], random_state=0)
    return Dataset(
        *(Split(x[part], y[part]) for part in (train, validation, test)),
        class_names=tuple("0123456789"),
        source="scikit-learn's digits: Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI",
        licence="CC BY 4.0",
    )


_LOADERS = {"digits": _digits}


def digits_logits():
    """Return the shipped real logits on ``load("digits").test``: {"teacher": (600, 10), "student": (600, 10)}, float32.

    The teacher is trained to the end, the student only begun: ``python -m kdlab.teachers`` made the file.
    """
    with np.load(DATA / "digits_logits.npz", allow_pickle=False) as file:
        return {name: file[name] for name in ("teacher", "student")}
