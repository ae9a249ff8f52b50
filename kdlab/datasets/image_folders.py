"""A folder of class folders of images: read, split by content, with a word on what was found."""

import inspect
import os
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from .dataset import Dataset, Split, hold_out
from .decoded_images import PREPARATIONS, decode_files
from .downloads import fetch_kaggle
from .stored_images import StoredImages, free_memory, to_float

__all__ = ["load_brain_tumor", "read_folder"]

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
_SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_MOST_NAMED = 10  # files named in a note


def read_folder(
    path,
    *,
    image_size=64,
    channels="auto",
    preparation="none",
    seed=0,
    validation_split=0.1,
    test_split=0.2,
    memory_limit=None,
):
    """Return the ``Dataset`` of a folder of class folders, with or without Training and Testing above them.

    jpg, png and bmp files of any mode and size, at any depth below their class, are stretched to ``image_size``,
    one number or (height, width); ``channels`` is 1, 3 or "auto", which is 1 where all images are grey.
    ``preparation`` "brain-mri" first cuts a scan to the head and brings its brightness on one scale
    (``kdlab.datasets.brain_mri``). They are decoded once and then come from the cache.

    ``test_split`` is the share of every class that becomes the test split where no Testing (or test) is given,
    ``validation_split`` that of the rest to validate with where no validation (or val) is; ``seed`` chooses. Images
    with the same pixels stay on one side of these splits; where a given border divides them, those on the
    training side are left out. ``notes`` tell how many, and which files could not be read.

    Where the images as float32 need more than ``memory_limit`` bytes (half of the free memory if None), every
    ``x`` is a ``StoredImages``.

    Raises ValueError for a folder without class folders, a class that one side does not have and options out of
    range; OSError for a disk that is full.
    """
    path, image_size = Path(path), _check_size(image_size)
    if channels not in ("auto", 1, 3):
        raise ValueError(f"channels must be 1, 3 or 'auto', got {channels!r}")
    if preparation not in PREPARATIONS:
        raise ValueError(f"preparation must be one of {', '.join(map(repr, PREPARATIONS))}, got {preparation!r}")
    if memory_limit is not None and not (isinstance(memory_limit, Real) and memory_limit >= 0):
        raise ValueError(f"memory_limit must be a number of bytes or None, got {memory_limit!r}")
    files, notes = _find(path)
    class_names = tuple(sorted({file.class_name for file in files}))
    decoded = decode_files([file.path for file in files], path, image_size, channels, preparation)
    good = np.flatnonzero([digest != "" for digest in decoded.digests])
    if not len(good):
        raise ValueError(f"none of the {len(files)} image files in {path} can be read: {decoded.skipped[0]}")
    if decoded.skipped:
        named = [f"{files[row].path.relative_to(path)} ({why})" for row, why in decoded.skipped.items()]
        notes.append(f"Skipped, because they could not be read: {_listed(named)}.")
    labels = np.array([class_names.index(files[row].class_name) for row in good], np.int32)
    sides = np.array([files[row].side for row in good])
    groups = np.unique([decoded.digests[row] for row in good], return_inverse=True)[1]
    notes += _copies(labels, groups, class_names)
    parts, notes_of_border = _divide(labels, sides, groups, class_names, seed, validation_split, test_split)
    notes += notes_of_border

    size = 4 * len(good) * int(np.prod(decoded.pixels.shape[1:]))
    limit = free_memory() // 2 if memory_limit is None else memory_limit
    if stored := size > limit:
        notes.append(f"The images stay on disk: as float32 they need {size / 1e9:.3g} GB, more than memory_limit.")
    make = StoredImages if stored else to_float
    return Dataset(
        *(Split(make(decoded.pixels, good[part]), labels[part], _names(files, good[part], path)) for part in parts),
        class_names=class_names,
        source=str(path),
        licence="that of the images",
        notes=tuple(notes),
    )


def _names(files, rows, path):
    return tuple(str(files[row].path.relative_to(path)) for row in rows)


def load_brain_tumor(preparation="brain-mri", **options):
    """Return "Brain MRI Images for Brain Tumor Detection" from Kaggle, 253 images, classes "no" and "yes".

    They are cut to the head unless ``preparation`` says otherwise. Options and errors as for ``read_folder``;
    OSError where the download fails.
    """
    handle = "navoneel/brain-mri-images-for-brain-tumor-detection"
    path = fetch_kaggle(handle, "brain-tumor", "folders 'yes' and 'no'")
    inner = path / "brain_tumor_dataset"  # Kaggle's archive holds both folders twice
    data = read_folder(inner if inner.is_dir() else path, preparation=preparation, **options)
    return replace(data, source=f"Kaggle, {handle}: Navoneel Chakrabarty 2019", licence="none stated")


load_brain_tumor.__signature__ = inspect.signature(partial(read_folder, None))


@dataclass(frozen=True)
class _File:
    """An image file, its class, and the side of a given border: "train", "validation", "test", or "" for none."""

    path: Path
    class_name: str
    side: str


def _find(folder):
    """Return the files below a folder, in one order always, and notes; raise ValueError where classes are missing."""
    notes = []
    inside = _folders(folder)
    while len(inside) == 1 and not _is_side(inside[0]) and not _images(folder, deep=False):
        if not (below := _folders(inside[0])):  # It is the only class.
            break
        folder, inside = inside[0], below
    sides = {"": folder}
    if any(_SIDES.get(sub.name.lower()) == "train" for sub in inside):
        sides = {}
        for sub in filter(_is_side, inside):
            side = _SIDES[sub.name.lower()]
            if side in sides:
                raise ValueError(f"{folder} must hold one folder for each side, got {sides[side].name} and {sub.name}")
            sides[side] = sub
        others = [sub.name for sub in inside if not _is_side(sub)]
        if others:
            notes.append(f"Left out, being beside {sides['train'].name}: {_listed(others)}.")
    files = [
        _File(image, sub.name, side) for side, top in sides.items() for sub in _folders(top) for image in _images(sub)
    ]
    _check_classes(files, sides, folder)
    return files, notes


def _folders(folder):
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and sub.name[0] not in "._")


def _is_side(folder):
    return folder.name.lower() in _SIDES


def _images(folder, deep=True):
    """Return the image files of a folder and, if ``deep``, of those below it."""
    found = []
    for top, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if deep and name[0] not in "._")
        found += [Path(top, name) for name in sorted(names) if name.lower().endswith(_ENDINGS) and name[0] != "."]
    return found


def _check_classes(files, sides, folder):
    """Raise ValueError unless there are two classes at least, and the same ones on each side of a given border."""
    classes = {side: sorted({file.class_name for file in files if file.side == side}) for side in sides}
    for side, top in sides.items():
        if len(classes[side]) < 2 and side in ("", "train"):
            got = f"only {classes[side][0]!r}" if classes[side] else "none"
            loose = f", and {len(_images(top, deep=False))} images in no class folder" if not classes[side] else ""
            raise ValueError(
                f"{top} must hold at least two folders of jpg, png or bmp images, one per class (or Training and "
                f"Testing with such folders in each), got {got}{loose}"
            )
    for side, found in classes.items():
        if odd := sorted(set(found) ^ set(classes.get("train", found))):
            raise ValueError(
                f"{sides['train']} and {sides[side].name} must hold images of the same classes, "
                f"but only one of them has {_listed(odd)}"
            )


def _copies(labels, groups, class_names):
    """Return notes on images with the same pixels."""
    sizes = np.bincount(groups)
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
        notes.append(f"The same image is there under more than one class {times} ({_listed(sorted(under))}).")
    return notes


def _divide(labels, sides, groups, class_names, seed, validation_split, test_split):
    """Return the rows of training, validation and test part, and notes on what crossed a given border."""
    notes = []
    rank = {"": 0, "train": 0, "validation": 1, "test": 2}
    ranks = np.array([rank[side] for side in sides])
    highest = np.zeros(groups.max() + 1, int)
    np.maximum.at(highest, groups, ranks)
    crossed = ranks < highest[groups]
    if crossed.any():
        notes.append(
            f"Images across the given border: {crossed.sum()}, different ones: {len(np.unique(groups[crossed]))}. Their "
            "copies on the side nearer to training were left out."
        )
    parts = [np.flatnonzero((ranks == side) & ~crossed) for side in range(3)]
    for side, share in ((2, test_split), (1, validation_split)):
        if not (ranks == side).any():
            pool = parts[0]
            rest, held = hold_out(labels[pool], share, seed, groups[pool], class_names)
            parts[0], parts[side] = pool[rest], pool[held]
    missing = np.setdiff1d(np.arange(len(class_names)), labels[parts[0]])
    if len(missing):
        raise ValueError(
            f"no image is left to train on of class {_listed([class_names[c] for c in missing])}: "
            "add some that can be read, or remove its folder"
        )
    return parts, notes


def _check_size(image_size):
    """Return (height, width)."""
    size = (image_size, image_size) if isinstance(image_size, Integral) else image_size
    good = isinstance(size, (tuple, list)) and len(size) == 2
    if not good or any(isinstance(side, bool) or not isinstance(side, Integral) or side < 1 for side in size):
        raise ValueError(f"image_size must be a whole number of pixels or (height, width), got {image_size!r}")
    return int(size[0]), int(size[1])


def _listed(names):
    """Return names for a sentence; the first few where there are many."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
