"""The pictures: results in, ``matplotlib.figure.Figure`` out. No widget in here, and no pyplot.

A script saves a figure by ``figure.savefig(file)``, or at another width as ``png(figure, width)``. A figure's label
(``figure.get_label()``) says in words what it shows. In a panel of the lab, ``keeping`` makes a function return the
figure of the time before with its artists moved, which takes a fraction of the time; what moves is listed in
``figure.moving``, and all else is drawn once. Colours are Okabe and Ito's, and every difference in colour is also one
of marker, hatch or dash. A new picture is a function in the file of its kind, and a line here; what pictures share is
in ``drawing``.
"""

from ..lazy import lazily

_FILES = {
    "drawing": "keeping pixels png",
    "series": "bars curves reliability roc",
    "accuracies": "learning strip students",
    "tables": "ink landscape matrices matrix",
    "pictures": "field images masks overlays plane regions",
    "diagrams": "diagram ties",
    "quantisation": "memory ranges rounding",
}

__getattr__, __dir__, __all__ = lazily(__name__, _FILES)
