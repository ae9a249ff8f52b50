"""Check-your-understanding questions: state and check here, each wrong answer with the explanation it needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import traitlets

from ..conventions import to_ours
from ..softening import softmax
from .panel import Panel, module

__all__ = ["Answer", "Question", "Questions", "response_questions", "temperature_questions"]


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


def typed(right, message, mistakes=(), tolerance=0.005, hint="{hint}"):
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
            f"{value:g} is {'too large' if value > right else 'too small'}. {hint}",
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


def response_questions():
    """Return chapter 2's three questions."""
    temperature, lambda_ = 10.0, 0.5
    alpha, _ = to_ours("two-headed", temperature, lambda_=lambda_)
    return Questions(
        [
            Question(
                "A tutorial trains with L = λ · CE(labels) + CE(softened at T), without T², at T = 10 and λ = 0.5. "
                "Which α is that in L = (1 − α) · CE(labels) + α · T² · CE(softened), up to a scale?",
                typed(
                    alpha,
                    f"α = 1 / (1 + λ T²) = 1 / 51 = {alpha:.4f}: by weight of gradient, 98 % of that “soft” training "
                    "was hard labels.",
                    mistakes=(
                        (
                            1 / (1 + lambda_),
                            "That would be right with T² in the loss; without it the soft term weighs 1/T².",
                        ),
                        (1 - alpha, "That is the share of the hard labels, 1 − α."),
                        (0.5, "λ weighs the labels, and the soft term has weight 1 and lacks T²."),
                    ),
                    tolerance=0.0005,
                    hint="Compare what stands before each term: λ = s (1 − α) and 1 = s α T².",
                ),
            ),
            Question(
                "Ten distilled students are on average 0.2 points better than the same ten alone; the 95 % interval of the "
                "paired difference is −0.3 to +0.7. What may you say?",
                chosen(
                    2,
                    "The mean alone does not say so: differences of this size come about by chance.",
                    "Absence of evidence: an effect of up to +0.7 or down to −0.3 would fit as well.",
                    "The interval holds 0, so this experiment does not tell the two apart; more pairs would narrow it.",
                    "Trying seeds until it looks right measures the trying, not the method.",
                ),
                choices=(
                    "Distillation helps by 0.2 points",
                    "Distillation has no effect here",
                    "This experiment does not tell them apart",
                    "Drop the worst seeds and look again",
                ),
            ),
            Question(
                "You compared 88 positions of T and α on the test set and report the best one. What is wrong with it?",
                chosen(
                    1,
                    "More epochs would not mend it: the choice itself used the test set.",
                    "The best of 88 noisy numbers is partly luck. Choose on validation, then measure once on test.",
                    "88 positions are fine, if they are chosen among on other data than those reported.",
                    "Pairing makes each difference sharper, but it does not undo choosing the luckiest of 88.",
                ),
                choices=(
                    "Nothing, if every student was trained for enough epochs",
                    "The best of many looks better than it is; choose on validation",
                    "88 positions are too many to compare at all",
                    "Nothing, because the students were paired",
                ),
            ),
        ]
    )
