"""Samples into training, validation and test part: a given border is kept, and copies of an image are on one side of it."""

import hashlib

import numpy as np

from ..memory import free_memory
from .class_folders import SIDES, listed
from .dataset import Dataset, Split, hold_out

_BLOCK = 1024  # images converted at a time


def from_arrays(images, labels, class_names, validation_split, seed, **origin):
    """Return the ``Dataset`` of images that come with a border; ``validation_split`` of "train" is split off if need be.

    ``images`` and ``labels`` map "train", "test" and, where there is one, "validation" to uint8 (N, height, width,
    channels) and whole numbers (N,). ``origin`` are source, licence and notes. Otherwise as ``divide``.
    """
    sides = np.concatenate([np.full(len(labels[side]), side, object) for side in labels])
    shares = {} if "validation" in labels else {"validation": validation_split}
    groups = _groups(image for side in labels for image in images[side])
    notes = origin.pop("notes", ())
    parts, notes_of_copies = divide(np.concatenate(list(labels.values())), sides, groups, class_names, shares, seed)
    starts = dict(zip(labels, np.cumsum([0, *map(len, labels.values())]), strict=False))
    splits = {}
    for part, rows in zip(SIDES, parts, strict=True):
        held = part if part in labels else "train"
        rows = rows - starts[held]
        splits[part] = Split(to_float(images[held], rows), labels[held][rows].astype(np.int32))
    return Dataset(**splits, class_names=class_names, notes=(*notes, *notes_of_copies), **origin)


def one_label(labels, name):
    """Return labels (N,) of an array of labels (N,), (N, 1) or one-hot (N, C); ValueError for several per sample."""
    if labels.ndim < 2:
        return labels
    if labels.ndim > 2:
        raise ValueError(f"the {name} must be (N,), (N, 1) or one-hot (N, C), got shape {labels.shape}")
    if labels.shape[1] < 2:
        return labels.ravel()
    good = np.zeros(len(labels), bool)
    if labels.dtype.kind in "iufb":
        good = np.isin(labels, (0, 1)).all(axis=1) & (np.count_nonzero(labels, axis=1) == 1)
    if good.all():
        return labels.argmax(axis=1)
    raise ValueError(
        f"the {name} are {labels.shape[1]} numbers per image and not one-hot (a multi-label set?), as the row "
        f"{' '.join(map(str, labels[~good][0][:12]))}: one label per image is needed"
    )


def to_float(pixels, rows):
    """Return ``pixels[rows]``, uint8 (N, …), as float32 in [0, 1]; block by block, so that nothing else needs memory."""
    images = np.empty((len(rows), *pixels.shape[1:]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        np.divide(pixels[rows[block]], 255, out=images[block], dtype=np.float32)
    return images


def check_fits_in_memory(size, name, way_out="use a smaller file"):
    """Raise ValueError where ``size`` bytes, needed for what is called ``name``, are more than the free memory."""
    free = free_memory()
    if size > free:
        raise ValueError(
            f"{name} needs {size / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: close other programs, or {way_out}"
        )


def divide(labels, sides, groups, class_names, shares, seed=0):
    """Return the rows of the training, the validation and the test part, ascending, and sentences on copies.

    All are (N,): ``labels``; ``sides``, each one of ``SIDES``, or "" where there is no border; ``groups``, numbers that
    copies of one image share. ``shares`` are those to hold out of the training part, by side, as in ``hold_out``. Copies
    that a border divides are left out on the side nearer to training.

    Raises ValueError where that leaves nothing of a class to train on, and as ``hold_out``.
    """
    notes = _copies(labels, groups, class_names)
    rank = {"": 0, **{side: number for number, side in enumerate(SIDES)}}
    ranks = np.array([rank[side] for side in sides])
    highest = np.zeros(len(labels), int)
    np.maximum.at(highest, groups, ranks)
    crossed = ranks < highest[groups]
    if crossed.any():
        notes.append(
            f"Images across the given border: {crossed.sum()}, different ones: {len(np.unique(groups[crossed]))}. Their "
            "copies on the side nearer to training were left out."
        )
    parts = [np.flatnonzero((ranks == side) & ~crossed) for side in range(3)]
    missing = np.setdiff1d(labels[ranks == 0], labels[parts[0]])
    if len(missing):
        raise ValueError(
            f"no image is left to train on of class {listed([class_names[c] for c in missing])}: all are there to "
            "validate or test with, too"
        )
    for side in sorted(shares, key=SIDES.index, reverse=True):
        rest, held = hold_out(labels[parts[0]], shares[side], seed, groups[parts[0]], class_names)
        parts[SIDES.index(side)], parts[0] = parts[0][held], parts[0][rest]
    return parts, notes


def _groups(images):
    """Return a number for each image, which those of the same pixels share: the place of the first of them."""
    first = {}
    names = (hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in images)
    return np.array([first.setdefault(name, place) for place, name in enumerate(names)], np.int64)


def _copies(labels, groups, class_names):
    """Return notes on images with the same pixels."""
    sizes = np.unique(groups, return_counts=True)[1]
    notes = []
    if (sizes > 1).any():
        notes.append(
            f"Exact duplicates (the same pixels): {(sizes - 1).sum()}, in groups: {(sizes > 1).sum()}. Each group is kept "
            "on one side of the split."
        )
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    torn = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if len(torn):
        under = {class_names[label] for label in pairs[1][np.isin(pairs[0], torn)]}
        times = f"{len(torn)} time{'s' if len(torn) > 1 else ''}"
        notes.append(f"The same image is there under more than one class {times} ({listed(sorted(under))}).")
    return notes
