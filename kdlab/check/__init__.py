"""Checks of the exercise sheets: each takes a reader's function, and says that it is right or names the mistake.

A check takes milliseconds, returns a sentence for a right answer and raises an ``AssertionError`` with one for a wrong
answer. It holds the function against an independent reference at random inputs, and never shows a solution. A new
check is a function in the file of its chapter, and a name here; a new mistake is a sentence and a function in its table.
"""

from ..lazy import lazily

_FILES = {
    "temperature": "entropy matching_temperature soft_gradient softmax",
    "response": "best_position distillation_loss paired_interval translated_alpha",
    "training": "training_step",
    "features": "attention_loss cka distance_loss hint_step",
    "medical": "block_interval patient_split predictive_values rates weighted_loss",
    "tinyml": "int8_layer memory quantised_activations quantised_weights",
    "experiments": "experiment",
}

__getattr__, __dir__, __all__ = lazily(__name__, _FILES)
