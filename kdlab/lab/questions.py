"""Check-your-understanding questions: state and check here, each wrong answer with the explanation it needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import traitlets

from ..conventions import to_ours
from ..softening import softmax
from .panel import Panel, module

__all__ = ["Answer", "Question", "Questions", "feature_questions", "response_questions", "temperature_questions"]


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


def typed(right, message, hint, mistakes=(), tolerance=0.005):
    """Return the check of a number; ``hint`` is what helps after a wrong one that is none of the known slips.

    ``mistakes`` are pairs (value that a known slip gives, what to say to it). Raises ValueError where two of
    all these values lie within twice the tolerance: a slip would be taken for another one, or for the right answer.
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
                    hint="Divide each logit by 2 first, then take the exponentials and the first one's share of their sum.",
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


def feature_questions():
    """Return chapter 3's four questions."""
    feature_alpha, alpha = 0.4, 0.75
    labels = (1 - feature_alpha) * (1 - alpha)
    return Questions(
        [
            Question(
                "L = α_f · L_feature + (1 − α_f) · L_task, and L_task = (1 − α) · CE(labels) + α · T² · CE(softened). "
                "With α_f = 0.4 and α = 0.75, what weight do the labels have in the whole loss?",
                typed(
                    labels,
                    "(1 − 0.4) · (1 − 0.75) = 0.15. The softened answers weigh 0.45 and the features 0.4.",
                    mistakes=(
                        (1 - alpha, "That is their weight within L_task; the features have taken 0.4 of the whole."),
                        (1 - feature_alpha, "That is the weight of L_task; within it α hands most to the teacher."),
                        (
                            feature_alpha * (1 - alpha),
                            "α_f weighs the features; L_task, where the labels are, has 1 − α_f.",
                        ),
                        (
                            (1 - feature_alpha) * alpha,
                            "That is the weight of the softened answers: α in place of 1 − α.",
                        ),
                    ),
                    hint="Multiply the two shares that the labels are left with.",
                ),
            ),
            Question(
                "The teacher's layer has 256 units and the student's 16, so a hint needs a projector from 16 to 256, trained "
                "along with the student. What becomes of it in the student that is put to use?",
                chosen(
                    2,
                    "Nothing after the student's layer ever sees its output: the student would only grow by it.",
                    "It has to be trained: at its random beginning it would ask the student to match noise.",
                    "It served the loss alone. The student is as small and as fast as one that was trained without it.",
                    "It maps to the teacher's units, and the student's next layer takes the student's own.",
                ),
                choices=(
                    "It stays, as one more layer of the student",
                    "It must be fixed at random from the start, so it does not matter",
                    "It is dropped: the student is as small as before",
                    "It is multiplied into the student's next layer",
                ),
            ),
            Question(
                "Why do similarity-preserving and relational distillation need no projector?",
                chosen(
                    1,
                    "They compare hidden layers as a hint does; what they compare of them is different.",
                    "For a batch of B samples, similarities and distances form a B × B table, however wide the layer is.",
                    "No layer is cut: with 256 units or 16, every unit takes part in the similarities.",
                    "Equal widths are not needed: only the number of samples in the batch has to agree.",
                ),
                choices=(
                    "They compare only the logits, which have one size",
                    "They compare samples with each other, and there are as many for both",
                    "They use only as many of the teacher's units as the student has",
                    "They work only for layers of equal width",
                ),
            ),
            Question(
                "With a hint, the similarity (CKA) of the two tied layers rises from 0.6 to 0.9. The accuracy is not told apart "
                "from the student's that learnt from the answers alone. What may you say?",
                chosen(
                    0,
                    "The loss did what it was asked. That a likeness is reached does not say that it was worth having.",
                    "It trained well: the likeness it was asked for is there.",
                    "CKA measures likeness to this teacher, not how good the answers are.",
                    "Perhaps, perhaps not: that is a new experiment. At α_f = 1 the labels are not seen at all.",
                ),
                choices=(
                    "The student has become more like the teacher inside, and no better for it here",
                    "The training has failed, or the accuracy would have risen too",
                    "The hint helped: CKA is the finer measure of the two",
                    "A larger α_f would raise the accuracy as well",
                ),
            ),
        ]
    )
