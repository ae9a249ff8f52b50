"""Chapter 3's view: panels over the states of its students, each with a thread of its own."""

import time
import uuid

import traitlets

from ..scenarios import SCENARIOS
from . import convolution_state
from .convolution_state import ConvolutionState
from .features_state import CASES, DEFAULTS, LAYERS, METHODS, SCENARIO_NAMES, WIDTHS, FeaturesState, pairs
from .inside_state import look_inside
from .panel import WorkingPanel, choice_rule, fraction_rule, module, positive_rule
from .relatives_state import TASK, VIEW_TITLES, RelativesState
from .response import EPOCH_RULE
from .response_state import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE

__all__ = ["Chapter"]


class FeaturesPanel(WorkingPanel):
    """One panel of the chapter."""

    _esm = module("features_drawing.js", "features.js")

    methods = traitlets.List().tag(sync=True)
    scenarios = traitlets.List().tag(sync=True)
    widths = traitlets.List().tag(sync=True)
    layers = traitlets.List().tag(sync=True)
    ties = traitlets.Dict().tag(sync=True)
    cases = traitlets.List().tag(sync=True)


class RelativesPanel(FeaturesPanel):
    """A panel of a relative of distillation."""

    _esm = module("features_drawing.js", "relatives.js")

    views = traitlets.List().tag(sync=True)
    image_bytes = traitlets.Bytes().tag(sync=True)


class ConvolutionPanel(FeaturesPanel):
    """A panel of the convolutional students; ``trained`` counts the trainings that came to their end."""

    _esm = module("features_drawing.js", "convolution.js")

    stages = traitlets.List().tag(sync=True)
    epochs = traitlets.Int().tag(sync=True)
    nuclei = traitlets.Dict().tag(sync=True)
    trained = traitlets.Int().tag(sync=True)


class Chapter:
    """The panels of chapter 3."""

    def __init__(self):
        self.state = FeaturesState()
        self._relatives = RelativesState(self.state)
        self._convolution, self._maps = ConvolutionState(), None
        convolution = convolution_state.DEFAULTS
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "temperature": positive_rule("T", DEFAULTS["temperature"], LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
                "alpha": fraction_rule("alpha", DEFAULTS["alpha"]),
                "feature_alpha": fraction_rule("alpha_f", DEFAULTS["feature_alpha"]),
                "method": choice_rule("method", METHODS, DEFAULTS["method"]),
                "teacher_layer": choice_rule("teacher", LAYERS, DEFAULTS["teacher_layer"]),
                "student_layer": choice_rule("student", LAYERS, DEFAULTS["student_layer"]),
                "scenario": choice_rule("scenario", SCENARIO_NAMES, DEFAULTS["scenario"]),
                "width": choice_rule("width", WIDTHS, DEFAULTS["width"]),
                "epoch": EPOCH_RULE,
                "view": choice_rule("view", VIEW_TITLES, next(iter(VIEW_TITLES))),
                "convolution_method": choice_rule("conv_method", convolution_state.METHODS, convolution["method"]),
                "stage": choice_rule("stage", convolution_state.STAGES, convolution["stage"]),
                "convolution_alpha": fraction_rule("conv_alpha_f", convolution["feature_alpha"]),
                "nucleus": choice_rule("nucleus", range(convolution_state.SHOWN), 0),
            },
            "methods": [{"name": name, "title": title} for name, title in METHODS.items()],
            "scenarios": [{"name": name, "title": SCENARIOS[name].title} for name in SCENARIO_NAMES],
            "layers": list(LAYERS),
        }

    def live(self):
        """Return the panel of ties: every position trains ten students with features, and their pairs without."""
        ties = {teacher: {student: pairs(teacher, student) for student in LAYERS} for teacher in LAYERS}
        panel = self._panel("live", widths=list(WIDTHS), ties=ties, cases=[vars(case) for case in CASES])

        def train(request):
            panel.result = self.state.train(**_position(request))

        panel.work(train)
        return panel

    def inside(self):
        """Return the panel of likeness: CKA of all layers, and teacher and students in one plane."""
        panel = self._panel("inside")

        def look(request):
            panel.result = look_inside(self.state, **_position(request))

        panel.work(look)
        return panel

    def mutual(self):
        """Return the panel of two students that teach each other."""
        return self._relative("mutual", self._relatives.mutual)

    def ensemble(self):
        """Return the panel of students that answer as one."""
        return self._relative("ensemble", self._relatives.ensemble)

    def other_view(self):
        """Return the panel of students that see something else than their teacher."""
        views = [{"name": name, "title": title} for name, title in VIEW_TITLES.items()]
        images = self._relatives.view_images().tobytes()
        return self._relative("view", self._relatives.other_view, views=views, image_bytes=images)

    def convolution(self):
        """Return the panel of convolutional students of nuclei: trained at a press, with progress and a stop."""
        panel = self._convolution_panel("convolution", epochs=convolution_state.EPOCHS)

        def train(request):
            if request.get("stop"):
                return
            started = time.perf_counter()

            def progress(result):
                panel.result = result | {"seconds": time.perf_counter() - started}

            position = {name: request[name] for name in convolution_state.DEFAULTS}
            self._convolution.train(progress, lambda: worker.superseded, **position)
            if self._maps and panel.result["done"] == panel.result["total"]:
                self._maps.trained += 1

        worker = panel.work(train)
        return panel

    def maps(self):
        """Return the panel of attention and feature maps of a chosen nucleus."""
        images, labels = self._convolution.shown()
        nuclei = {"bytes": images.tobytes(), "side": images.shape[1], "labels": labels}
        panel = self._maps = self._convolution_panel("maps", nuclei=nuclei)

        def look(request):
            panel.result = self._convolution.look(request["image"], request["stage"])

        panel.work(look)
        return panel

    def _convolution_panel(self, name, **values):
        methods = [{"name": name, "title": title} for name, title in convolution_state.METHODS.items()]
        stages = [
            {"name": name, "title": f"{name}: {teacher} and {student}"}
            for name, (teacher, student) in convolution_state.STAGES.items()
        ]
        return ConvolutionPanel(panel=name, **self._shared | {"methods": methods}, stages=stages, **values)

    def _relative(self, name, train, **values):
        panel = RelativesPanel(panel=name, **self._shared, **values)

        def job(request):
            names = (*TASK, "view") if name == "view" else TASK
            panel.result = train(**{key: request[key] for key in names if key in request})

        panel.work(job)
        return panel

    def _panel(self, name, **values):
        return FeaturesPanel(panel=name, **self._shared, **values)


def _position(request):
    return {name: request[name] for name in DEFAULTS}
