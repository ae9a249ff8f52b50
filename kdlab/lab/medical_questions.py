"""Chapter 4's questions."""

import numpy as np

from ..datasets.nuclei import fields, split_nuclei
from .questions import Question, asked, chosen, predicted, typed


@asked
def predict_overlap():
    """Return the question to ask before chapter 4's split at random."""
    choices = ("About one in ten", "About a third", "About two thirds", "About nine in ten")

    def outcome():
        field = fields()["nest"]
        where = split_nuclei(field, 48, "random")
        train, test = (field.centres[where == name].astype(int) for name in ("train", "test"))
        share = np.mean(np.abs(test[:, None] - train).max(axis=2).min(axis=1) < 48)
        return int(np.abs(share - np.array([0.1, 1 / 3, 2 / 3, 0.9])).argmin()), (
            f"{share:.1%} of the test crops share pixels with a training crop: nuclei lie closer together than 48 pixels."
        )

    prompt = "Predict: of the test crops of a random split, what share overlaps a training crop?"
    yield Question(prompt, predicted(outcome, choices), choices)


@asked
def medical_questions():
    """Return chapter 4's four questions."""
    ill, well, found, called = 40, 160, 34, 40
    specificity = 1 - called / well
    yield Question(
        f"Of {ill} ill people a test calls {found} ill, of {well} healthy ones it calls {called} ill. "
        "What is its specificity? (a number from 0 to 1)",
        typed(
            specificity,
            f"({well} − {called}) / {well} = {specificity:g}: the share of the healthy that are called healthy.",
            mistakes=(
                (found / ill, "That is the share of the ill that are called ill: sensitivity."),
                (
                    (found + well - called) / (ill + well),
                    "That is the share of all that are called right: accuracy. It mixes the ill with the healthy.",
                ),
                (called / well, "That is the share of the healthy called ill, 1 − specificity."),
                (found / (found + called), "That is the share of the ill among those called ill: precision."),
                (
                    (well - called) / (well - called + ill - found),
                    "That is the share of the healthy among those called healthy: negative predictive value.",
                ),
            ),
            hint="Look at the healthy people alone: how many of them are called healthy?",
        ),
    )
    yield Question(
        "You lower the decision threshold. What happens to sensitivity, specificity and AUC?",
        chosen(
            1,
            "AUC belongs to the order of the scores; the threshold is not in it.",
            "More is called positive, right or wrong. AUC is of all thresholds at once.",
            "That is what a higher threshold does: less is called positive.",
            "The threshold only moves along the curve: what is won in one is paid for in the other.",
        ),
        choices=(
            "All three rise",
            "Sensitivity rises or stays, specificity falls or stays, AUC stays",
            "Sensitivity falls, specificity rises, AUC stays",
            "Both rise, so accuracy rises",
        ),
    )
    yield Question(
        "A student sees a nucleus mirrored. Which teacher logits should it learn from?",
        chosen(
            2,
            "The teacher does not answer exactly the same to both: the student would be told about an image it does not see.",
            "An average blurs what the teacher says of the very image, and fits no view exactly.",
            "Both look at the same image: a consistent teacher. Kept once for all eight views, they cost nothing later.",
            "The label is the same, but the soft answer, which is what distillation adds, would be lost.",
        ),
        choices=(
            "Those of the nucleus as it was: it is the same cell",
            "The mean over all views",
            "Those of the mirrored nucleus",
            "None: only the label is unchanged by a mirror",
        ),
    )
    yield Question(
        "A paper reports 93 % accuracy on brain scans split at random; some scans occur twice in the set. "
        "What do you ask for first?",
        chosen(
            3,
            "It would fit the same leak, only better.",
            "An interval is about the size of the test set; it does not see a leak.",
            "AUC, too, is measured on test scans that may have been trained on.",
            "Copies in training and test make it a test of memory. Only after that are intervals worth anything.",
        ),
        choices=(
            "A larger network",
            "A 95 % interval of the 93 %",
            "The AUC",
            "The same with all copies, and all scans of a patient, on one side of the split",
        ),
    )
