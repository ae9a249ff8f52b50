"""Check-your-understanding questions: state and check here, each wrong answer with the explanation it needs.

One of your own is a ``Question`` with a check: ``chosen`` for choices, ``typed`` for a number, ``predicted`` for what the
page then computes, or any function that takes the answer and returns an ``Answer``. ``Questions([…])`` shows them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial, wraps
from html import escape
from itertools import combinations

import ipywidgets
import numpy as np

from ..answers import RECORD
from ..conventions import to_ours
from ..datasets.dataset import digits_logits
from ..evaluation import paired_difference
from ..softening import softmax
from .controls import points
from .widgets import plain

__all__ = [
    "Answer",
    "Question",
    "Questions",
    "asked",
    "chosen",
    "feature_questions",
    "predict_exponent",
    "predict_features",
    "predict_softening",
    "predict_students",
    "predicted",
    "response_questions",
    "temperature_questions",
    "typed",
]


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

    The message of a wrong choice says what is wrong with it, not which one is right.
    """

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
        self.question, self.record, self._shown = question, record, None
        self._feedback = plain(ipywidgets.HTML, value=_said(""))
        if question.choices:
            options = [(text, k) for k, text in enumerate(question.choices)]
            self._answer = plain(ipywidgets.RadioButtons, options=options, value=None)
            rows = [self._answer]
        else:
            text = {"placeholder": "a number", "description": "answer", "continuous_update": False}
            self._answer = plain(ipywidgets.Text, **text)
            button = plain(ipywidgets.Button, description="Check")
            button.on_click(lambda _: self._check(self._answer.value))
            rows = [plain(ipywidgets.HBox, children=[self._answer, button])]
        self._answer.observe(self._changed, "value")
        prompt = plain(ipywidgets.HTML, value=f"<p><b>{escape(question.prompt)}</b></p>")
        self.box = plain(ipywidgets.VBox, children=[prompt, *rows, self._feedback]).add_class("kdlab-question")

    def _changed(self, change):
        self._check(change["new"])

    def _check(self, answer):
        self._feedback.value = _said("Checking …")  # a prediction's answer may have to be trained first
        try:
            result = self.question.check(answer)
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


def _least_sure():
    """Return the teacher's logits, (10,), on the first digit of chapter 1: the least sure of its two best classes."""
    logits = digits_logits()["teacher"]
    two_best = np.sort(softmax(logits), axis=1)[:, -2:]
    return logits[np.argmin(two_best[:, 1] - two_best[:, 0])]


@asked
def predict_softening():
    """Return the question to ask before chapter 1's first slider: what becomes of the second class and of the fifth."""
    logits = np.sort(_least_sure())[::-1]
    before, after = softmax(logits), softmax(logits, 5.0)
    choices = ("Both gain", "The second gains, the fifth loses", "The second loses, the fifth gains", "Both lose")

    def outcome():
        return (
            3 - 2 * int(after[1] > before[1]) - int(after[4] > before[4]),
            f"At T = 5 the second class has {after[1]:.3f} instead of {before[1]:.3f}, the fifth {after[4]:.3f} instead of "
            f"{before[4]:.5f}. What the likely classes give up goes to the unlikely ones.",
        )

    yield Question(
        f"On the first digit the teacher's probabilities at T = 1, in order, are {before[0]:.2f}, {before[1]:.2f}, "
        f"{before[2]:.2f}, {before[3]:.5f}, {before[4]:.5f}, … Predict: what happens to the second and to the fifth "
        "class if you raise T to 5?",
        predicted(outcome, choices),
        choices,
    )


@asked
def predict_exponent():
    """Return the question to ask before chapter 1's choice of the exponent of T."""
    yield Question(
        "You multiply the soft term by a power of T. Predict: with which power does its gradient stay at about the "
        "same size as T grows?",
        chosen(
            2,
            "Without a factor the gradient falls like 1/T² at large T, and the labels take over.",
            "T makes up for the 1/T in front of the gradient. But the difference q_s − q_t shrinks by another 1/T.",
            "1/T stands in front, and q_s − q_t shrinks by about another 1/T. It is level for large T only.",
            "Too much: at large T the gradient then grows with T, and the soft term drowns out the labels.",
        ),
        choices=("T⁰: no factor is needed", "T¹", "T²", "T³"),
    )


@asked
def temperature_questions():
    """Return chapter 1's five questions; the last two need its slider."""
    logits = np.array([6.0, 2.0, 0.0])
    at_two, at_one = softmax(logits, 2.0), softmax(logits)
    first_digit, temperatures = _least_sure(), np.geomspace(0.5, 64, 500)
    third = np.argsort(-first_digit)[2]
    likeliest, of_third = np.array([softmax(first_digit, t)[[first_digit.argmax(), third]] for t in temperatures]).T
    below, peak = temperatures[np.argmax(likeliest < 0.2)], of_third.argmax()
    yield Question(
        "A teacher's logits are (6, 2, 0). What probability does the first class get at T = 2? "
        "(e⁰ = 1, e⁻² ≈ 0.135, e⁻³ ≈ 0.050)",
        typed(
            at_two[0],
            f"softmax(3, 1, 0) = ({at_two[0]:.3f}, {at_two[1]:.3f}, {at_two[2]:.3f}): T divides the logits "
            f"before the exponential. At T = 1 it was {at_one[0]:.3f}.",
            hint="Divide each logit by 2 first, then take the exponentials and the first one's share of their sum.",
            mistakes=(
                (at_one[0], "That is T = 1: the logits were not divided by 2."),
                (softmax(logits, 0.5)[0], "That is T = ½: the logits were multiplied by 2 instead of divided."),
                (at_one[0] / 2, "The probability was divided by 2. It is the logits that T divides, before softmax."),
                (6 / 8, "Softmax takes exponentials: shares of the logits themselves are not probabilities."),
            ),
        ),
    )
    yield Question(
        "You raise T from 1 to 10. What can NOT happen?",
        chosen(
            1,
            "It does happen: the entropy grows with T, up to log₂ of the number of classes.",
            "z / T keeps the order of the logits for every T > 0, so the ranking and every prediction stay the same.",
            "It does happen: what the first class loses, the unlikely ones gain.",
            "It does happen: for T → ∞ every class tends to 1 / C.",
        ),
        choices=(
            "The entropy of the distribution grows",
            "Another class becomes the likeliest",
            "A class of probability 0.001 gets a larger share",
            "The distribution comes closer to the uniform one",
        ),
    )
    yield Question(
        "You train at T = 8 and leave out the factor T². What changes, compared with T = 1?",
        chosen(
            2,
            "The soft term's gradient carries 1/T and the softened difference shrinks by about another 1/T: "
            "it becomes smaller, not larger.",
            "It does not move the soft term's own minimum, but the loss has two terms: their balance changes.",
            "Its gradient falls roughly like 1/T², here by a factor of up to 64, so the hard labels take over. "
            "T² makes up for it, exactly only in the limit of large T.",
            "The order of the classes never depends on T, with or without T².",
        ),
        choices=(
            "The soft term pushes harder, so training may diverge",
            "Nothing: a constant factor does not move the minimum",
            "The soft term nearly stops counting against the hard labels",
            "The student learns another ranking of the classes",
        ),
    )
    yield Question(
        "Use the slider. On the first digit, the one the teacher is least sure of: at which T does the probability of "
        "its likeliest class fall below 20 %? (to within 1)",
        typed(
            below,
            f"At T ≈ {below:.1f}. No T brings it down to 10 %, where all ten classes are equal: that is the limit.",
            hint="Choose the first digit, raise T and watch its tallest bar.",
            tolerance=1.0,
        ),
    )
    yield Question(
        f"Use the slider. On the same digit, follow the third class in order of probability, the {third}, from T = 0.5 "
        "up to T = 64. What does its probability do?",
        chosen(
            2,
            f"It starts near {of_third[0]:.2f} and gains at first, from the two classes above it.",
            "For T → ∞ it tends to 0.1, and it has more than that at T = 1: it must come down again.",
            f"It is largest, {of_third[peak]:.2f}, near T = {temperatures[peak]:.1f}. A higher T helps a class while its "
            "logit is below the mean logit, each weighted by its probability. That mean falls as T grows.",
            "The other way round: towards T = 0 everything goes to the first class.",
        ),
        choices=("It falls all the way", "It rises all the way", "It rises, then falls", "It falls, then rises"),
    )


def _by_training(prompt, than, pair):
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


@asked
def predict_students(trainer):
    """Return the two questions to ask before chapter 2's sliders, answered by students that are trained for it.

    ``trainer(scenario, hidden)`` returns the ``LiveTrainer`` of a scenario's name, for students of those hidden layers.
    """

    def pair(scenario, hidden, temperature):
        live = trainer(scenario, hidden)
        return live.train(temperature, alpha=1.0), live.train(alpha=0.0)

    yield _by_training(
        "Fifty labelled digits. Ten students with 16 hidden units learn from the teacher alone (α = 1, T = 4), and "
        "the same ten from the labels alone (α = 0). Predict: how accurate are those the teacher taught?",
        "the labels alone",
        partial(pair, "few", (16,), 4.0),
    )
    yield _by_training(
        "All 898 labels, and students with 4 hidden units. Again α = 1 against α = 0, with strong softening: T = 16. "
        "Predict: how accurate are those the teacher taught?",
        "the labels alone",
        partial(pair, "all", (4,), 16.0),
    )


@asked
def response_questions():
    """Return chapter 2's three questions."""
    temperature, lambda_ = 4.0, 1.0
    alpha, _ = to_ours("two-headed", temperature, lambda_=lambda_)
    yield Question(
        "Somebody trains with L = λ · CE(labels) + CE(softened at T), without T², at T = 4 and λ = 1. "
        "Which α is that in L = (1 − α) · CE(labels) + α · T² · CE(softened), up to a scale?",
        typed(
            alpha,
            f"α = 1 / (1 + λ T²) = 1 / 17 = {alpha:.4f}: equal weights on paper, but counted as in our loss 94 % of "
            "this “soft” training was hard labels.",
            mistakes=(
                (1 / (1 + lambda_), "That would be right with T² in the loss; without it the soft term weighs 1/T²."),
                (1 - alpha, "That is the share of the hard labels, 1 − α."),
                (
                    1 / (1 + lambda_ * temperature),
                    "That takes T for T²: the soft terms of the two losses differ by the whole factor T².",
                ),
            ),
            tolerance=0.002,
            hint="Compare what stands before each term: λ = s (1 − α) and 1 = s α T².",
        ),
    )
    yield Question(
        "Ten distilled students are on average 0.2 points better than the same ten alone; the 95 % interval of the "
        "paired difference is −0.3 to +0.7. What can you conclude?",
        chosen(
            2,
            "The mean alone is not enough: a difference of this size can easily arise by chance.",
            "Absence of evidence is not evidence of absence: an effect anywhere from −0.3 to +0.7 fits these data.",
            "The interval contains 0: no detectable difference. More pairs would narrow it.",
            "Dropping seeds until the result looks right is cherry-picking.",
        ),
        choices=(
            "Distillation helps by 0.2 points",
            "Distillation has no effect here",
            "This experiment shows no detectable difference",
            "Drop the worst seeds and look again",
        ),
    )
    yield Question(
        "You compared 88 settings of T and α on the test set and report the best one. What is wrong with that?",
        chosen(
            1,
            "More epochs would not help: the choice itself used the test set.",
            "The best of 88 noisy numbers is partly luck. Choose on validation data, then measure once on the test set.",
            "88 settings are fine, as long as the choice is made on other data than those you report.",
            "Pairing makes each difference more precise, but it does not undo picking the luckiest of 88.",
        ),
        choices=(
            "Nothing, if every student was trained for enough epochs",
            "The best of many looks better than it is; choose on validation",
            "88 settings are too many to compare at all",
            "Nothing, because the students were paired",
        ),
    )


@asked
def predict_features(trainer):
    """Return the two questions to ask before chapter 3's sliders, answered by students that are trained for it.

    ``trainer(scenario)`` returns the ``LiveTrainer`` of a scenario's name, with the teacher's "hidden_2".
    """

    def pair(scenario, feature_alpha, method):
        live, tied = trainer(scenario), {"method": method, "pairs": [("hidden_2", "hidden_2")]}
        return live.train(4.0, 0.5, feature_alpha=feature_alpha, **tied), live.train(4.0, 0.5)

    yield _by_training(
        "Fifty labelled digits, and a hint between the second hidden layers with α_f = 0.5, beside labels and answers. "
        "Predict: how accurate are ten students, compared with labels and answers only?",
        "the answers only",
        partial(pair, "few", 0.5, "hint"),
    )
    yield _by_training(
        "All 898 labels. The second hidden layers are matched by similarity with α_f = 0.999, which leaves labels and "
        "answers a weight of 0.001. Predict: how accurate are ten students, compared with labels and answers only?",
        "the answers only",
        partial(pair, "all", 0.999, "similarity"),
    )


@asked
def feature_questions():
    """Return chapter 3's five questions."""
    feature_alpha, alpha = 0.4, 0.75
    labels = (1 - feature_alpha) * (1 - alpha)
    yield Question(
        "L = α_f · L_feature + (1 − α_f) · L_task, and L_task = (1 − α) · CE(labels) + α · T² · CE(softened). "
        "With α_f = 0.4 and α = 0.75, what weight do the labels have in the whole loss?",
        typed(
            labels,
            "(1 − 0.4) · (1 − 0.75) = 0.15. The softened answers weigh 0.45 and the features 0.4.",
            mistakes=(
                (1 - alpha, "That is their weight within L_task; the features have taken 0.4 of the whole."),
                (1 - feature_alpha, "That is the weight of L_task; within it α hands most to the teacher."),
                (feature_alpha * (1 - alpha), "α_f weighs the features; L_task, where the labels are, has 1 − α_f."),
                ((1 - feature_alpha) * alpha, "That is the weight of the softened answers: α in place of 1 − α."),
            ),
            hint="Multiply the two shares that the labels are left with.",
        ),
    )
    yield Question(
        "The teacher's layer has 256 units and the student's 16, so a hint needs a projector from 16 to 256, trained "
        "along with the student. What happens to it when the student is deployed?",
        chosen(
            2,
            "No layer of the student ever sees its output: it would only make the student larger.",
            "It has to be trained: at its random initial weights it would ask the student to match noise.",
            "It served the loss alone. The student is as small and as fast as one that was trained without it.",
            "It maps to the teacher's units, and the student's next layer takes the student's own.",
        ),
        choices=(
            "It stays, as one more layer of the student",
            "It must be fixed at random from the start, so it does not matter",
            "It is dropped: the student is as small as before",
            "It is multiplied into the student's next layer",
        ),
    )
    yield Question(
        "Why do similarity-preserving and relational distillation need no projector?",
        chosen(
            1,
            "They compare hidden layers, as a hint does.",
            "For a batch of B samples, similarities and distances form a B × B table, however wide the layer is.",
            "No unit is left out: with 256 units or 16, every one takes part in the similarities.",
            "Widths may differ: only the number of samples in the batch has to agree.",
        ),
        choices=(
            "They compare only the logits, which have one size",
            "They compare samples with each other, and there are as many for both",
            "They use only as many of the teacher's units as the student has",
            "They work only for layers of equal width",
        ),
    )
    yield Question(
        "With a hint, the similarity (CKA) of the two matched layers rises from 0.6 to 0.9. In accuracy there is no "
        "detectable difference from the student that learned from the answers only. What can you conclude?",
        chosen(
            0,
            "The loss did what it was asked to do. That two layers became similar does not mean that it was worth it.",
            "It trained well: the similarity that the loss asks for is there.",
            "CKA measures similarity to this teacher, not how good the answers are.",
            "Perhaps, perhaps not: that is a new experiment. At α_f = 1 the labels are not seen at all.",
        ),
        choices=(
            "The student has become more similar to the teacher inside, with no detectable benefit here",
            "The training has failed, or the accuracy would have risen too",
            "The hint helped: CKA is the finer measure of the two",
            "A larger α_f would raise the accuracy as well",
        ),
    )
    yield Question(
        "A few hundred settings were tried, and the best on the test set gains 3.9 points with features. The same setting "
        "with ten fresh initialisations gains 1.3 points. Why, and which number do you report?",
        chosen(
            1,
            "The difference has a known direction: what was picked as the best of hundreds tends to be lucky.",
            "The winner's curse: the setting was picked partly for the luck of those ten students. Fresh ones have none, "
            "although they still share the test digits on which it was picked.",
            "The mean still contains the ten lucky ones.",
            "They were trained in exactly the same way, from other initial weights.",
        ),
        choices=(
            "Chance: either of the two is as good",
            "The first profits from the search: report 1.3, with its interval",
            "Report the mean of both, 2.6",
            "The fresh students were not trained long enough: report 3.9",
        ),
    )
