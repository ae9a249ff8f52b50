"""MedMNIST's sets of small medical images, and every ``.npz`` of images laid out like them or like Keras's MNIST."""

import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np

from ..checks import check_labels
from .class_folders import printable
from .downloads import fetch
from .splits import check_fits_in_memory, from_arrays, one_label

URL = "https://zenodo.org/records/10519652/files/"
_ORGANS = "bladder|femur-left|femur-right|heart|kidney-left|kidney-right|liver|lung-left|lung-right|pancreas|spleen"
# The MD5 of the files of 28, 64, 128 and 224 pixels a side, as published (medmnist 3.0.2), and the classes' names, some shortened.
SETS = {
    "bloodmnist": (
        "7053d0359d879ad8a5505303e11de1dc 2b94928a2ae4916078ca51e05b6b800b "
        "adace1e0ed228fccda1f39692059dd4c b718ff6835fcbdb22ba9eacccd7b2601",
        "basophil|eosinophil|erythroblast|immature granulocytes|lymphocyte|monocyte|neutrophil|platelet",
    ),
    "breastmnist": (
        "750601b1f35ba3300ea97c75c52ff8f6 742edef2a1fd1524b2efff4bd7ba9364 "
        "363e4b3f8d712e9b5de15470a2aaadf1 b56378a6eefa9fed602bb16d192d4c8b",
        "malignant|normal or benign",
    ),
    "dermamnist": (
        "0744692d530f8e62ec473284d019b0c7 b70a2f5635c6199aeaa28c31d7202e1f "
        "2defd784463fa5243564e855ed717de1 8974907d8e169bef5f5b96bc506ae45d",
        "actinic keratoses and intraepithelial carcinoma|basal cell carcinoma|benign keratosis-like lesions|"
        "dermatofibroma|melanoma|melanocytic nevi|vascular lesions",
    ),
    "octmnist": (
        "c68d92d5b585d8d81f7112f81e2d0842 e229e9440236b774d9f0dfef9d07bdaf "
        "0a97e76651ace45c5d943ee3f65b63ae abc493b6d529d5de7569faaef2773ba3",
        "choroidal neovascularization|diabetic macular edema|drusen|normal",
    ),
    "organamnist": (
        "68e3f8846a6bd62f0c9bf841c0d9eacc 2dcccc29b88e6da5a01161ef20cda288 "
        "eeae80d0a227a8d099027e1b3cfd3b60 50747347e05c87dd3aaf92c49f9f3170",
        _ORGANS,
    ),
    "organcmnist": (
        "b9ceb9546e10131b32923c5bbeaea2b1 3ce34a8724ea6f548e6db4744d03b6a9 "
        "773c1f009daa3fe5d9a2a201b2a7ed94 050f5e875dc056f6768abf94ec9995d1",
        _ORGANS,
    ),
    "organsmnist": (
        "9ab87b696fb54e2a387ebe992d6ed5f1 53a6d115339d874c25e309a994ff46d3 "
        "ded0c5fa01a95dc4978b956f613e9b8e b354719e553fbbb2513d5533f52a4cb1",
        _ORGANS,
    ),
    "pathmnist": (
        "a8b06965200029087d5bd730944a56c1 55aa9c1e0525abe5a6b9d8343a507616 "
        "ac42d08fb904d92c244187169d1fd1d9 2c51a510bcdc9cf8ddb2af93af1eadec",
        "adipose|background|debris|lymphocytes|mucus|smooth muscle|normal colon mucosa|cancer-associated stroma|"
        "colorectal adenocarcinoma epithelium",
    ),
    "pneumoniamnist": (
        "28209eda62fecd6e6a2d98b1501bb15f 8f4eceb4ccffa70c672198ea285246c6 "
        "05b46931834c231683c68f40c47b2971 d6a3c71de1b945ea11211b03746c1fe1",
        "normal|pneumonia",
    ),
    "retinamnist": (
        "bd4c0672f1bba3e3a89f0e4e876791e4 afda852cc34dcda56f86ad2b2457dbcc "
        "e48e916a24454daf90583d4e6efb1a18 eae7e3b6f3fcbda4ae613ebdcbe35348",
        "grade 0|grade 1|grade 2|grade 3|grade 4",
    ),
    "tissuemnist": (
        "ebe78ee8b05294063de985d821c1c34b 123ece2eba09d0aa5d698fda57103344 "
        "61b955355d7425a89687b06cca3ce0c2 b077128c4a949f0a4eb01517f9037b9c",
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
    url, checksum = MNIST if name == "mnist" else (f"{URL}{name}.npz", f"md5:{SETS[name][0].split()[0]}")
    return read_npz(fetch(url, checksum, f"{name}.npz", name), seed=seed, validation_split=validation_split)


def read_npz(path, *, seed=0, validation_split=0.1):
    """Return the ``Dataset`` of an ``.npz`` with images uint8 (N, height, width[, 3]) and labels (N,), (N, 1) or one-hot (N, C).

    It holds "train_images", "train_labels" and the same for "val_…" and "test_…", or "x_train", "y_train" and so
    on; "val" may be missing: then ``validation_split`` is the share of the training part, of every class, that
    ``seed`` chooses to validate with. MedMNIST's own files, by their checksums, get its names of classes.

    Raises ValueError for a file that is damaged, holds Python objects, several labels per image or anything else.
    """
    path = Path(path)
    arrays = _read(path)
    labels = {part: one_label(arrays[part][1], f"labels of the {part} part of {path}") for part in arrays}
    columns = {part: given.shape[1] for part, (_, given) in arrays.items() if given.ndim == 2 and given.shape[1] > 1}
    if len(set(columns.values())) > 1:
        got = ", ".join(f"{number} ({part})" for part, number in columns.items())
        raise ValueError(f"the labels of {path} must have as many columns in each part, got {got}")
    classes = columns.get("train") or _count_classes(labels["train"], path)
    class_names, origin = _identify(path, classes)
    images = {part: _channels_last(arrays[part][0], f"images of the {part} part of {path}") for part in arrays}
    for part in arrays:
        if images[part].shape[1:] != (first := images["train"].shape[1:]):
            raise ValueError(
                f"the images of the {part} part of {path} must be of the same size as those to train on, {first}, "
                f"got {images[part].shape[1:]}"
            )
        name = f"labels of the {part} part of {path}"
        labels[part] = check_labels(labels[part], len(class_names), len(images[part]), name)
    return from_arrays(images, labels, class_names, validation_split, seed, **origin)


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


def _count_classes(labels, path):
    """Return how many classes there are: all from 0 to the greatest must occur."""
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


def _identify(path, classes):
    """Return the names of the classes, and source, licence and notes: a published set's where the file is that one."""
    checksum = _checksum(path, "md5")
    for name, (published, class_names) in SETS.items():
        names = tuple(class_names.split("|"))
        if checksum in published.split() and len(names) == classes:
            source = f"MedMNIST, {name}: Yang et al. 2023, Scientific Data 10, 41; Zenodo record 10519652"
            return names, {"source": source, "licence": "CC BY-NC 4.0" if name == "dermamnist" else "CC BY 4.0"}
    numbers = tuple(map(str, range(classes)))
    kind, published = MNIST[1].split(":")
    if _checksum(path, kind) == published:
        return numbers, {"source": "MNIST: LeCun, Cortes & Burges", "licence": "CC BY-SA 3.0"}
    named = re.split("[^a-z]", path.stem.lower())[0]
    notes = ()
    if named in NAMES:
        notes = (
            f"{path.name} has the name of {named} but is not the published file: its classes are called by number, its "
            "source and licence are not known.",
        )
    return numbers, {"source": printable(path), "licence": "unknown: the file does not say", "notes": notes}


def _checksum(path, kind):
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
