"""Chapter 2's view: panels over one ``ResponseState``, each with a thread of its own for what it trains."""

import time
import uuid

import numpy as np
import traitlets

from ..conventions import CONVENTIONS, code, from_ours, to_ours
from ..mistakes import MISTAKES
from ..scenarios import SCENARIOS, STEPS
from .panel import WorkingPanel, choice_rule, fraction_rule, module, positive_rule
from .regions_state import SHAPES, RegionsState
from .response_mistakes import keras_default, mistakes
from .response_state import DEFAULTS, HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, WIDTHS, ResponseState
from .response_summary import BIASES

__all__ = ["Chapter"]

TEMPERATURES = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)
ALPHAS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1)
SWEEP_SEEDS = 5
TARGETS = ("keras", "keras.distillation", "pytorch")

# Of a page's address: without an epoch the students are shown as they end, and never are there more epochs than steps.
EPOCH_RULE = {
    "key": "epoch",
    "kind": "integer",
    "min": 1,
    "max": STEPS,
    "default": None,
    "accepts": f"a whole number from 1 to {STEPS}",
}
BIAS_RULE = choice_rule(
    "bias",
    ["validation", *BIASES.tolist()],
    0.0,
    accepts=f"“validation”, or a number from {BIASES[0]:g} to {BIASES[-1]:g} in steps of {BIASES[1] - BIASES[0]:g}",
)


class ResponsePanel(WorkingPanel):
    """One panel of the chapter."""

    _esm = module("response_drawing.js", "response.js")

    scenarios = traitlets.List().tag(sync=True)
    widths = traitlets.List().tag(sync=True)
    axes = traitlets.Dict().tag(sync=True)
    shapes = traitlets.List().tag(sync=True)
    targets = traitlets.List().tag(sync=True)
    mistakes = traitlets.List().tag(sync=True)
    image_bytes = traitlets.Bytes().tag(sync=True)


class Chapter:
    """The panels of chapter 2; all follow one position, and what one of them trained the others show."""

    def __init__(self):
        self.state = ResponseState()
        self._regions = RegionsState()
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "temperature": positive_rule("T", DEFAULTS["temperature"], LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
                "alpha": fraction_rule("alpha", DEFAULTS["alpha"]),
                "scenario": choice_rule("scenario", SCENARIOS, DEFAULTS["scenario"]),
                "width": choice_rule("width", WIDTHS, DEFAULTS["width"]),
                "shape": choice_rule("shape", SHAPES, SHAPES[0]),
                "epoch": EPOCH_RULE,
                "bias": BIAS_RULE,
                "mistake": choice_rule("mistake", list(MISTAKES)[1:], "no_square"),
                "target": choice_rule("code", TARGETS, TARGETS[0]),
            },
            "scenarios": [
                {"name": s.name, "title": s.title, "expectation": s.expectation, "ensemble": s.ensemble}
                for s in SCENARIOS.values()
            ],
        }
        self._followers = []
        self._images = np.round(255 * self.state.data.test.x).astype(np.uint8).tobytes()

    def models(self):
        """Return the panel that compares teacher, student alone and distilled student."""
        return self._follower("models")

    def live(self):
        """Return the panel of the sliders: every position trains ten paired students."""
        panel = self._panel("live", widths=list(WIDTHS), image_bytes=self._images)
        self._followers.append(panel)

        def train(request):
            result = self.state.train(**_position(request))
            for follower in self._followers:
                follower.result = result

        def say(status, message):
            for follower in self._followers:
                follower.say(status, message)

        panel.work(train, say)
        return panel

    def landscape(self):
        """Return the panel of the temperature × alpha landscape."""
        axes = {"temperatures": TEMPERATURES, "alphas": ALPHAS, "seeds": SWEEP_SEEDS}
        panel = self._panel("landscape", axes=axes)

        def train(request):
            if request.get("stop"):
                return
            started = time.perf_counter()
            position = {"scenario": request["scenario"], "width": request["width"]}

            def progress(done, total, landscape):
                seconds = time.perf_counter() - started
                panel.result = {"position": position, "done": done, "seconds": seconds, **landscape}

            self.state.landscape(
                **position,
                temperatures=TEMPERATURES,
                alphas=ALPHAS,
                seeds=SWEEP_SEEDS,
                progress=progress,
                stop=lambda: worker.superseded,
            )

        worker = panel.work(train)
        return panel

    def regions(self):
        """Return the panel of decision regions in the plane."""
        panel = self._panel("regions", shapes=list(SHAPES))

        def train(request):
            panel.result = self._regions.train(request["shape"], request["temperature"], request["alpha"])

        panel.work(train)
        return panel

    def drawing(self):
        """Return the panel in which a digit is drawn and the three networks answer."""
        panel = self._panel("draw", image_bytes=self._images)

        def answer(request):
            position = _position(request)
            answers = self.state.draw(request["pixels"], **position)
            panel.result = {"position": position, "drawing": request["drawing"], **answers}

        panel.work(answer)
        return panel

    def from_ten_to_one(self):
        """Return the panel that distils ten networks into one of the same size."""
        panel = self._panel("ten")

        def train(request):
            panel.result = self.state.from_ten_to_one(**_position(request))

        panel.work(train)
        return panel

    def fidelity(self):
        """Return the panel of accuracy, agreement with the teacher and calibration."""
        return self._follower("fidelity")

    def mistakes(self):
        """Return the panel of wrong losses: what each does to the gradient and to ten students."""
        words = [{"name": m.name, "title": m.title, "what": m.what, "found": m.found} for m in MISTAKES.values()]
        panel = self._panel("mistakes", mistakes=words)

        def train(request):
            position = _position(request)
            if panel.result.get("position") != position:
                panel.result = {"position": position, "rows": mistakes(self.state, **position)}
            if request.get("keras_default"):
                row = keras_default(self.state, **position)
                rows = [r | row if r["name"] == "keras_default" else r for r in panel.result["rows"]]
                panel.result = panel.result | {"rows": rows}

        panel.work(train)
        return panel

    def translator(self):
        """Return the panel that says the position in other sources' weights and in code."""
        panel = self._panel("translator", targets=list(TARGETS))

        def translate(request):
            temperature, alpha, target = (request[name] for name in ("temperature", "alpha", "target"))
            panel.result = {
                "position": {"temperature": temperature, "alpha": alpha, "target": target},
                "code": code(target, temperature, alpha),
                "rows": [_row(name, temperature, alpha) for name in CONVENTIONS],
            }

        panel.work(translate)
        return panel

    def _panel(self, name, **values):
        return ResponsePanel(panel=name, **self._shared, **values)

    def _follower(self, name):
        panel = self._panel(name)
        self._followers.append(panel)
        return panel


def _position(request):
    return {name: request[name] for name in DEFAULTS}


def _row(name, temperature, alpha):
    """Return our position in the source's weights, and the source's own position, its defaults, in ours."""
    source = CONVENTIONS[name]
    own_alpha, own_scale = to_ours(name, source.temperature)
    row = {
        "name": name,
        "theirs": f"T = {source.temperature:g}, {_words(source.weights)}",
        "ours": f"α = {own_alpha:.3g}, scale {own_scale:.4g}",
    }
    try:
        weights, scale = from_ours(name, temperature, alpha)
    except ValueError as error:
        return row | {"weights": f"cannot say it: {error}", "scale": ""}
    return row | {"weights": _words(weights), "scale": f"{scale:.4g}"}


def _words(weights):
    return ", ".join(f"{key.rstrip('_')} = {value:.4g}" for key, value in weights.items())
