"""``interact``: ipywidgets controls over a function, and what it returns, as a course needs it.

One thread computes for a page: a newer position replaces a waiting one, a running one finishes. Only panels on the
screen compute, the one under the hand first; the others follow when the hand rests.
"""

import contextlib
import inspect
import threading
import time
import traceback
from html import escape
from numbers import Number

import ipywidgets
from IPython import get_ipython
from IPython.display import display
from ipywidgets.widgets.interaction import interactive
from matplotlib.figure import Figure

from ..figures import keeping
from .widgets import FigureView, State, plain

REST = 0.3  # seconds without a change after which the hand rests
NARROW = 560  # CSS pixels: figures of two axes put one below the other
WIDEST = 1000
UNSEEN = 640  # the width that a figure is drawn at before a browser has said how much there is


class Queue:
    """Of every job the latest values wait. ``first`` jobs run at once, all others when nothing has changed for a while."""

    def __init__(self, rest=REST):
        self.rest, self.changed, self.first = rest, float("-inf"), None
        self.waiting, self.wake, self._thread = {}, threading.Condition(), None

    def ask(self, job, values, first=False):
        """Let ``job(values)`` be called; an earlier call of it that still waits is dropped."""
        with self.wake:
            # Not before: a thread does not come along in a forked kernel.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self.waiting[job] = values
            if first:
                self.first, self.changed = job, time.monotonic()
            self.wake.notify()

    def leave(self, job):
        """Take it that the hand has left ``job``'s panel."""
        with self.wake:
            if self.first == job:
                self.first = None
                self.wake.notify()

    def _next(self):
        with self.wake:
            while True:
                if self.first in self.waiting:
                    return self.first, self.waiting.pop(self.first)
                left = self.changed + self.rest - time.monotonic() if self.first else 0
                if self.waiting and left <= 0:
                    job = next(iter(self.waiting))
                    return job, self.waiting.pop(job)
                self.wake.wait(left if self.waiting else None)

    def _run(self):
        while True:
            job, values = self._next()
            try:
                job(values)
            except Exception:  # the queue is all panels'
                traceback.print_exc()


QUEUE = Queue()


class Progress:
    """What a manual function may take as ``progress``: it tells how far it is, shows what it has, and learns of a stop.

    ``progress(done, total, *shown)`` moves the bar and shows ``shown`` meanwhile; ``progress.stopped()`` is whether
    the button was pressed: the function then returns what it has.
    """

    def __init__(self, panel=None):
        self._panel, self._stop, self.done, self.total = panel, threading.Event(), 0, 0

    def __call__(self, done, total, *shown):
        """Say that ``done`` of ``total`` are done."""
        self.done, self.total = done, total
        if self._panel:
            self._panel._show_progress(self, shown)

    def stop(self):
        """Ask the function to end."""
        self._stop.set()

    def stopped(self):
        """Return whether it shall end."""
        return self._stop.is_set()


class Panel(ipywidgets.VBox):
    """Controls, and below them what a function of their values returned last. Made by ``interact``.

    ``result`` is what the function returned and ``values`` the controls' values that it was called with; where
    nothing is computed yet, ``result`` computes it now.
    """

    def __init__(self, function, controls, manual=None, queue=None):
        self.function, self.controls = function, controls
        self._queue, self._pending, self._drawn, self._kept = queue or QUEUE, True, {}, ({}, {})
        self._result, self.values, self._lock = None, None, threading.RLock()
        self._progress, self._is_in_cell = None, False
        self._box = plain(ipywidgets.VBox)
        self._box.add_class("kdlab-result").add_class("kdlab-empty")
        self._state = plain(State)
        self._wants_progress = "progress" in inspect.signature(function).parameters
        self._box_of_controls = plain(ipywidgets.VBox, children=[*controls.values()])
        self._box_of_controls.add_class("kdlab-controls")
        rows = [self._box_of_controls]
        self._button = self._bar = None
        if manual:
            self._name = manual
            self._button = plain(ipywidgets.Button, description=manual, button_style="primary")
            self._bar = ipywidgets.FloatProgress(min=0, max=1, layout={"display": "none"})
            self._button.on_click(self._press)
            rows.append(plain(ipywidgets.HBox, children=[self._button, self._bar]))
            self._box.remove_class("kdlab-empty")
        # What went wrong stands beside the controls, however tall the picture.
        super().__init__([*rows, self._state, self._box])
        self.add_class("kdlab-panel")
        for control in controls.values():
            control.observe(lambda _: self._mark() if self._button else self._ask(), "value")
        self._state.observe(self._seen, "visible")
        self._state.observe(lambda change: None if change["new"] else self._queue.leave(self._compute), "hand")
        self._state.observe(self._resized, ["available", "ratio"])

    @property
    def result(self):
        """What the function returned last; computed now if it was not yet called."""
        with self._lock:  # a first run that is on is waited for, not run again
            if self.values is None:
                self._compute(self._now(), raises=True)
            return self._result

    def _now(self):
        return {name: control.value for name, control in self.controls.items()}

    def __repr__(self):
        controls = ", ".join(_name(control, name) for name, control in self.controls.items())
        return (
            f"The panel of {_name_of(self.function)}{f' with {controls}' if controls else ''}: run this cell to see it."
        )

    def _repr_mimebundle_(self, **options):
        """Add words for whatever shows a saved notebook and knows no widgets."""
        words = repr(self)
        return super()._repr_mimebundle_(**options) | {"text/plain": words, "text/html": f"<p>{escape(words)}</p>"}

    def _ipython_display_(self):
        if self._is_in_cell:  # by interact; as its last value, too, a cell shows it once
            self._leave_cell()
        else:
            display(self._repr_mimebundle_(), raw=True)

    def _enter_cell(self):
        display(self)
        self._is_in_cell = True
        get_ipython().events.register("post_execute", self._leave_cell)

    def _leave_cell(self):
        self._is_in_cell = False
        get_ipython().events.unregister("post_execute", self._leave_cell)

    # ---- when to compute

    def _ask(self):
        self._pending = not self._state.visible
        if self._state.visible:
            self._state.say("computing", self._state.message)  # or it waits for its turn
            self._queue.ask(self._compute, self._now(), first=self._state.hand)

    def _seen(self, change):
        if change["new"] and self._pending and not self._button:
            self._ask()

    def _resized(self, _):
        """Draw again at the new size: a live panel calls its function, for a narrow figure has other proportions."""
        if self.values is None:
            return
        if not self._button:
            self._ask()
        elif self._lock.acquire(blocking=False):  # a run that is on will draw at the new size by itself
            try:
                self._show(self._result)
            finally:
                self._lock.release()

    def _press(self, _):
        if self._progress:
            if self._wants_progress:
                self._progress.stop()
                self._button.description = "Stopping …"
            return
        self._progress = Progress(self)
        if self._wants_progress:
            self._button.description, self._button.button_style = "Stop", "warning"
            self._bar.value, self._bar.layout.display = 0, ""
        else:  # it cannot be stopped, nor say how far it is
            self._button.disabled = True
        threading.Thread(target=self._compute, args=(self._now(), False, self._progress), daemon=True).start()

    # ---- computing and showing

    def _compute(self, values, raises=False, progress=None):
        """Call the function and show what it returns; an exception becomes a sentence, and the last good view stays."""
        narrow = 0 < self._state.available < NARROW
        # A long run has figures of its own: those of the last one are shown again where it fails.
        with self._lock, keeping({} if progress else self._kept[narrow], narrow):
            self._state.say("computing", "Computing …" if self.values is None else self._state.message)
            try:
                more = {"progress": progress or Progress()} if self._wants_progress else {}
                result = self.function(**values, **more)
                self._show(result)
                self._result, self.values = result, values
                early = progress and progress.stopped() and progress.done < progress.total
                stopped = f"Stopped at {progress.done} of {progress.total}." if early else ""
                self._state.say("idle", stopped, stale=False)
                self._mark()
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # the thread is all panels'
                if progress and self.values is not None:
                    self._show(self._result)
                if raises:
                    self._state.say("failed", str(error))
                    raise
                self._state.say("failed", self._sentence(error), stale=self.values is not None)
            finally:
                if progress:
                    self._progress = None
                    self._button.description, self._button.button_style = self._name, "primary"
                    self._button.disabled = False
                    self._bar.layout.display = "none"

    def _sentence(self, error):
        """Return what went wrong, where in the reader's function, and what is still shown."""
        kind = "" if isinstance(error, ValueError) and str(error) else type(error).__name__
        code, where = getattr(inspect.unwrap(self.function), "__code__", None), ""
        lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
        if lines and kind:
            where = f" (line {lines[-1] - code.co_firstlineno + 1} of {_name_of(self.function)})"
        shown = f" What is shown was made for {self._made_for()}." if self.values is not None else ""
        words = f"{': '.join(filter(None, [kind, str(error).rstrip('.')]))}{where}"
        return f"{words}{'' if words.endswith(('?', '!')) else '.'}{shown}"

    def _made_for(self, controls=None):
        """Return in words the values that what is shown was made for, of all controls or of some, but for empty ones."""
        controls = self.controls if controls is None else controls
        words = {_name(control, name): _word(control, self.values[name]) for name, control in controls.items()}
        return ", ".join(f"{name} = {word}" for name, word in words.items() if word not in ("", "()")) or "no values"

    def _mark(self):
        """Say so where the controls of a manual panel have moved on from what is shown."""
        if self._button and self.values is not None and self._state.state != "computing":
            stale = self._now() != self.values
            words = f"Shown for {self._made_for()}; the controls have changed since." if stale else ""
            if stale or self._state.stale:
                self._state.say("idle", words, stale=stale)

    def _show_progress(self, progress, shown):
        self._bar.value = progress.done / max(progress.total, 1)
        self._state.say("computing", f"{progress.done} of {progress.total} …", stale=False)
        if shown:
            self._show(shown)

    def _show(self, result):
        """Show a Figure, words, a number, a table, a widget, or a tuple of these."""
        parts = result if isinstance(result, tuple) else (result,)
        parts = [part if isinstance(part, (ipywidgets.Widget, Figure)) else self._html(part) for part in parts]
        width = min(self._state.available or UNSEEN, WIDEST)
        views = []
        for place, part in enumerate(parts):
            if isinstance(part, ipywidgets.Widget):
                views.append(part)
            elif isinstance(part, Figure):
                view = self._view(place, FigureView)
                view.show(part, width, self._state.ratio)
                views.append(view)
            else:
                view = self._view(place, ipywidgets.HTML)
                view.value = part
                views.append(view)
        if list(self._box.children) != views:
            self._box.children = views
        self._box.remove_class("kdlab-empty")

    def _view(self, place, kind):
        """Return the view at a place of the result, the one that was there if it is of this ``kind``."""
        if not isinstance(self._drawn.get(place), kind):
            self._drawn[place] = plain(kind)
        return self._drawn[place]

    def _html(self, part):
        if hasattr(part, "_repr_html_"):
            return part._repr_html_()
        if isinstance(part, str):
            return "".join(f"<p>{escape(line)}</p>" for line in part.split("\n"))
        if isinstance(part, Number):
            return f"<p>{part:.6g}</p>"
        name = _name_of(self.function)
        if part is None:
            raise ValueError(f"{name} returned nothing to show: end it with return and a figure, words or a widget")
        raise ValueError(
            f"{name} must return a matplotlib Figure, words, a number, a table (lab.table), a widget or a tuple of these, "
            f"got {type(part).__name__}"
        )


def interact(function, manual=None, queue=None, **controls):
    """Show ``controls`` and, for every position of them, what ``function(**values)`` returns; return the ``Panel``.

    As ``ipywidgets.interact`` does, it shows them wherever in a cell it is called.

    ``controls`` are widgets with a ``value``, or what ``ipywidgets.interact`` makes widgets of (a range, a list, a
    bool …); one widget in several panels keeps them in step. The function may return a matplotlib Figure, words, a
    number, a table, a widget, or a tuple of these; what it raises is said beside the controls.

    ``manual`` is the text of a button that computes instead of every move, for what takes long; the function may then
    take ``progress`` (a ``Progress``). Raises ValueError where function and controls do not fit.
    """
    controls = {name: _control(name, given) for name, given in controls.items()}
    _check_signature(function, controls)
    panel = Panel(function, controls, manual, queue)
    if get_ipython():
        panel._enter_cell()
    return panel


def _control(name, given):
    if isinstance(given, ipywidgets.Widget) and given.has_trait("value"):
        control = given
    else:
        control = None
        with contextlib.suppress(ValueError, TypeError):
            control = interactive.widget_from_abbrev(given)
        if control is None or isinstance(control, ipywidgets.fixed):
            raise ValueError(
                f"the control of {name} must be a widget with a value, or what ipywidgets makes one of "
                f"(a range, a list, a bool, a text), got {given!r}"
            )
        control.description = control.description or name
    return control


def _check_signature(function, controls):
    if not callable(function):
        raise ValueError(f"interact needs a function, got {function!r}")
    signature, given = inspect.signature(function), dict(controls)
    if "progress" in signature.parameters:
        given.setdefault("progress", None)
    try:
        signature.bind(**given)
    except TypeError as error:
        raise ValueError(
            f"{_name_of(function)}{signature} and the controls ({', '.join(controls) or 'none'}) must have the same names: {error}"
        ) from None


def _name_of(function):
    return getattr(function, "__name__", None) or type(function).__name__  # partial(…) has no name of its own


def _name(control, name):
    return getattr(control, "description", "") or name


def _word(control, value):
    if isinstance(control, ipywidgets.FileUpload):
        return ", ".join(file["name"] for file in value)
    if isinstance(value, list):  # a drawing, of a thousand numbers
        return ""
    if hasattr(control, "_options_values"):
        with contextlib.suppress(ValueError):
            return control._options_labels[control._options_values.index(value)]
    if hasattr(control, "labels") and value is not None:  # a grid's cell
        return control.labels[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
