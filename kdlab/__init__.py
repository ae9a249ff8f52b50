"""kdlab: an interactive teaching lab for knowledge distillation.

Public names and submodules load on first use (PEP 562): ``import kdlab`` imports neither TensorFlow nor matplotlib nor
ipywidgets.
"""

from .lazy import lazily

__version__ = "0.1.0"

_FILES = {
    "softening": "distillation_loss softmax",
    "datasets.dataset": "Dataset Split",
    "datasets.load": "load",
    "distiller": "Distiller",
    "features.distillation": "FeatureDistillation",
    "distillation": "distill",
    "live.trainer": "LiveTrainer",
}
_MODULES = "answers check clinical conventions evaluation figures foreign_models lab losses models scenarios softening"

__getattr__, __dir__, __all__ = lazily(__name__, _FILES, _MODULES)
__all__ += ["__version__"]
