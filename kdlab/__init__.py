"""kdlab: an interactive teaching lab for knowledge distillation.

Public names and submodules load on first use (PEP 562): ``import kdlab`` imports neither TensorFlow nor matplotlib nor
ipywidgets.
"""

from .lazy import lazily

__version__ = "0.1.0"

_HOME = {
    "softmax": "softening",
    "distillation_loss": "softening",
    "Dataset": "datasets.dataset",
    "Split": "datasets.dataset",
    "load": "datasets.load",
    "Distiller": "distiller",
    "FeatureDistillation": "features.distillation",
    "distill": "distillation",
    "LiveTrainer": "live.trainer",
}
_MODULES = (
    "answers",
    "check",
    "clinical",
    "conventions",
    "evaluation",
    "figures",
    "lab",
    "losses",
    "models",
    "scenarios",
    "softening",
)

__all__ = ["__version__", *sorted(_HOME), *_MODULES]


__getattr__, __dir__ = lazily(__name__, _HOME, _MODULES)
