"""The home page's pictures, drawn by ``kdlab.figures`` from real data: ``python -m kdlab.lab.card_pictures`` writes them."""

import io

import numpy as np
from PIL import Image

from .. import figures
from ..cache import new_file
from ..datasets.dataset import digits_logits
from ..datasets.load import load
from ..datasets.nuclei import CLASS_NAMES, load_nuclei
from ..export.quantisation import quantise_weights
from ..features.representations import linear_cka
from ..softening import softmax
from .memo import once
from .pages import notebooks_folder
from .tinyml import live_trainer

# The widths that they are shown at, in CSS pixels, or the least of them: letters must be read there.
WIDE, NARROW, CARD = 900, 346, (262, 180)


def pictures():
    """Return {name: (figure, width)}: a picture for each chapter's card, and a 3 and the diagram in two widths each."""
    with figures.keeping({}, narrow=True):
        narrow, nuclei = {"diagram_narrow": figures.diagram(), "three_narrow": _three()}, _nuclei()
    cards = {
        "01_temperature_softening": _softened(),
        "02_response_based_kd": _pairs(),
        "03_feature_based_kd": _layers(),
        "04_medical_imaging": nuclei,
        "05_tinyml_export": _rounded(),
    }
    for figure in cards.values():
        figure.set_figheight(CARD[1] / 100)
    wide = {"diagram": (figures.diagram(), WIDE), "three": (_three(), 480)}
    return wide | {name: (f, NARROW) for name, f in narrow.items()} | {name: (f, CARD[0]) for name, f in cards.items()}


def draw():
    """Return {name: PNG file's bytes} of ``pictures``."""
    return {name: _file(*picture) for name, picture in pictures().items()}


def _file(figure, width):
    """Return a figure as a PNG of 64 colours, which its flat areas need no more of."""
    file = io.BytesIO()
    Image.open(io.BytesIO(figures.png(figure, width, 1.5))).quantize(64).save(file, "png", optimize=True)
    return file.getvalue()


def _three():
    """Draw what the teacher answers, softened, to the 3 that it finds most like an 8, and is right about."""
    data, teacher = load("digits"), digits_logits()["teacher"]
    q = softmax(teacher, 4.0)
    place = np.where((data.test.y == 3) & (teacher.argmax(axis=1) == 3), q[:, 8], -1).argmax()
    figure = figures.bars({"hard label": np.eye(10)[3], "the teacher at T = 4": q[place]})
    (axes,) = figure.axes
    inset = axes.inset_axes([0.7, 0.4, 0.28, 0.58])
    inset.imshow(data.test.x[place].reshape(8, 8), cmap="gray_r")
    inset.set(xticks=(), yticks=())
    return figure


def _softened():
    teacher = digits_logits()["teacher"]
    unsure = np.ptp(np.sort(softmax(teacher))[:, -2:], axis=1).argmin()
    return figures.bars({f"T = {T}": softmax(teacher[unsure], T) for T in (1, 16)})


@once
def _trained(alpha):
    return live_trainer("few", "medium").train(4.0, alpha, seeds=10)


def _pairs():
    return figures.strip({"alone": _trained(0.0).test_accuracy, "distilled": _trained(0.9).test_accuracy})


def _layers():
    """Draw how similar the layers of teacher and of one student are, by linear CKA."""
    from ..features.taps import tap
    from ..teachers.digits import digits_teacher

    x, found = load("digits").test.x, []
    for model, name in ((digits_teacher(), "teacher"), (_trained(0.9).student(0), "student")):
        layers = [layer.name for layer in model.layers]
        _, outputs = tap(model, layers, name)(x)
        found.append({layer: np.asarray(outputs[layer]) for layer in layers})
    values = [[linear_cka(a, b) for b in found[1].values()] for a in found[0].values()]
    figure = figures.matrix(values, list(found[0]), list(found[1]), ylabel="teacher")
    figure.axes[0].set_xlabel("student")  # there is no room for more
    return figure


def _nuclei():
    test = load_nuclei(size=48).test
    chosen = [np.flatnonzero(test.y == c)[3] for c in range(len(CLASS_NAMES))]
    return figures.images(test.x[chosen], [CLASS_NAMES[c] for c in test.y[chosen]])


def _rounded():
    weights = _trained(0.9).student(0).get_weights()[0][:, :1]
    return figures.rounding(weights[:, 0], quantise_weights(weights, 3)[:, 0], 3)


def write(folder=None):
    """Write the pictures to ``folder``, that of the notebooks' images if none is given."""
    folder = folder or notebooks_folder() / "images"
    for name, content in draw().items():
        with new_file(folder / f"{name}.png") as file:
            file.write(content)


if __name__ == "__main__":
    write()
