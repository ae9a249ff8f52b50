"""Chapter 2's questions."""

from functools import partial

from ..conventions import to_ours
from .questions import Question, asked, by_training, chosen, typed


@asked
def predict_students(trainer):
    """Return the two questions to ask before chapter 2's sliders, answered by students that are trained for it.

    ``trainer(scenario, hidden)`` returns the ``LiveTrainer`` of a scenario's name, for students of those hidden layers.
    """

    def pair(scenario, hidden, temperature):
        live = trainer(scenario, hidden)
        return live.train(temperature, alpha=1.0), live.train(alpha=0.0)

    yield by_training(
        "Fifty labelled digits. Ten students with 16 hidden units learn from the teacher alone (α = 1, T = 4), and "
        "the same ten from the labels alone (α = 0). Predict: how accurate are those the teacher taught?",
        "the labels alone",
        partial(pair, "few", (16,), 4.0),
    )
    yield by_training(
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
