"""``kdlab.load``: every data set by its name or its path."""

import inspect
from functools import partial
from pathlib import Path

import numpy as np

from . import emnist, image_folders, medmnist, tables
from .dataset import digits
from .nuclei import load_nuclei

_NAMED = {
    "digits": digits,
    "nuclei": load_nuclei,
    **{name: partial(module.load_by_name, name) for module in (emnist, medmnist) for name in module.NAMES},
    "brain-tumor": image_folders.load_brain_tumor,
}
NAMES = tuple(_NAMED)
_PATHS = "an EMNIST .mat, a MedMNIST .npz, a table as .csv or .npz, or a folder of class folders"


def load(name_or_path, **options):
    """Return the ``Dataset`` of that name, or of that path.

    Names: "digits" and "nuclei" are shipped with the package; these are downloaded once and kept: "mnist", EMNIST's
    ("emnist-letters", …), the MedMNIST 2-D sets of one label per image ("pneumoniamnist", …), "brain-tumor".
    Paths: an EMNIST ``.mat``, an ``.npz`` as MedMNIST or Keras ship them, a folder of class folders, a table of features
    and labels as ``.csv`` or ``.npz`` (``tables.read_table``).

    ``options`` are the source's own: for most ``seed`` and ``validation_split``, the share of the training part that
    becomes the validation split where the source gives none; folders also take those of ``image_folders.read_folder``,
    tables ``label`` and ``test_split``. "digits" takes ``labels`` alone, how many of its 898 digits are kept to train on,
    balanced over the classes as far as can be, "nuclei" ``size`` and ``split``.

    Raises ValueError, listing the names there are, for any other, for options that the source does not have and for
    files that do not hold what they should; OSError for files and downloads that cannot be had. One line each.
    """
    read = _reader(name_or_path)
    known = list(inspect.signature(read).parameters)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"{str(name_or_path)!r} takes {', '.join(known)}; got {', '.join(unknown)}")
    data = read(**options)
    present = np.unique(data.train.y[data.train.y >= 0])
    if len(present) < 2:
        only = ", ".join(repr(data.class_names[label]) for label in present) or "no label"
        raise ValueError(f"{name_or_path} has one class only to train on ({only}): at least two are needed")
    return data


def _reader(name_or_path):
    """Return a function of options alone, or raise ValueError or FileNotFoundError."""
    if isinstance(name_or_path, str):
        if name_or_path in _NAMED:
            return _NAMED[name_or_path]
        if name_or_path in medmnist.REFUSED:
            raise ValueError(medmnist.REFUSED[name_or_path])
    if isinstance(name_or_path, (str, Path)) and str(name_or_path):
        path = Path(name_or_path).expanduser()
        ending = path.suffix.lower()
        if path.is_dir():
            return partial(image_folders.read_folder, path)
        if path.is_file():
            if ending == ".npz" and not tables.holds_table(path):
                return partial(medmnist.read_npz, path)
            readers = {".mat": emnist.read_mat, ".npz": tables.read_file, ".csv": tables.read_file}
            if ending not in readers:
                raise ValueError(f"{path} must be {_PATHS}")
            return partial(readers[ending], path)
        if isinstance(name_or_path, Path) or len(path.parts) > 1 or path.suffix:
            raise FileNotFoundError(
                f"{path} does not exist: give the path of a .mat, an .npz, a .csv or a folder of images"
            )
    names = ", ".join(map(repr, NAMES))
    raise ValueError(f"name_or_path must be one of {names}, or the path of {_PATHS}, got {name_or_path!r}")
