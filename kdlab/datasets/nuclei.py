"""Nuclei of an ovarian cancer under the microscope: two fields of view, crops around each nucleus, regions to split by."""

import functools
from dataclasses import dataclass
from io import BytesIO
from numbers import Integral

import numpy as np

from .dataset import DATA, Dataset, Split

FIELD_FILE = DATA / "nuclei.npz"
CLASS_NAMES = ("inflammatory", "connective", "neoplastic")
"""Immune cells; cells of the connective tissue, or stroma; cells of the tumour."""
SPLITS = ("train", "validation", "test")
SOURCE = "histolytics 0.3.0 (HautaniemiLab): two fields of view of a high-grade serous ovarian carcinoma, H&E stain"
LICENCE = "BSD-3-Clause"
NOTES = (
    "A machine may have helped to outline and to name the nuclei: the package does not say how it was done, "
    "and some labels will be wrong.",
    "Both fields are of one kind of tumour, stained and scanned alike: no model is shown here to be good elsewhere.",
)

# From which row of pixels to which, and what for: of layouts of few bands, one whose splits have nearly the same shares
# of the classes, with all of the test region in one piece.
BANDS = (
    (0, 150, "validation"),
    (150, 700, "train"),
    (700, 850, "validation"),
    (850, 1350, "test"),
    (1350, 1500, "train"),
)
MARGIN = 8
"""Rows left free on either side of a border between bands: JPEG codes 16×16 pixels together."""


@dataclass(frozen=True, eq=False)
class Field:
    """A field of view, 1500×1500 pixels, with its N nuclei.

    ``image`` uint8 (1500, 1500, 3); ``nuclei`` uint16 (1500, 1500), for each pixel the number of the nucleus it
    belongs to, from 1 to N, or 0 for none; ``centres`` int16 (N, 2), row and column of the middle of each
    nucleus's bounding box; ``y`` int32 (N,), its class, an index into ``CLASS_NAMES``. All are read-only.
    """

    image: np.ndarray
    nuclei: np.ndarray
    centres: np.ndarray
    y: np.ndarray


def fields():
    """Return both fields of view as they are shipped: {"nest": Field, "stroma": Field}.

    "nest" has 1295 nuclei in and around a nest of tumour cells, "stroma" 423, nearly all of connective tissue.
    """
    return {name: _field(name) for name in ("nest", "stroma")}


@functools.cache
def _field(name):
    from PIL import Image

    with np.load(FIELD_FILE, allow_pickle=False) as file:
        field = Field(
            image=np.asarray(Image.open(BytesIO(file[f"{name}_jpeg"].tobytes()))),
            nuclei=file[f"{name}_nuclei"],
            centres=file[f"{name}_centres"],
            y=file[f"{name}_classes"].astype(np.int32),
        )
    for array in vars(field).values():
        array.setflags(write=False)
    return field


def crops(field, size=32):
    """Return the square around every nucleus of a ``Field``: float32 (N, size, size, 3) in [0, 1].

    Each goes from centre − size/2 up to, not including, centre + size/2; what would lie beyond the field's edge
    is mirrored. Raises ValueError unless ``size`` is an even number of pixels from 8 to 128.
    """
    return _crops(_windows(field.image, size), field.centres)


def _windows(image, size):
    """Return a view (height, width, 3, size, size) of the mirrored image: the square around each of its pixels."""
    half = _check_size(size) // 2
    image = np.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))


def _crops(windows, centres):
    chosen = np.moveaxis(windows[centres[:, 0], centres[:, 1]], 1, -1)
    return np.divide(chosen, 255, dtype=np.float32, order="C")


def regions(field, size=32):
    """Return the split that the crop of every nucleus lies in, an array (N,) of "train", "validation", "test" and "".

    It is "" for a crop that does not lie whole within one of ``BANDS``, ``MARGIN`` rows off the next one: so no
    pixel is in crops of two splits. Raises ValueError as ``crops`` does.
    """
    half = _check_size(size) // 2
    height = field.image.shape[0]
    rows = field.centres[:, 0].astype(int)
    first, end = np.maximum(rows - half, 0), np.minimum(rows + half, height)
    where = np.full(len(rows), "", dtype="<U10")
    for top, bottom, split in BANDS:
        from_top = top + MARGIN if top > 0 else 0
        to_bottom = bottom - MARGIN if bottom < height else height
        where[(first >= from_top) & (end <= to_bottom)] = split
    return where


def split_nuclei(field, size=32, split="region"):
    """Return the split of every nucleus, as ``regions`` does, or where ``split`` is "random" the same names shuffled.

    Nuclei without a split stay without. Raises ValueError for another ``split`` and as ``crops`` does.
    """
    if split not in ("region", "random"):
        raise ValueError(f'split must be "region" or "random", got {split!r}')
    where = regions(field, size)
    if split == "random":
        used = np.flatnonzero(where)
        where[used] = np.random.default_rng(0).permutation(where[used])
    return where


def views(x):
    """Return the eight views of square images (…, height, width, channels): turned by quarters, and mirrored.

    The result is (8, …, height, width, channels), the images as they were first. A nucleus is the same whichever
    way it lies, so a student may be trained on all of them, each with the teacher's logits of that very view.
    """
    x = np.asarray(x)
    if x.ndim < 3 or x.shape[-3] != x.shape[-2]:
        raise ValueError(f"x must be square images (…, height, width, channels), got shape {x.shape}")
    return np.stack([np.rot90(way, turns, (-3, -2)) for way in (x, np.flip(x, -2)) for turns in range(4)])


def load_nuclei(*, size=32, split="region"):
    """Return the ``Dataset`` of the nuclei of the field "nest", ``size`` × ``size`` pixels around each.

    ``split`` "region": by ``BANDS``, as an honest test needs it. "random": the same nuclei and as many of each split,
    but drawn at random, so that crops of the test split overlap those of the training split; only to show the leak.
    Raises ValueError for another ``split`` and for a ``size`` as ``crops`` does.
    """
    field = _field("nest")
    where, windows = split_nuclei(field, size, split), _windows(field.image, size)
    leaks = ("The split is random: crops of the test split overlap those of the training split.",)
    return Dataset(
        **{name: Split(_crops(windows, field.centres[where == name]), field.y[where == name]) for name in SPLITS},
        class_names=CLASS_NAMES,
        source=SOURCE,
        licence=LICENCE,
        notes=NOTES + leaks * (split == "random"),
    )


def _check_size(size):
    if isinstance(size, bool) or not isinstance(size, Integral) or size % 2 or not 8 <= size <= 128:
        raise ValueError(f"size must be an even number of pixels from 8 to 128, got {size!r}")
    return int(size)
