"""Chapter 1's view: four panels over one ``TemperatureState``, computed in the browser while a slider is dragged."""

import uuid

import numpy as np
import traitlets

from .panel import Panel, choice_rule, module
from .temperature_state import TemperatureState, gradient_curves

__all__ = ["Chapter"]


class TemperaturePanel(Panel):
    """One panel of the chapter: "bars", "knowledge", "gradients" or "limits"."""

    _esm = module("temperature.js")

    temperature = traitlets.Float(4.0).tag(sync=True)
    digit = traitlets.Int().tag(sync=True)
    logits = traitlets.List(traitlets.Float()).tag(sync=True)
    logit_bytes = traitlets.Bytes().tag(sync=True)
    image_bytes = traitlets.Bytes().tag(sync=True)
    label_bytes = traitlets.Bytes().tag(sync=True)
    order = traitlets.List(traitlets.Int()).tag(sync=True)
    curves = traitlets.Dict().tag(sync=True)


class Chapter:
    """The panels of chapter 1. ``state`` follows the page's sliders and moves them when it is set."""

    def __init__(self, **values):
        self.state = TemperatureState(**values)
        digits = len(self.state.test)
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "temperature": {
                    "key": "T",
                    "kind": "positive",
                    "default": self.state.temperature,
                    "accepts": "a finite number above 0",
                },
                "digit": {
                    "key": "digit",
                    "kind": "integer",
                    "min": 0,
                    "max": digits - 1,
                    "default": self.state.digit,
                    "accepts": f"a whole number from 0 to {digits - 1}",
                },
                "logits": {
                    "key": "logits",
                    "kind": "vector",
                    "length": 10,
                    "default": self.state.logits,
                    "accepts": "ten finite numbers with commas between them",
                },
                "cell": choice_rule(
                    "cell",
                    [f"{true}-{other}" for true in range(10) for other in range(10)],
                    "3-8",
                    accepts="a true class, a dash and the class it is taken for, such as 3-8",
                ),
                "smoothing": {
                    "key": "epsilon",
                    "kind": "fraction",
                    "default": 0.3,
                    "accepts": "a number from 0 to 1",
                },
            },
            "logit_bytes": self.state.teacher_logits.astype("<f4").tobytes(),
            "image_bytes": np.round(255 * self.state.test.x).astype(np.uint8).tobytes(),
            "label_bytes": self.state.test.y.astype(np.uint8).tobytes(),
            "order": self.state.order,
        }

    def softened_bars(self):
        """Return the panel in which a digit's logits are softened."""
        names = ("temperature", "digit", "logits")
        panel = self._panel("bars", **{name: getattr(self.state, name) for name in names})
        for name in names:
            traitlets.link((self.state, name), (panel, name))
        return panel

    def dark_knowledge(self):
        """Return the panel with the class-similarity matrix and the digits behind its cells."""
        return self._panel("knowledge")

    def temperature_squared(self):
        """Return the panel with the gradient's size and direction against T."""
        curves = gradient_curves(
            self.state.student_logits,
            self.state.teacher_logits,
            self.state.test.y,
            np.geomspace(0.1, 100, 61),
        )
        return self._panel("gradients", curves=curves)

    def limits(self):
        """Return the panel with T → 0, T → ∞ and label smoothing."""
        return self._panel("limits")

    def _panel(self, name, **values):
        return TemperaturePanel(panel=name, **self._shared, **values)
