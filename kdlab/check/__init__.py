"""Checks of the exercise sheets: each takes a reader's function, and says that it is right or names the mistake.

A check takes milliseconds, returns a sentence for a right answer and raises an ``AssertionError`` with one for a wrong
answer. It holds the function against an independent reference at random inputs, and never shows a solution.
"""

from ..lazy import lazily

_HOME = {
    "entropy": "temperature",
    "matching_temperature": "temperature",
    "soft_gradient": "temperature",
    "softmax": "temperature",
    "best_position": "response",
    "distillation_loss": "response",
    "paired_interval": "response",
    "translated_alpha": "response",
    "training_step": "training",
    "attention_loss": "features",
    "cka": "features",
    "distance_loss": "features",
    "hint_step": "features",
    "block_interval": "medical",
    "patient_split": "medical",
    "predictive_values": "medical",
    "rates": "medical",
    "weighted_loss": "medical",
    "int8_layer": "tinyml",
    "memory": "tinyml",
    "quantised_activations": "tinyml",
    "quantised_weights": "tinyml",
    "experiment": "experiments",
}

__all__ = sorted(_HOME)


__getattr__, __dir__ = lazily(__name__, _HOME)
