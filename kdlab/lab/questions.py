"""Check-your-understanding questions, each wrong answer with the explanation it needs; ``…_questions`` are the chapters' own.

One of your own is a ``Question`` with a check: ``chosen`` for choices, ``typed`` for a number, ``predicted`` for what the
page then computes, or any function that takes the answer and returns an ``Answer``. ``Questions([…])`` shows them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from html import escape
from itertools import combinations

import ipywidgets

from ..answers import RECORD
from ..evaluation import paired_difference
from .controls import points
from .widgets import plain

AT_ONCE = 1  # seconds between leaving a field for its button and pressing that, at most


@dataclass(frozen=True)
class Answer:
    """What a check says: whether the answer is ``correct``, and a ``message``, plain text, that says why."""

    correct: bool
    message: str


@dataclass(frozen=True)
class Question:
    """A ``prompt``, plain text, with ``choices`` or, without them, a field to type in.

    ``check(answer)`` returns an ``Answer``; it gets the index of a choice, from 0, or the text as it was typed, which may
    be anything. What it raises is said on the page. An answer is kept under its prompt: no two on a page are the same.
    """

    prompt: str
    check: Callable[[object], Answer]
    choices: tuple[str, ...] = ()


def chosen(right, *feedback):
    """Return the check of a choice: ``right`` is the index of the right one, ``feedback`` has a message per choice, in order.

    The message of a wrong choice says what is wrong with it, not which one is right. Raises ValueError for a ``right`` that
    has no message.
    """
    if not 0 <= right < len(feedback):
        raise ValueError(f"right must be the index of one of the {len(feedback)} messages, from 0, got {right}")

    def check(answer):
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(feedback):
            return Answer(False, f"Choose one of the {len(feedback)} answers.")
        return Answer(answer == right, feedback[answer])

    return check


def typed(right, message, hint, mistakes=(), tolerance=0.005):
    """Return the check of a number: ``right`` to within ``tolerance``, with a comma or a point, is answered by ``message``.

    ``hint`` is what helps after a wrong one that is none of the known slips. ``mistakes`` are pairs (value that a known
    slip gives, what to say to it). Raises ValueError where two of all these values lie within twice the tolerance: a slip
    would be taken for another one, or for the right answer.
    """
    for one, two in combinations([right, *(slip for slip, _ in mistakes)], 2):
        if abs(one - two) <= 2 * tolerance:
            raise ValueError(f"the answers {one:g} and {two:g} cannot be told apart with a tolerance of {tolerance:g}")

    def check(answer):
        try:
            value = float(str(answer).replace(",", "."))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            return Answer(False, f"The answer must be a number such as 0.25, got “{answer}”.")
        if abs(value - right) <= tolerance:
            return Answer(True, message)
        for slip, explanation in mistakes:
            if abs(value - slip) <= tolerance:
                return Answer(False, explanation)
        return Answer(False, f"{value:g} is {'too large' if value > right else 'too small'}. {hint}")

    return check


def predicted(outcome, choices):
    """Return the check of a prediction, for ``Question(…, choices=choices)``.

    ``outcome()`` looks when an answer is given, and may take its time, as for a training: it returns the index of the choice
    that happened and a sentence on it.
    """

    def check(answer):
        happened, sentence = outcome()
        otherwise = f"What happens: {choices[happened][0].lower()}{choices[happened][1:]}. {sentence}"
        return chosen(happened, *(sentence if k == happened else otherwise for k in range(len(choices))))(answer)

    return check


def by_training(prompt, than, pair):
    """Return a question that the paired difference of two ``LiveResult``s answers, ``pair()``, trained when it is asked.

    ``than`` is what the second ones had; asked is whether the first are better or worse.
    """
    choices = (
        f"Better than with {than}",
        f"Worse than with {than}",
        "No detectable difference (the interval contains 0)",
    )

    @cache  # the same students answer for each choice
    def outcome():
        gain = paired_difference(*(result.test_accuracy for result in pair()))
        return (
            0 if gain.low > 0 else 1 if gain.high < 0 else 2,
            f"Ten pairs, just trained: {points(gain.mean)} points, 95 % interval {points(gain.low)} to {points(gain.high)}.",
        )

    return Question(prompt, predicted(outcome, choices), choices)


class Questions(ipywidgets.VBox):
    """The view of some ``Question``s; an answer is checked as soon as it is given, and noted in ``record``.

    What the record holds already, kept by the browser from an earlier visit, is shown as it was answered then.
    """

    def __init__(self, questions, record=RECORD):
        self.asked, self._record = tuple(questions), record
        self._views = [_View(question, record) for question in self.asked]
        super().__init__([view.box for view in self._views])
        self.add_class("kdlab-panel").add_class("kdlab-questions")
        record.watch(self._show)
        self._show()

    def _show(self):
        for view in self._views:
            view.show(self._record.given.get(view.question.prompt))


def asked(write):
    """Make of ``write``, which yields ``Question``s, a function that returns them as ``Questions``; a decorator."""

    @wraps(write)
    def questions(*given):
        return Questions(write(*given))

    return questions


class _View:
    """One question on the page."""

    def __init__(self, question, record):
        self.question, self.record, self._shown, self._left = question, record, None, -math.inf
        self._feedback = plain(ipywidgets.HTML, value=_said(""))
        if question.choices:
            options = [(text, k) for k, text in enumerate(question.choices)]
            self._answer = plain(ipywidgets.RadioButtons, options=options, value=None)
            rows = [self._answer]
        else:
            text = {"placeholder": "a number", "description": "answer", "continuous_update": False}
            self._answer = plain(ipywidgets.Text, **text)
            button = plain(ipywidgets.Button, description="Check")
            button.on_click(lambda _: self._press())
            rows = [plain(ipywidgets.HBox, children=[self._answer, button])]
        self._answer.observe(self._changed, "value")
        prompt = plain(ipywidgets.HTML, value=f"<p><b>{escape(question.prompt)}</b></p>")
        self.box = plain(ipywidgets.VBox, children=[prompt, *rows, self._feedback]).add_class("kdlab-question")

    def _press(self):
        """Check what is typed, unless that was just done, as the field was left for the button."""
        if time.monotonic() - self._left > AT_ONCE:
            self._check(self._answer.value)

    def _changed(self, change):
        self._check(change["new"])
        self._left = time.monotonic()

    def _check(self, answer):
        self._feedback.value = _said("Checking …")  # a prediction's answer may have to be trained first
        try:
            result = self.question.check(answer)
            if not isinstance(result, Answer):
                raise TypeError(f"a check must return an Answer(correct, message), got {result!r}")
        except Exception as error:  # an exception in an observer shows nowhere: say it on the page
            self._feedback.value = _said(f"✗ Not quite. This answer could not be checked: {error}", "wrong")
            return
        said = self.question.choices[answer] if answer in range(len(self.question.choices)) else answer
        self.record.add(self.question.prompt, said, result.correct, result.message)

    def show(self, entry):
        """Show an ``entry`` of the record, or that there is none; an answer that is no longer a choice is none."""
        if entry == self._shown:
            return
        value = None if self.question.choices else ""
        if entry and not self.question.choices:
            value = entry["answer"]
        elif entry and entry["answer"] in self.question.choices:
            value = self.question.choices.index(entry["answer"])
        elif entry:
            return
        self._shown = entry
        self._answer.unobserve(self._changed, "value")
        self._answer.value = value
        self._answer.observe(self._changed, "value")
        kind, word = ("right", "✓ Right.") if entry and entry["correct"] else ("wrong", "✗ Not quite.")
        self._feedback.value = _said(f"{word} {entry['message']}", kind) if entry else _said("")


def _said(text, kind=""):
    return f'<p role="status" class="kdlab-feedback kdlab-{kind}">{escape(text)}</p>'
