"""Chapter 3's questions."""

from functools import partial

from .questions import Question, asked, by_training, chosen, typed


@asked
def predict_features(trainer):
    """Return the two questions to ask before chapter 3's sliders, answered by students that are trained for it.

    ``trainer(scenario)`` returns the ``LiveTrainer`` of a scenario's name, with the teacher's "hidden_2".
    """

    def pair(scenario, feature_alpha, method):
        live, tied = trainer(scenario), {"method": method, "pairs": [("hidden_2", "hidden_2")]}
        return live.train(4.0, 0.5, feature_alpha=feature_alpha, **tied), live.train(4.0, 0.5)

    yield by_training(
        "Fifty labelled digits, and a hint between the second hidden layers with α_f = 0.5, beside labels and answers. "
        "Predict: how accurate are ten students, compared with labels and answers only?",
        "labels and answers only",
        partial(pair, "few", 0.5, "hint"),
    )
    yield by_training(
        "All 898 labels. The second hidden layers are matched by similarity with α_f = 0.999, which leaves labels and "
        "answers a weight of 0.001. Predict: how accurate are ten students, compared with labels and answers only?",
        "labels and answers only",
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
                (feature_alpha * (1 - alpha), "α_f weights the features; L_task, where the labels are, has 1 − α_f."),
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
            "It has to be trained: fixed at random, it reaches only a random part, of 16 dimensions, of the teacher's 256.",
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
        "detectable difference from the student that learned from labels and answers only. What can you conclude?",
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
