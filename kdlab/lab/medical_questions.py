"""Chapter 4's questions."""

from .questions import Question, Questions, chosen, typed

__all__ = ["medical_questions"]


def medical_questions():
    """Return chapter 4's four questions."""
    ill, well, found, called = 40, 160, 34, 40
    specificity = 1 - called / well
    return Questions(
        [
            Question(
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
                            "That is the share of the healthy among those called healthy.",
                        ),
                    ),
                    hint="Look at the healthy people alone: how many of them are called healthy?",
                ),
            ),
            Question(
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
            ),
            Question(
                "A student sees a nucleus mirrored. Which teacher logits should it learn from?",
                chosen(
                    2,
                    "The teacher is not exactly alike for both: the student would be told about an image it does not see.",
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
            ),
            Question(
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
            ),
        ]
    )
