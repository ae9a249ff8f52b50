"""EMNIST: handwritten letters and digits, from the MATLAB files that NIST ships (Cohen et al. 2017, arXiv:1702.05373)."""

import warnings
import zipfile
from pathlib import Path

import numpy as np

from ..cache import cache_folder, new_file
from .class_folders import printable
from .downloads import fetch
from .splits import check_fits_in_memory, from_arrays, one_label

URL = "https://biometrics.nist.gov/cs_links/EMNIST/matlab.zip"
CHECKSUM = "md5:1bbb49fdf3462bb70c240eac93fff0e4"  # of the file at this address and at NIST's former one

# How many images the published files hold to train and to test on.
_SAMPLES = {
    "balanced": (112_800, 18_800),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "digits": (240_000, 40_000),
    "letters": (124_800, 20_800),
    "mnist": (60_000, 10_000),
}
NAMES = tuple(f"emnist-{variant}" for variant in _SAMPLES)

_SIDE = 28
_PIXELS = _SIDE * _SIDE


def load_by_name(name, *, seed=0, validation_split=0.1):
    """Return the ``Dataset`` of that name of ``NAMES``, downloaded once (all variants together, 0.7 GB).

    Options and errors as for ``read_mat``; OSError where the download fails.
    """
    path = cache_folder("downloads") / f"{name}.mat"
    if not path.exists():
        archive = fetch(URL, CHECKSUM, "emnist-matlab.zip", name)
        with zipfile.ZipFile(archive) as zipped, zipped.open(f"matlab/{name}.mat") as packed, new_file(path) as file:
            while block := packed.read(2**20):
                file.write(block)
    return read_mat(path, seed=seed, validation_split=validation_split)


def read_mat(path, *, seed=0, validation_split=0.1):
    """Return the ``Dataset`` of an EMNIST ``.mat``: x (N, 28, 28, 1), classes 0 to C − 1 named by their characters.

    ``validation_split`` is the share of the training part, of every class, that ``seed`` chooses to validate with.

    Raises ValueError for a file that is no MATLAB file, is damaged or does not hold EMNIST's arrays.
    """
    path = Path(path)
    content = _read(path)
    try:
        content = content["dataset"][0, 0]
        parts = {part: content[part][0, 0] for part in ("train", "test")}
        images = {part: parts[part]["images"] for part in parts}
        labels = {part: np.asarray(parts[part]["labels"]) for part in parts}
        mapping = content["mapping"]
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is a MATLAB file but not one of EMNIST's: it must hold a struct 'dataset' of 'train' and 'test' "
            "(each 'images' and 'labels') and 'mapping'"
        ) from None
    del content, parts
    check_fits_in_memory(4 * sum(getattr(array, "size", 0) for array in images.values()), path)
    classes, names = _classes(mapping, path)
    numbers = {part: _numbers(labels[part], classes, f"{part} labels of {path}") for part in labels}
    upright = {part: _upright(images[part], len(numbers[part]), f"{part} images of {path}") for part in images}
    return from_arrays(
        upright,
        numbers,
        names,
        validation_split,
        seed,
        **_origin(path, len(numbers["train"]), len(numbers["test"])),
    )


def _read(path):
    """Return the variables of a MATLAB file, or raise ValueError; scipy has no one exception for a bad file."""
    import scipy.io

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the path of an EMNIST .mat")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bytes after the end, in a damaged file
            return scipy.io.loadmat(path, variable_names=["dataset"])
    except NotImplementedError:
        raise ValueError(f"{path} is a MATLAB 7.3 file: save it with '-v7', as NIST ships it") from None
    except MemoryError:
        raise ValueError(f"{path} needs more memory than there is, or is damaged: get the file once more") from None
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} is not a MATLAB file, or it is cut off or damaged ({reason}): get the file once more"
        ) from error


def _classes(mapping, path):
    """Return the file's labels, ascending, and the characters they stand for: the upper-case ones of letters."""
    good = isinstance(mapping, np.ndarray) and mapping.dtype.kind in "iuf" and mapping.ndim == 2
    if not good or mapping.shape[1] < 2 or len(np.unique(mapping[:, 0])) != len(mapping):
        raise ValueError(f"the mapping of {path} must have a row per class: its label and its character's code")
    mapping = mapping[np.argsort(mapping[:, 0])].astype(np.int64)
    if not ((mapping[:, 1] > 32) & (mapping[:, 1] < 127)).all():
        raise ValueError(f"the mapping of {path} must name characters by codes from 33 to 126, got {mapping[:, 1]}")
    return mapping[:, 0], tuple(map(chr, mapping[:, 1]))


def _numbers(labels, classes, name):
    """Return labels as places in ``classes``, int32."""
    if labels.dtype.kind not in "iuf":
        raise ValueError(f"the {name} must be whole numbers, got values of type {labels.dtype}")
    if labels.ndim == 2 and 1 not in labels.shape:
        if labels.shape[1] != len(classes):
            raise ValueError(
                f"the {name} have {labels.shape[1]} columns and its mapping {len(classes)} classes: they must be one number "
                "per image, or one-hot"
            )
        return one_label(labels, name).astype(np.int32)
    labels = labels.ravel()
    wrong = labels[~np.isin(labels, classes)]
    if len(wrong):
        raise ValueError(f"the {name} must be in its mapping, {classes[0]} to {classes[-1]}, got {wrong[0]}")
    return np.searchsorted(classes, labels).astype(np.int32)


def _upright(images, samples, name):
    """Return uint8 (N, 28, 28, 1): the file holds every image column after column."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (samples, _PIXELS):
        got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise ValueError(f"the {name} must be uint8 ({samples}, {_PIXELS}), one row per label, got {got}")
    return np.ascontiguousarray(images).reshape(-1, _SIDE, _SIDE, 1).transpose(0, 2, 1, 3)


def _origin(path, *samples):
    """Return source and licence: EMNIST's where name and numbers of images are those of a published file."""
    if _SAMPLES.get(path.stem.lower().removeprefix("emnist-")) == samples:
        source = f"EMNIST ({path.stem}): Cohen, Afshar, Tapson & van Schaik 2017, arXiv:1702.05373"
        return {"source": source, "licence": "none stated; made from NIST Special Database 19"}
    return {"source": printable(path), "licence": "unknown: the file does not say"}
