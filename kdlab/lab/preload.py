"""What every kernel needs, imported once in the process that kernels are forked from (``lab.kernels``).

Imports alone: TensorFlow starts its threads with its first operation, and threads do not come along in a fork.
"""

import contextlib
import gc
import importlib
import os
import pkgutil

import kdlab

# Beside kdlab's own modules: what they and the kernels import only when it is used.
_OTHERS = (
    "ipykernel.kernelapp",
    "ipywidgets",
    "anywidget",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "sklearn.metrics",
    "scipy.stats",
    "PIL.Image",
)


_NOT = "kdlab.lab.serving"  # which is the server, not a kernel


def _import_all():
    ours = [module.name for module in pkgutil.walk_packages(kdlab.__path__, "kdlab.")]
    for name in (*_OTHERS, *(name for name in ours if not name.startswith(_NOT))):
        with contextlib.suppress(ImportError):  # of an optional part, or another version's
            importlib.import_module(name)


_shown = os.dup(2)
with open(os.devnull, "w") as nowhere:  # TensorFlow greets at length
    os.dup2(nowhere.fileno(), 2)
    try:
        _import_all()
    finally:
        os.dup2(_shown, 2)
        os.close(_shown)
gc.collect()
gc.freeze()  # so that a kernel's garbage collection does not touch, and thereby copy, what it shares with the others
