"""Chapter 1's questions."""

import numpy as np

from ..datasets.dataset import digits_logits
from ..softening import softmax
from .questions import Question, asked, chosen, predicted, typed


def _least_sure():
    """Return the teacher's logits, (10,), on the first digit of chapter 1: the least sure of its two best classes."""
    logits = digits_logits()["teacher"]
    return logits[np.ptp(np.sort(softmax(logits))[:, -2:], axis=1).argmin()]


def _soft_gradient(temperature):
    """Return the mean norm of the soft term's gradient, without T², on chapter 1's logits."""
    teacher, student = (softmax(digits_logits()[name], temperature) for name in ("teacher", "student"))
    return np.linalg.norm(student - teacher, axis=1).mean() / temperature


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
    fall = np.divide(*(_soft_gradient(t) for t in (1.0, 8.0)))
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
            f"Its gradient falls, by a factor of {fall:.0f} with the logits of section 3, so the hard labels take over. "
            "T² makes up for it, exactly only in the limit of large T.",
            "The teacher's order of the classes is the same at every T, and no other one is asked for. What changes is its weight.",
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
