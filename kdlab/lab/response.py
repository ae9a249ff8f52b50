"""Chapter 2's view: panels over one ``ResponseState``, each with a thread of its own for what it trains."""

import time
import uuid

import numpy as np
import traitlets

from ..conventions import CONVENTIONS, code, from_ours
from ..mistakes import MISTAKES
from ..scenarios import SCENARIOS
from .panel import Panel, module
from .regions_state import SHAPES, RegionsState
from .response_state import DEFAULTS, HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, WIDTHS, ResponseState
from .worker import Worker

__all__ = ["Chapter"]

TEMPERATURES = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)
ALPHAS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1)
SWEEP_SEEDS = 5
TARGETS = ("keras", "keras.distillation", "pytorch")


class ResponsePanel(Panel):
    """One panel of the chapter. ``request`` comes from the page, ``result`` goes to it; ``status`` says what is on."""

    _esm = module("response.js")

    request = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("idle").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    scenarios = traitlets.List().tag(sync=True)
    widths = traitlets.List().tag(sync=True)
    axes = traitlets.Dict().tag(sync=True)
    shapes = traitlets.List().tag(sync=True)
    targets = traitlets.List().tag(sync=True)
    mistakes = traitlets.List().tag(sync=True)
    image_bytes = traitlets.Bytes().tag(sync=True)

    def say(self, status, message):
        """Show what the worker is doing; the words first, for the status makes the page read them."""
        self.message = message.rstrip(".")
        self.status = status


class Chapter:
    """The panels of chapter 2; all follow one position, and what one of them trained the others show."""

    def __init__(self):
        self.state = ResponseState()
        self._regions = RegionsState()
        rule = {"kind": "fraction", "accepts": "a number from 0 to 1"}
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "temperature": {
                    "key": "T",
                    "kind": "positive",
                    "min": LOWEST_TEMPERATURE,
                    "max": HIGHEST_TEMPERATURE,
                    "accepts": f"a number from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}",
                    "default": DEFAULTS["temperature"],
                },
                "alpha": {"key": "alpha", **rule, "default": DEFAULTS["alpha"]},
                "scenario": _choice("scenario", list(SCENARIOS), DEFAULTS["scenario"]),
                "width": _choice("width", list(WIDTHS), DEFAULTS["width"]),
                "shape": _choice("shape", list(SHAPES), SHAPES[0]),
            },
            "scenarios": [{"name": s.name, "title": s.title, "expectation": s.expectation} for s in SCENARIOS.values()],
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

        return _working(panel, train, say)

    def landscape(self):
        """Return the panel of the temperature × alpha landscape."""
        axes = {"temperatures": TEMPERATURES, "alphas": ALPHAS, "seeds": SWEEP_SEEDS}
        panel = self._panel("landscape", axes=axes)

        def train(request):
            if request.get("stop"):
                return
            started = time.perf_counter()
            scenario, width = request["scenario"], request["width"]

            def progress(done, total, differences):
                panel.result = {
                    "scenario": scenario,
                    "width": width,
                    "done": done,
                    "seconds": time.perf_counter() - started,
                    "differences": [[None if np.isnan(v) else float(v) for v in row] for row in differences],
                }

            self.state.landscape(
                scenario, width, TEMPERATURES, ALPHAS, SWEEP_SEEDS, progress, stop=lambda: worker.superseded
            )

        worker = Worker(train, panel.say)
        panel.observe(lambda change: worker.submit(change["new"]), "request")
        return panel

    def regions(self):
        """Return the panel of decision regions in the plane."""
        panel = self._panel("regions", shapes=list(SHAPES))

        def train(request):
            panel.result = self._regions.train(request["shape"], request["temperature"], request["alpha"])

        return _working(panel, train)

    def drawing(self):
        """Return the panel in which a digit is drawn and the three networks answer."""
        panel = self._panel("draw", image_bytes=self._images)

        def answer(request):
            panel.result = self.state.draw(request["pixels"], **_position(request))

        return _working(panel, answer)

    def from_ten_to_one(self):
        """Return the panel that distils ten networks into one of the same size."""
        panel = self._panel("ten")

        def train(request):
            panel.result = self.state.from_ten_to_one(**_position(request))

        return _working(panel, train)

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
                panel.result = {"position": position, "rows": self.state.mistakes(**position)}
            if request.get("keras_default"):
                row = self.state.keras_default(**position)
                rows = [r | row if r["name"] == "keras_default" else r for r in panel.result["rows"]]
                panel.result = panel.result | {"rows": rows}

        return _working(panel, train)

    def translator(self):
        """Return the panel that says the position in other sources' weights and in code."""
        panel = self._panel("translator", targets=list(TARGETS))

        def translate(request):
            temperature, alpha = request["temperature"], request["alpha"]
            panel.result = {
                "temperature": temperature,
                "alpha": alpha,
                "code": code(request["target"], temperature, alpha),
                "rows": [_row(name, temperature, alpha) for name in CONVENTIONS],
            }

        return _working(panel, translate)

    def _panel(self, name, **values):
        return ResponsePanel(panel=name, **self._shared, **values)

    def _follower(self, name):
        panel = self._panel(name)
        self._followers.append(panel)
        return panel


def _working(panel, job, say=None):
    """Return ``panel`` with a worker that does ``job`` for the latest request."""
    worker = Worker(job, say or panel.say)
    panel.observe(lambda change: worker.submit(change["new"]), "request")
    return panel


def _position(request):
    return {name: request[name] for name in DEFAULTS}


def _choice(key, choices, default):
    words = ", ".join(map(str, choices))
    return {"key": key, "kind": "choice", "choices": choices, "default": default, "accepts": f"one of {words}"}


def _row(name, temperature, alpha):
    try:
        weights, scale = from_ours(name, temperature, alpha)
    except ValueError as error:
        return {"name": name, "weights": f"cannot say it: {error}", "scale": ""}
    words = ", ".join(f"{key.rstrip('_')} = {value:.4g}" for key, value in weights.items())
    return {"name": name, "weights": words, "scale": f"{scale:.4g}"}
