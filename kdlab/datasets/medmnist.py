"""MedMNIST's sets of small medical images, and every ``.npz`` of images laid out like them or like Keras's MNIST."""

import zipfile
from pathlib import Path

import numpy as np

from ..checks import check_labels
from .downloads import fetch
from .splits import from_arrays
from .stored_images import check_fits_in_memory

__all__ = ["NAMES", "REFUSED", "load_by_name", "read_npz"]

URL = "https://zenodo.org/records/10519652/files/"
_ORGANS = "bladder|femur-left|femur-right|heart|kidney-left|kidney-right|liver|lung-left|lung-right|pancreas|spleen"
# The MD5 of each file of 28×28 pixels, as published with the sets (medmnist 3.0.2), and its classes' names, some shortened.
SETS = {
    "bloodmnist": (
        "7053d0359d879ad8a5505303e11de1dc",
        "basophil|eosinophil|erythroblast|immature granulocytes|lymphocyte|monocyte|neutrophil|platelet",
    ),
    "breastmnist": ("750601b1f35ba3300ea97c75c52ff8f6", "malignant|normal or benign"),
    "dermamnist": (
        "0744692d530f8e62ec473284d019b0c7",
        "actinic keratoses and intraepithelial carcinoma|basal cell carcinoma|benign keratosis-like lesions|"
        "dermatofibroma|melanoma|melanocytic nevi|vascular lesions",
    ),
    "octmnist": (
        "c68d92d5b585d8d81f7112f81e2d0842",
        "choroidal neovascularization|diabetic macular edema|drusen|normal",
    ),
    "organamnist": ("68e3f8846a6bd62f0c9bf841c0d9eacc", _ORGANS),
    "organcmnist": ("b9ceb9546e10131b32923c5bbeaea2b1", _ORGANS),
    "organsmnist": ("9ab87b696fb54e2a387ebe992d6ed5f1", _ORGANS),
    "pathmnist": (
        "a8b06965200029087d5bd730944a56c1",
        "adipose|background|debris|lymphocytes|mucus|smooth muscle|normal colon mucosa|cancer-associated stroma|"
        "colorectal adenocarcinoma epithelium",
    ),
    "pneumoniamnist": ("28209eda62fecd6e6a2d98b1501bb15f", "normal|pneumonia"),
    "retinamnist": ("bd4c0672f1bba3e3a89f0e4e876791e4", "grade 0|grade 1|grade 2|grade 3|grade 4"),
    "tissuemnist": (
        "ebe78ee8b05294063de985d821c1c34b",
        "collecting duct, connecting tubule|distal convoluted tubule|glomerular endothelial cells|"
        "interstitial endothelial cells|leukocytes|podocytes|proximal tubule segments|thick ascending limb",
    ),
}
MNIST = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",  # as in keras.datasets.mnist
)
NAMES = (*SETS, "mnist")
REFUSED = {
    "chestmnist": "'chestmnist' is a multi-label set (any of 14 findings per image), and distillation here needs one "
    f"label per image: take one of {', '.join(SETS)}"
}

# What MedMNIST and Keras call the images and labels of each part.
_LAYOUTS = (
    {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
    {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")},
)


def load_by_name(name, *, seed=0, validation_split=0.1):
    """Return the ``Dataset`` of that name of ``NAMES``, downloaded once.

    Options and errors as for ``read_npz``; OSError where the download fails.
    """
    url, checksum = MNIST if name == "mnist" else (f"{URL}{name}.npz", f"md5:{SETS[name][0]}")
    return read_npz(fetch(url, checksum, f"{name}.npz", name), seed=seed, validation_split=validation_split)


def read_npz(path, *, seed=0, validation_split=0.1):
    """Return the ``Dataset`` of an ``.npz`` with images uint8 (N, height, width[, 3]) and labels (N,) or (N, 1).

    It holds "train_images", "train_labels" and the same for "val_…" and "test_…", or "x_train", "y_train" and so
    on; "val" may be missing: then ``validation_split`` is the share of the training part, of every class, that
    ``seed`` chooses to validate with. Files with a name of MedMNIST's get its names of classes.

    Raises ValueError for a file that is damaged, holds Python objects, several labels per image or anything else.
    """
    path = Path(path)
    arrays = _read(path)
    set_name = path.stem.split("_")[0].lower()
    labels = {part: _one_label(arrays[part][1], f"labels of the {part} part of {path}") for part in arrays}
    if set_name in SETS:
        class_names = tuple(SETS[set_name][1].split("|"))
    else:
        class_names = tuple(map(str, range(_count_classes(labels["train"], path))))
    images = {part: _channels_last(arrays[part][0], f"images of the {part} part of {path}") for part in arrays}
    for part in arrays:
        if images[part].shape[1:] != (first := images["train"].shape[1:]):
            raise ValueError(
                f"the images of the {part} part of {path} must be of the same size as those to train on, {first}, "
                f"got {images[part].shape[1:]}"
            )
        name = f"labels of the {part} part of {path}"
        labels[part] = check_labels(labels[part], len(class_names), len(images[part]), name)
    return from_arrays(images, labels, class_names, validation_split, seed, **_origin(set_name, path))


def _read(path):
    """Return {part: (images, labels)} of an ``.npz``, or raise ValueError; never runs anything that it holds."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the path of an .npz")
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
    except Exception as error:  # damaged archives make zipfile and numpy raise exceptions of many kinds
        raise ValueError(f"{path} is not an .npz, or it is cut off or damaged: get the file once more") from error
    check_fits_in_memory(5 * size, path)  # the bytes, and four times as many as float32
    try:
        with np.load(path, allow_pickle=False) as file:
            found = set(file.files)
            for parts in _LAYOUTS:
                half = len(found.intersection(parts["validation"])) == 1
                if found.issuperset((*parts["train"], *parts["test"])) and not half:
                    taken = {part: keys for part, keys in parts.items() if found.issuperset(keys)}
                    return {part: tuple(np.asanyarray(file[key]) for key in keys) for part, keys in taken.items()}
    except Exception as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path} holds Python objects, which are not loaded because they could run code: save plain arrays, "
                "images of one size as uint8 and labels as whole numbers"
            ) from None
        raise ValueError(f"{path} is cut off or damaged: get the file once more") from error
    raise ValueError(
        f"{path} must hold train_images, train_labels, test_images and test_labels (and val_…), as MedMNIST has them, "
        f"or x_train, y_train, x_test and y_test, got {', '.join(sorted(found)[:12]) or 'nothing'}"
    )


def _one_label(labels, name):
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            f"the {name} are several per image ({labels.shape[1]}), a multi-label set: one label per image is needed"
        )
    return labels[:, 0] if labels.ndim == 2 else labels


def _count_classes(labels, path):
    """Return how many classes there are, where nobody names them: all from 0 to the greatest must occur."""
    found = np.unique(labels)
    if labels.dtype.kind not in "iuf" or len(found) == 0 or (found != np.arange(len(found))).any():
        raise ValueError(
            f"the training labels of {path} must be whole numbers from 0 to C − 1, each at least once, "
            f"got {', '.join(map(str, found[:12]))}"
        )
    if len(found) == 1:
        raise ValueError(f"{path} has one class only to train on ('{found[0]}'): at least two are needed")
    return len(found)


def _channels_last(images, name):
    """Return uint8 (N, height, width, 1 or 3)."""
    good = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
    if not good or 0 in images.shape[1:]:
        raise ValueError(
            f"the {name} must be uint8 (N, height, width) or (N, height, width, 1 or 3), got {images.dtype} {images.shape}"
        )
    return images[..., None] if images.ndim == 3 else images


def _origin(set_name, path):
    if set_name in SETS:
        source = f"MedMNIST, {set_name}: Yang et al. 2023, Scientific Data 10, 41; Zenodo record 10519652"
        return {"source": source, "licence": "CC BY-NC 4.0" if set_name == "dermamnist" else "CC BY 4.0"}
    if set_name == "mnist":
        return {"source": "MNIST: LeCun, Cortes & Burges", "licence": "CC BY-SA 3.0"}
    return {"source": str(path), "licence": "unknown: the file does not say"}
