"""Check-your-understanding questions: state and check here, each wrong answer with the explanation it needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import traitlets

from ..softening import softmax
from .panel import Panel, module

__all__ = ["Answer", "Question", "Questions", "temperature_questions"]


@dataclass(frozen=True)
class Answer:
    """What a check says: right or not, and why."""

    correct: bool
    message: str


@dataclass(frozen=True)
class Question:
    """A prompt with ``choices`` (a check gets the index of one) or, without choices, a number to type."""

    prompt: str
    check: Callable[[object], Answer]
    choices: tuple[str, ...] = ()


def chosen(right, *feedback):
    """Return the check of a choice: ``right`` is the index of the right one, ``feedback`` has a message per choice."""

    def check(answer):
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(feedback):
            return Answer(False, f"Choose one of the {len(feedback)} answers.")
        return Answer(answer == right, feedback[answer])

    return check


def typed(right, message, mistakes=(), tolerance=0.005):
    """Return the check of a number: ``mistakes`` are pairs (value that a known slip gives, what to say to it)."""

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
        return Answer(
            False,
            f"{value:g} is {'too large' if value > right else 'too small'}. Divide first, then softmax.",
        )

    return check


class Questions(Panel):
    """The view of some ``Question``s; the check runs in the kernel as soon as an answer is given."""

    _esm = module("questions.js")

    questions = traitlets.List().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    feedback = traitlets.Dict().tag(sync=True)

    def __init__(self, questions):
        self.asked = tuple(questions)
        super().__init__(questions=[{"prompt": q.prompt, "choices": list(q.choices)} for q in self.asked])

    @traitlets.observe("answer")
    def _check(self, change):
        given = change["new"]
        try:
            result = self.asked[given["question"]].check(given["answer"])
        except Exception as error:  # an exception in an observer shows nowhere: say it on the page
            result = Answer(False, f"This answer could not be checked: {error}")
        self.feedback = {**given, "correct": result.correct, "message": result.message}


def temperature_questions():
    """Return chapter 1's three questions."""
    logits = np.array([6.0, 2.0, 0.0])
    at_two, at_one = softmax(logits, 2.0), softmax(logits)
    return Questions(
        [
            Question(
                "A teacher's logits are (6, 2, 0). What probability does its first class have at T = 2? "
                "(e⁰ = 1, e⁻² ≈ 0.135, e⁻³ ≈ 0.050)",
                typed(
                    at_two[0],
                    f"softmax(3, 1, 0) = ({at_two[0]:.3f}, {at_two[1]:.3f}, {at_two[2]:.3f}): T divides the logits "
                    f"before the exponential. At T = 1 it was {at_one[0]:.3f}.",
                    mistakes=(
                        (at_one[0], "That is T = 1: the logits were not divided by 2."),
                        (
                            softmax(logits, 0.5)[0],
                            "That is T = ½: the logits were multiplied by 2 instead of divided.",
                        ),
                        (
                            at_one[0] / 2,
                            "The probability was divided by 2. It is the logits that T divides, before softmax.",
                        ),
                        (
                            6 / 8,
                            "Softmax takes exponentials: shares of the logits themselves are not probabilities.",
                        ),
                    ),
                ),
            ),
            Question(
                "You raise T from 1 to 10. What can NOT happen?",
                chosen(
                    1,
                    "It does happen: the entropy grows with T, up to log₂ of the number of classes.",
                    "z / T keeps the order of the logits for every T > 0, so the ranking and every prediction stay.",
                    "It does happen: what the first class loses, the unlikely ones gain.",
                    "It does happen: for T → ∞ every class tends to 1 / C.",
                ),
                choices=(
                    "The entropy of the distribution grows",
                    "Another class becomes the likeliest",
                    "A class of probability 0.001 gets a larger share",
                    "The distribution comes closer to the uniform one",
                ),
            ),
            Question(
                "Training at T = 8 without the factor T²: what happens, compared with T = 1?",
                chosen(
                    2,
                    "The soft term's gradient carries 1/T and the softened difference shrinks by about another 1/T: "
                    "it becomes smaller, not larger.",
                    "Its minimum stays where it was, but how much it weighs against the hard labels does not.",
                    "Its gradient falls roughly like 1/T², here by up to 64, so the hard labels take over; T² makes up for it, "
                    "exactly only for large T.",
                    "The order of the classes never depends on T, with or without T².",
                ),
                choices=(
                    "The soft term pushes harder, so training may diverge",
                    "Nothing: a constant factor does not move the minimum",
                    "The soft term nearly stops counting against the hard labels",
                    "The student learns another ranking of the classes",
                ),
            ),
        ]
    )
