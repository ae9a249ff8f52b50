"""What every kernel needs, imported once in the process that kernels are forked from (``lab.kernels``).

Imports alone: TensorFlow starts its threads with its first operation, and threads do not come along in a fork.
"""

import contextlib
import gc
import importlib
import pkgutil

import PIL.Image
from matplotlib.backends.registry import backend_registry

import kdlab

from ..memory import return_free_memory, return_read_files, share_one_heap
from ..quiet import without_standard_error

# Beside kdlab's own modules: what they and the kernels import only when it is used.
_OTHERS = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "ipywidgets",
    "anywidget",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "sklearn.metrics",
    "scipy.stats",
    "PIL.Image",
)


_NOT = ("kdlab.lab.serving", "kdlab.lab.page_files")  # which are the server, not a kernel


share_one_heap()
with without_standard_error():
    ours = [module.name for module in pkgutil.walk_packages(kdlab.__path__, "kdlab.")]
    for name in (*_OTHERS, *(name for name in ours if not name.startswith(_NOT))):
        with contextlib.suppress(ImportError):  # of an optional part, or another version's
            importlib.import_module(name)
    PIL.Image.preinit()
    backend_registry.list_all()  # kept; looked up in every installed package
    kdlab.load("digits")  # kept, and what scikit-learn looks up at its first call
    kdlab.datasets.nuclei.fields()  # kept


gc.collect()
gc.freeze()  # so that a kernel's garbage collection does not touch, and thereby copy, what it shares with the others
return_free_memory()
return_read_files()  # a fork does not take them along
