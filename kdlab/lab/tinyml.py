"""Chapter 5's view: panels over the state of converted students, each with a thread of its own."""

import uuid

import traitlets

from ..export.boards import BOARDS, CLOSE
from .panel import WorkingPanel, choice_rule, fraction_rule, module, positive_rule
from .response_state import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from .tinyml_state import BITS, DEFAULTS, DIGITS, TASKS, WIDTHS, TinymlState

__all__ = ["Chapter"]


class TinymlPanel(WorkingPanel):
    """One panel of the chapter; ``progress`` says what of long work is done, {} for none: words, done, total."""

    _esm = module("features_drawing.js", "tinyml_drawing.js", "tinyml.js")

    progress = traitlets.Dict().tag(sync=True)
    tasks = traitlets.List().tag(sync=True)
    widths = traitlets.List().tag(sync=True)
    boards = traitlets.List().tag(sync=True)
    close_from = traitlets.Float().tag(sync=True)
    stopped = traitlets.Bool().tag(sync=True)
    trained = traitlets.Int().tag(sync=True)


class Chapter:
    """The panels of chapter 5; boards and C source follow the student that was converted last."""

    def __init__(self):
        self.state = TinymlState()
        self._shared = {
            "page_id": uuid.uuid4().hex,
            "rules": {
                "task": choice_rule("task", TASKS, DEFAULTS["task"]),
                "width": choice_rule("width", WIDTHS, DEFAULTS["width"]),
                "temperature": positive_rule("T", DEFAULTS["temperature"], LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
                "alpha": fraction_rule("alpha", DEFAULTS["alpha"]),
                "bits": choice_rule("bits", BITS, 4),
            },
            "tasks": [{"name": name, "title": title, "live": name in DIGITS} for name, title in TASKS.items()],
            "widths": list(WIDTHS),
        }
        self._followers, self._source, self._bits = [], None, None

    def convert(self):
        """Return the panel that trains a student, converts it, and tables its forms beside the teacher's."""
        panel = self._panel("convert")

        def work(request, progress, stop):
            result, source = self.state.convert(progress, stop, **_position(request))
            if result is None:
                return False
            self._show(panel, result)
            if self._source:
                self._source.result = {"position": result["position"], "source": source}
            progress("Converting the teacher", 0, 1)
            self._show(panel, self.state.with_teacher(result))
            return True

        return self._work(panel, work)

    def boards(self):
        """Return the panel of the boards that student and teacher fit on."""
        boards = [board._asdict() for board in BOARDS]
        panel = self._panel("boards", boards=boards, close_from=CLOSE)
        self._followers.append(panel)
        return panel

    def pairs(self):
        """Return the panel that compares students alone and distilled, before and after quantisation."""
        panel = self._panel("pairs")

        def work(request, progress, stop):
            result = self.state.compare(progress, stop, **_position(request))
            if result is not None:
                panel.result = result
            if self._bits:
                self._bits.trained += 1
            return result is not None

        return self._work(panel, work)

    def bits(self):
        """Return the panel of weights with 2 to 8 bits."""
        panel = self._bits = self._panel("bits")

        def look(request):
            position = _position(request)
            panel.result = self.state.bits(**position) or {"position": position}

        panel.work(look)
        return panel

    def source(self):
        """Return the panel of the C source that holds the converted student."""
        self._source = self._panel("source")
        return self._source

    def _show(self, panel, result):
        for one in (panel, *self._followers):
            one.result = result

    def _work(self, panel, job):
        """Do ``job(request, progress, stop)`` for the latest request; it returns whether it came to its end."""

        def work(request):
            if request.get("stop"):
                return
            panel.stopped, panel.progress = False, {}
            try:
                panel.stopped = not job(request, tell, lambda: worker.superseded)
            finally:
                panel.progress = {}

        def tell(words, done, total):
            panel.progress = {"words": words, "done": done, "total": total}

        worker = panel.work(work)
        return panel

    def _panel(self, name, **values):
        return TinymlPanel(panel=name, **self._shared, **values)


def _position(request):
    return {name: request[name] for name in DEFAULTS}
