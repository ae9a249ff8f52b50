"""A folder of class folders of images: read, split by content, with a word on what was found."""

import inspect
from dataclasses import replace
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np

from .class_folders import find_images, listed, printable
from .dataset import Dataset, Split
from .decoded_images import PREPARATIONS, decode_files
from .downloads import fetch_kaggle
from .splits import check_fits_in_memory, divide, to_float

LARGER = (
    "take a smaller image size; images that are larger than memory can be read by "
    "keras.utils.image_dataset_from_directory, whose batches kdlab.Distiller trains on"
)
BRAIN_TUMOR = "navoneel/brain-mri-images-for-brain-tumor-detection"


def read_folder(
    path,
    *,
    image_size=64,
    channels="auto",
    preparation="none",
    seed=0,
    validation_split=0.1,
    test_split=0.2,
    classes=None,
):
    """Return the ``Dataset`` of a folder of class folders, with or without Training and Testing above or below them.

    Which folders those are, ``class_folders.find_images`` tells, or ``classes``, a list of their names. The images
    (jpg, png, bmp, tiff, webp, pgm …; of a gif and a file of several pages the first) of any mode and size, at any
    depth below their class, are stretched to ``image_size``, one number or (height, width); ``channels`` is 1, 3
    or "auto", which is 1 where all images are grey.
    ``preparation`` "brain-mri" first cuts a scan to the head and brings its brightness on one scale
    (``kdlab.datasets.brain_mri``). They are decoded once and then come from the cache.

    ``test_split`` is the share of every class that becomes the test split where no Testing (or test) is given,
    ``validation_split`` that of the rest to validate with where no validation (or val) is; ``seed`` chooses. Images
    with the same pixels stay on one side of these splits; where a given border divides them, those on the
    training side are left out. ``notes`` tell how many, and whatever else in the folder was left out.

    Raises ValueError for a folder without class folders, one that leaves doubt which those are, a class of which
    nothing can be read or that one side does not have, images that are larger than the free memory, and options out of
    range.
    """
    path, image_size = Path(path), _check_size(image_size)
    if channels not in ("auto", 1, 3):
        raise ValueError(f"channels must be 1, 3 or 'auto', got {channels!r}")
    if preparation not in PREPARATIONS:
        raise ValueError(f"preparation must be one of {', '.join(map(repr, PREPARATIONS))}, got {preparation!r}")
    files, notes = find_images(path, _check_names(classes))
    class_names = tuple(sorted({file.class_name for file in files}))

    def check_room(images, channels):
        """Refuse what does not fit: as float32, and once more while something trains on it; the bytes before take less."""
        check_fits_in_memory(8 * images * image_size[0] * image_size[1] * channels, path, LARGER)

    check_room(len(files), 3 if channels == 3 else 1)
    decoded = decode_files([file.path for file in files], path, image_size, channels, preparation)
    good = np.flatnonzero([digest != "" for digest in decoded.digests])
    if not len(good):
        raise ValueError(f"none of the {len(files)} image files in {path} can be read: {decoded.skipped[0]}")
    if decoded.skipped:
        named = [f"{printable(files[row].path.relative_to(path))} ({why})" for row, why in decoded.skipped.items()]
        notes.append(f"Skipped, because they could not be read: {listed(named)}.")
    notes += decoded.notes
    lost = {(file.side, file.class_name) for file in files} - {(files[row].side, files[row].class_name) for row in good}
    for side, name in sorted(lost):
        where = f"the {side} images of class" if side else "class"
        row = next(row for row, file in enumerate(files) if (file.side, file.class_name) == (side, name))
        raise ValueError(f"none of {where} {name!r} can be read, the first because: {decoded.skipped[row]}")
    labels = np.array([class_names.index(files[row].class_name) for row in good], np.int32)
    sides = np.array([files[row].side for row in good])
    groups = np.unique([decoded.digests[row] for row in good], return_inverse=True)[1]
    shares = {"test": test_split, "validation": validation_split}
    shares = {side: share for side, share in shares.items() if side not in sides}
    parts, notes_of_copies = divide(labels, sides, groups, class_names, shares, seed)
    notes += notes_of_copies

    check_room(len(good), decoded.pixels.shape[-1])
    return Dataset(
        *(Split(to_float(decoded.pixels, good[part]), labels[part], _names(files, good[part], path)) for part in parts),
        class_names=class_names,
        source=printable(path),
        licence="that of the images",
        notes=tuple(notes),
    )


def _names(files, rows, path):
    return tuple(str(files[row].path.relative_to(path)) for row in rows)


def brain_tumor_folder():
    """Return the folder of that set, with a folder for each class, downloaded the first time; OSError where it fails."""
    path = fetch_kaggle(f"{BRAIN_TUMOR}/versions/1", "brain-tumor", "folders 'yes' and 'no'")
    inner = path / "brain_tumor_dataset"  # Kaggle's archive holds both folders twice
    return inner if inner.is_dir() else path


def load_brain_tumor(preparation="brain-mri", **options):
    """Return "Brain MRI Images for Brain Tumor Detection" from Kaggle, 253 images, classes "no" and "yes".

    They are cut to the head unless ``preparation`` says otherwise. Options and errors as for ``read_folder``;
    OSError where the download fails.
    """
    data = read_folder(brain_tumor_folder(), preparation=preparation, **options)
    return replace(data, source=f"Kaggle, {BRAIN_TUMOR}: Navoneel Chakrabarty 2019", licence="none stated")


load_brain_tumor.__signature__ = inspect.signature(partial(read_folder, None))


def _check_names(classes):
    """Return the names of classes, or None."""
    names = [classes] if isinstance(classes, str) else classes
    good = isinstance(names, list | tuple) and len(names) > 1 and all(isinstance(n, str) and n for n in names)
    if names is not None and not good:
        raise ValueError(f"classes must be the names of two folders or more, or None, got {classes!r}")
    return names


def _check_size(image_size):
    """Return (height, width)."""
    size = (image_size, image_size) if isinstance(image_size, Integral) else image_size
    good = isinstance(size, (tuple, list)) and len(size) == 2
    if not good or any(isinstance(side, bool) or not isinstance(side, Integral) or side < 1 for side in size):
        raise ValueError(f"image_size must be a whole number of pixels or (height, width), got {image_size!r}")
    return int(size[0]), int(size[1])
