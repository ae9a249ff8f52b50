"""Chapter 4's view: panels over the nuclei, their teacher and students, each with a thread of its own."""

import uuid

import traitlets

from ..checks import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from . import medical_images, medical_state, segmentation
from .medical_figures import chance
from .medical_state import DEFAULTS, MedicalState
from .panel import WorkingPanel, choice_rule, fraction_rule, module, positive_rule

__all__ = ["Chapter"]

MOST_SAMPLES = 1_000_000
# The accuracies of a published teacher and student, and as many images as the whole set has.
CHANCE = {"samples": 253, "first": 0.8999, "second": 0.8956}


class MedicalPanel(WorkingPanel):
    """One panel of the chapter; ``trained`` counts the trainings that came to their end."""

    _esm = module("features_drawing.js", "medical_drawing.js", "medical.js")

    classes = traitlets.List().tag(sync=True)
    epochs = traitlets.Int().tag(sync=True)
    seeds = traitlets.Int().tag(sync=True)
    nuclei = traitlets.Dict().tag(sync=True)
    slide = traitlets.Dict().tag(sync=True)
    bounds = traitlets.Dict().tag(sync=True)
    trained = traitlets.Int().tag(sync=True)


class Chapter:
    """The panels of chapter 4."""

    def __init__(self):
        self.state = MedicalState()
        self._interested = []
        classes = self.state.data.class_names
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "temperature": positive_rule("T", DEFAULTS["temperature"], LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
                "alpha": fraction_rule("alpha", DEFAULTS["alpha"]),
                "positive": choice_rule("positive", classes, classes[-1]),
                "threshold": fraction_rule("threshold", 0.5),
                "samples": {
                    "key": "n",
                    "kind": "integer",
                    "min": 2,
                    "max": MOST_SAMPLES,
                    "accepts": f"a whole number from 2 to {MOST_SAMPLES:,}",
                    "default": CHANCE["samples"],
                },
                "first": fraction_rule("first", CHANCE["first"]),
                "second": fraction_rule("second", CHANCE["second"]),
                **medical_images.RULES,
                **segmentation.RULES,
            },
        }

    def images(self):
        """Return the panel of what is seen: the slide with its regions, and nuclei of each class."""
        panel = self._panel("images", slide=self.state.slide(), nuclei=self._nuclei(0))

        def show(request):
            panel.nuclei = self._nuclei(request["page"])

        panel.work(show)
        return panel

    def cost(self):
        """Return the panel of size and speed, measured when it is seen and at a press."""
        panel = self._follower("cost")

        def measure(request):
            panel.result = self.state.cost(request.get("again", False))

        panel.work(measure)
        return panel

    def training(self):
        """Return the panel of T and alpha: every position trains students, with progress and a stop."""
        panel = self._panel("training", epochs=medical_state.EPOCHS, seeds=medical_state.SEEDS)

        def train(request):
            if request.get("stop"):
                return
            stopped, moved = (lambda: panel.request.get("stop", False)), (lambda: worker.superseded)
            position = {name: request[name] for name in DEFAULTS}
            if self.state.train(lambda result: panel.set_trait("result", result), stopped, moved, **position):
                for other in self._interested:
                    other.trained += 1

        worker = panel.work(train)
        return panel

    def decision(self):
        """Return the panel of the decision: confusion matrices, ROC, and a threshold to move."""
        panel = self._follower("decision")

        def decide(request):
            class_index = self.state.data.class_names.index(request["positive"])
            found = self.state.decide(class_index)
            if found["position"] != panel.result.get("position"):
                panel.result = found
            panel.bounds = self.state.waver(class_index, request["threshold"])

        panel.work(decide)
        return panel

    def calibration(self):
        """Return the panel of reliability diagrams."""
        panel = self._follower("calibration")

        def look(request):
            panel.result = self.state.calibration()

        panel.work(look)
        return panel

    def look(self):
        """Return the panel of where teacher and student look in a nucleus."""
        return self._interest(medical_images.look_panel(self._shared, self.state))

    def upload(self):
        """Return the panel that answers an image of one's own."""
        return self._interest(medical_images.upload_panel(self._shared, self.state))

    def segmentation(self):
        """Return the panel of masks: every pixel is given a class."""
        return segmentation.segmentation_panel(self._shared)

    def leakage(self):
        """Return the panel of a random split beside one by region: trained at a press, with progress and a stop."""
        panel = self._panel("leakage", epochs=medical_state.EPOCHS, seeds=medical_state.LEAK_SEEDS)

        def train(request):
            if not request.get("stop"):
                self.state.leakage(lambda result: panel.set_trait("result", result), lambda: worker.superseded)

        worker = panel.work(train)
        return panel

    def chance(self):
        """Return the panel of two accuracies on a test set of some size."""
        panel = self._panel("chance")

        def reckon(request):
            panel.result = chance(*(request[name] for name in CHANCE))

        panel.work(reckon)
        return panel

    def _nuclei(self, page):
        images = self.state.images(page)
        return {"bytes": images.tobytes(), "side": images.shape[1], "page": page}

    def _follower(self, name):
        """Return a panel that looks again when a training ends."""
        return self._interest(self._panel(name))

    def _interest(self, panel):
        self._interested.append(panel)
        return panel

    def _panel(self, name, **values):
        return MedicalPanel(panel=name, **self._shared, classes=list(self.state.data.class_names), **values)
