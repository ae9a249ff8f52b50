"""kdlab: an interactive teaching lab for knowledge distillation.

Public names and submodules load on first use (PEP 562): ``import kdlab`` imports neither TensorFlow nor matplotlib nor
ipywidgets.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "softmax": "softening",
    "distillation_loss": "softening",
    "Dataset": "datasets.dataset",
    "Split": "datasets.dataset",
    "load": "datasets.dataset",
    "Distiller": "distiller",
    "FeatureDistillation": "features.distillation",
    "distill": "distillation",
    "LiveTrainer": "live.trainer",
}
_MODULES = ("clinical", "conventions", "evaluation", "figures", "lab", "losses", "models", "softening")

__all__ = ["__version__", *sorted(_HOME), *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
