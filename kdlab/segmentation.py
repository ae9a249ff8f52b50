"""Tiles of the nuclei's fields of view with the class of every pixel, and Dice: how well two masks agree. Numpy only.

A map of classes holds 0 where there is no nucleus, and else 1 + the index of the nucleus's class in ``CLASS_NAMES``.
"""

from dataclasses import dataclass

import numpy as np

from .checks import check_count, check_logits, check_same_shape
from .datasets.nuclei import BANDS, CLASS_NAMES, MARGIN, SPLITS, fields
from .evaluation import Interval, PairedDifference, bootstrap

TILE = 128
"""Pixels of the field that a tile is wide and high."""
SIDE = TILE // 2
"""Pixels of a tile as networks see it: at half the resolution."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """N squares of the fields of view: what networks see of them, and what is there.

    ``x`` float32 (N, SIDE, SIDE, 3) in [0, 1], each pixel the mean of four of the field; ``classes`` uint8
    (N, SIDE, SIDE), a map of classes, of the first of the four; ``images`` uint8 (N, TILE, TILE, 3), the field itself;
    ``fields`` (N,), the names of the fields; ``corners`` int (N, 2), row and column of the tile's first pixel.
    """

    x: np.ndarray
    classes: np.ndarray
    images: np.ndarray
    fields: np.ndarray
    corners: np.ndarray

    def __len__(self):
        return len(self.x)

    def masks(self):
        """Return a mask per class: float32 (N, SIDE, SIDE, classes), 1 in its nuclei and 0 elsewhere."""
        return (self.classes[..., None] == 1 + np.arange(len(CLASS_NAMES))).astype(np.float32)


def class_map(field):
    """Return the map of classes of a ``nuclei.Field``, uint8 (1500, 1500)."""
    return np.append(0, 1 + field.y).astype(np.uint8)[field.nuclei]


def load_tiles(split, stride=TILE):
    """Return the ``Tiles`` of a split, "train", "validation" or "test", of both fields of view.

    They lie within the bands of ``nuclei.BANDS``, ``MARGIN`` rows off their borders: no pixel is in tiles of two splits.
    The next one begins ``stride`` pixels further; with fewer than ``TILE`` they overlap. Raises ValueError for other
    arguments.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    stride, parts = check_count(stride, "stride"), []
    for name, field in fields().items():
        both = np.concatenate([field.image, class_map(field)[..., None]], axis=-1)
        corners = [
            (row, column)
            for top, bottom, where in BANDS
            if where == split
            for row in range(top + MARGIN, bottom - MARGIN - TILE + 1, stride)
            for column in range(0, both.shape[1] - TILE + 1, stride)
        ]
        squares = np.stack([both[row : row + TILE, column : column + TILE] for row, column in corners])
        parts.append((squares, np.full(len(corners), name), np.array(corners)))
    squares, names, corners = (np.concatenate(column) for column in zip(*parts, strict=True))
    images = squares[..., :3]
    x = images.reshape(-1, SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4), dtype=np.float32) / np.float32(255)
    return Tiles(x, squares[:, ::2, ::2, 3], images, names, corners)


def named_classes(logits):
    """Return the map of classes (...) that logits (..., C) say: of those above 0 the largest, 0 where none is.

    A logit of 0 is a probability of one half, as sigmoid gives it. Raises ValueError for what are no logits.
    """
    logits = check_logits(logits)
    return np.where(logits.max(axis=-1) > 0, 1 + logits.argmax(axis=-1), 0).astype(np.uint8)


def overlaps(predicted, true):
    """Return what Dice is made of, integers (N, classes, 2): pixels in both masks, and in the one plus in the other.

    ``predicted`` and ``true`` are maps of classes (N, height, width). Raises ValueError where their shapes differ.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    check_same_shape(predicted, true, "predicted", "true")
    found = []
    for c in range(1, 1 + len(CLASS_NAMES)):
        first, second = predicted == c, true == c
        found.append([(first & second).sum(axis=(1, 2)), first.sum(axis=(1, 2)) + second.sum(axis=(1, 2))])
    return np.moveaxis(np.array(found, dtype=np.int64), -1, 0)


def dice(counts):
    """Return Dice per class, (..., classes), from ``overlaps`` (..., N, classes, 2), the pixels of all tiles together.

    Dice = 2·|A ∩ B| / (|A| + |B|), from 0 to 1 (Dice 1945); on pixels it is F1. NaN for a class that is nowhere.
    """
    both, sizes = np.moveaxis(np.asarray(counts).sum(axis=-3), -1, 0)
    return np.divide(2 * both, sizes, out=np.full(sizes.shape, np.nan), where=sizes > 0)


def dice_intervals(counts, *, confidence=0.95, resamples=2000, seed=0):
    """Return the ``Interval`` of Dice of each class and, last, of their mean: percentiles of a bootstrap over tiles.

    ``counts`` is (N, classes, 2), of one network, or (S, N, classes, 2), of S networks alike whose Dice is averaged.
    Whole tiles are drawn with replacement, as pixels of a tile are no independent samples: the intervals say how another
    choice of tiles would move the value, not other seeds, nor another patient. The draws depend on ``seed`` and N alone.
    Raises ValueError for numbers that are not accepted.
    """
    found = bootstrap(*_statistic(counts), confidence, resamples, seed)
    return [Interval(*three) for three in np.transpose(found).tolist()]


def dice_differences(first, second, *, confidence=0.95, resamples=2000, seed=0):
    """Return the ``PairedDifference`` of Dice, first − second, of each class and, last, of their mean.

    Each draw takes the same tiles for both. Else as ``dice_intervals``. Raises ValueError where the shapes differ.
    """
    first, second = np.asarray(first), np.asarray(second)
    check_same_shape(first, second, "first", "second")
    found = bootstrap(*_statistic(first, second), confidence, resamples, seed)
    return [PairedDifference(*three) for three in np.transpose(found).tolist()]


def _statistic(first, second=None):
    """Return Dice of each class and their mean, or the difference of two networks', and the samples: tiles' indices.

    It is a function of drawn tiles (…, N) to (classes + 1, …).
    """

    def measure(counts, tiles):
        networks = counts[None] if counts.ndim == 3 else counts
        drawn = np.moveaxis(networks[:, tiles], -3, 0).sum(axis=0)  # (networks, …, classes, 2)
        values = dice(drawn[..., None, :, :]).mean(axis=0)
        return np.moveaxis(np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1), -1, 0)

    def statistic(tiles, axis=-1):
        return measure(first, tiles) - (0 if second is None else measure(second, tiles))

    first = np.asarray(first)
    return statistic, (np.arange(first.shape[-3]),)
