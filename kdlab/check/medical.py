"""Checks of the exercises on chapter 4: decisions, weighted losses on kept logits, intervals and splits."""

import numpy as np

from .judging import Exercise, exercise, telling
from .response import terms


@exercise
def rates(random):
    """Check ``rates(scores, ill, threshold)``: sensitivity and specificity, against scikit-learn's."""
    ill = np.arange(101) < 37

    def reference(scores, ill, threshold):
        from sklearn.metrics import confusion_matrix

        (others, alarms), (missed, found) = confusion_matrix(ill, scores >= threshold, labels=[False, True])
        return found / (missed + found), others / (others + alarms)

    def share(of, among):
        return np.sum(of & among) / max(np.sum(among), 1)

    # The same without scikit-learn, which takes a millisecond: inputs that tell all mistakes apart take many tries.
    def fast(s, ill, t):
        return share(s >= t, ill), share(s < t, ~ill)

    mistakes = {
        "The two are swapped: sensitivity comes first.": lambda s, ill, t: fast(s, ill, t)[::-1],
        "Those are the shares of right calls among those called positive, and among those called negative: give "
        "shares of the ill, and of the others.": (lambda s, ill, t: (share(ill, s >= t), share(~ill, s < t))),
        "The first is the share of the ill among those called positive (precision): give the share of the ill that "
        "are found.": lambda s, ill, t: (share(ill, s >= t), fast(s, ill, t)[1]),
        "The second is the rate of false alarms: specificity is the share of the others that are called negative.": (
            lambda s, ill, t: (fast(s, ill, t)[0], share(s >= t, ~ill))
        ),
        "The first is the share of the ill that are missed.": (
            lambda s, ill, t: (share(s < t, ill), fast(s, ill, t)[1])
        ),
        "Both are shares of all samples: sensitivity is one of the ill alone, specificity one of the others.": (
            lambda s, ill, t: (np.mean(ill & (s >= t)), np.mean(~ill & (s < t)))
        ),
        "Those with a score below the threshold are called positive: it must be those at the threshold or above.": (
            lambda s, ill, t: (share(s < t, ill), share(s >= t, ~ill))
        ),
        "Those are counts: divide by the number of the ill, and of the others.": (
            lambda s, ill, t: (np.sum(ill & (s >= t)), np.sum(~ill & (s < t)))
        ),
        "The threshold is not used: it is taken to be 0.5.": lambda s, ill, t: fast(s, ill, 0.5),
    }
    case = telling(lambda: (random.random(101) ** np.where(ill, 0.5, 1), ill, 0.6), [fast, *mistakes.values()])
    on_it = case[0].copy()
    on_it[[0, 50]] = 0.6
    return Exercise(
        cases=[case, (on_it, ill, 0.6)],
        reference=reference,
        mistakes=mistakes
        | {
            "A score that is exactly the threshold is called positive here: at least, not above.": (
                lambda s, ill, t: (share(s > t, ill), share(s <= t, ~ill))
            )
        },
        right="Shares of the ill, and of the others; a score on the threshold is called positive.",
        hint="Who is called positive? Then one mean among the ill, and one among the others.",
        returns=("sensitivity", "specificity"),
    )


@exercise
def predictive_values(random):
    """Check ``predictive_values(sensitivity, specificity, prevalence)``, two shares, against counts in a population."""
    cases = [tuple(random.uniform((0.75, 0.85, 0.01), (0.84, 0.95, 0.2))) for _ in range(3)]

    def counted(sensitivity, specificity, prevalence, people=1e6):
        ill, well = people * prevalence, people * (1 - prevalence)
        found, alarms = ill * sensitivity, well * (1 - specificity)
        return found / (found + alarms), (well - alarms) / (well - alarms + ill - found)

    return Exercise(
        cases=cases,
        reference=counted,
        mistakes={
            "Those are sensitivity and specificity themselves: give the share of those *called* ill that are ill.": (
                lambda se, sp, p: (se, sp)
            ),
            "The prevalence is not used: that holds where half of all are ill.": lambda se, sp, p: counted(se, sp, 0.5),
            "The two are swapped: the positive predictive value comes first.": lambda *case: counted(*case)[::-1],
            "The prevalence is the other way round: it is the share of the ill.": (
                lambda se, sp, p: counted(se, sp, 1 - p)
            ),
            "The first is the share of false alarms among those called ill: give that of the ill.": (
                lambda se, sp, p: (1 - counted(se, sp, p)[0], counted(se, sp, p)[1])
            ),
            "The second is the share of the ill among those called well: give that of the well.": (
                lambda se, sp, p: (counted(se, sp, p)[0], 1 - counted(se, sp, p)[1])
            ),
            "Those are shares of all people: divide by those called ill, and by those called well.": (
                lambda se, sp, p: (se * p, sp * (1 - p))
            ),
            "Sensitivity and specificity change places: false alarms come from the well, 1 − specificity of them.": (
                lambda se, sp, p: counted(sp, se, p)
            ),
        },
        right="With a rare illness most of those called ill may be well, even where sensitivity and specificity are high.",
        hint="Imagine 1,000 people: how many are ill, how many of them are found, and how many of the others are called ill?",
        returns=("positive predictive value", "negative predictive value"),
    )


@exercise
def weighted_loss(random):
    """Check ``weighted_loss(z_s, kept, view, rows, y, weights, T, alpha)``, a number, against the terms in float64.

    ``kept`` (views, N, C) are the teacher's logits, ``rows`` (B,) the samples of the batch, seen in ``view``.
    """
    z_s, kept, y = random.normal(0, 2, (5, 3)), random.normal(0, 2, (5, 9, 3)), np.arange(9) % 3
    (rows,) = telling(lambda: (random.permutation(9)[:5],), [lambda rows: y[rows], lambda rows: y[: len(rows)]])
    weights, view = random.uniform(0.3, 3, 3), int(random.integers(1, 5))
    case = z_s, kept, view, rows, y, weights, 3.0, 0.6

    def weighed(
        hard=lambda T, a: 1 - a,
        soft=lambda T, a: a * T**2,
        seen=lambda view, kept: view,
        asked=lambda rows: rows,
        labelled=lambda rows: rows,
        total=lambda losses, w: (w * losses).sum() / w.sum(),
    ):
        def loss(z_s, kept, view, rows, y, weights, T, alpha):
            labels = y[labelled(rows)]
            one, two = terms(z_s, kept[seen(view, kept)][asked(rows)], labels, T)
            return total(hard(T, alpha) * one + soft(T, alpha) * two, weights[labels])

        return loss

    def labels_only(z_s, kept, view, rows, y, weights, T, alpha):
        one, two = terms(z_s, kept[view, rows], y[rows], T)
        w = weights[y[rows]]
        return (1 - alpha) * (w * one).sum() / w.sum() + alpha * T**2 * two.mean()

    return Exercise(
        cases=[case],
        reference=weighed(),
        mistakes={
            "The teacher's logits are those of view 0, whatever the student sees: its answer must be to the very same view.": (
                weighed(seen=lambda view, kept: 0)
            ),
            "The teacher's logits are those of another view: its answer must be to the very view that the student sees.": (
                tuple(weighed(seen=lambda view, kept, k=k: (view + k) % len(kept)) for k in range(1, 5))
            ),
            "The teacher's logits are the mean over the views: its answer must be to the very view that the student sees.": (
                lambda z_s, kept, view, *rest: weighed()(z_s, kept.mean(axis=0)[None], 0, *rest)
            ),
            "The teacher's logits are those of the first samples, not of the batch: look them up by rows.": (
                weighed(asked=lambda rows: np.arange(len(rows)))
            ),
            "The labels are those of the first samples, not of the batch: look them up by rows.": (
                weighed(labelled=lambda rows: np.arange(len(rows)))
            ),
            "The class weights are not used.": weighed(total=lambda losses, w: losses.mean()),
            "The class weights are on the labels' term only: a rare class should count for more in both.": labels_only,
            "The weighted losses are divided by their number: divide by the sum of the weights, so that the weights only say "
            "what counts for more.": weighed(total=lambda losses, w: (w * losses).mean()),
            "That is the weighted sum: give the weighted mean.": weighed(total=lambda losses, w: (w * losses).sum()),
            "The losses were divided by the weights of their classes: a rare class must count for more, not for less.": (
                weighed(total=lambda losses, w: (losses / w).sum() / (1 / w).sum())
            ),
            "T² is missing in front of the teacher's term.": weighed(soft=lambda T, a: a),
            "α is the other way round: it weights the teacher's term, and 1 − α the labels'.": (
                weighed(lambda T, a: a, lambda T, a: (1 - a) * T**2)
            ),
        },
        right="The teacher's kept logits are those of the view and of the samples of the batch, and the mean is weighted.",
        hint="Which logits did the teacher give to these samples in this view? Then a loss for each sample, and the mean.",
    )


@exercise
def block_interval(random):
    """Check ``block_interval(right, block, drawn)``: the 95 % interval of an accuracy, by bootstrap over blocks.

    ``block`` (N,) is the block of each sample, ``drawn`` (draws, blocks) which blocks each draw takes.
    """
    sizes = random.permutation([2, 3, 5, 8, 13, 21])
    block = random.permutation(np.repeat(np.arange(6), sizes))
    right = random.random(len(block)) < np.linspace(0.2, 0.95, 6)[block]
    drawn = random.integers(0, 6, (300, 6))

    def one_by_one(right, block, drawn):
        return np.array([np.mean(np.concatenate([right[block == b] for b in draw])) for draw in drawn])

    # The same from how often each draw takes each block, for the mistakes: one by one takes milliseconds for each of them.
    def values(right, block, drawn, times=lambda k: k):
        taken = times((drawn[:, :, None] == np.arange(block.max() + 1)).sum(axis=1))
        return taken @ np.bincount(block, right) / (taken @ np.bincount(block))

    def middle(share, of=values):
        return lambda right, block, drawn: tuple(
            np.quantile(of(right, block, drawn), ((1 - share) / 2, (1 + share) / 2))
        )

    def of_means(right, block, drawn):
        return np.array([right[block == b].mean() for b in range(block.max() + 1)])[drawn].mean(axis=1)

    def once_each(right, block, drawn):
        return values(right, block, drawn, times=lambda k: np.minimum(k, 1))

    def normal(right, block, drawn):
        found = values(right, block, drawn)
        return found.mean() - 1.96 * found.std(), found.mean() + 1.96 * found.std()

    def around(right, block, drawn):
        found = values(right, block, drawn)
        return right.mean() - 1.96 * found.std(), right.mean() + 1.96 * found.std()

    def error(right, block, drawn):
        half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(right))
        return right.mean() - half, right.mean() + half

    return Exercise(
        cases=[(right, block, drawn)],
        reference=middle(0.95, one_by_one),
        mistakes={
            "Every block counts the same, however small: the accuracy of a draw is the share of its samples that are right.": (
                middle(0.95, of_means)
            ),
            "A block that is drawn twice counts once: it must count as often as it was drawn.": middle(0.95, once_each),
            "That interval covers 90 %: 2.5 % must be left out on either side, not 5 %.": middle(0.90),
            "Those are the quartiles: they hold the middle half of the draws.": middle(0.5),
            "Those are the least and the largest of all draws: keep the middle 95 %.": middle(1.0),
            "That is mean ± 1.96 standard deviations of the draws: keep the middle 95 % of them.": normal,
            "That is the accuracy ± 1.96 standard deviations of the draws: keep the middle 95 % of them.": around,
            "That treats the samples as independent: whole blocks were drawn for a reason.": error,
            "The numbers drawn were taken for samples: they are the numbers of blocks.": (
                middle(0.95, lambda right, block, drawn: right[drawn].mean(axis=1))
            ),
            "The lower and the upper end are swapped.": lambda *case: middle(0.95)(*case)[::-1],
        },
        right="Whole blocks are drawn, each as often as it comes, and the middle 95 % are kept.",
        hint="For each draw: all samples of its blocks together, and the share of them that is right; then two quantiles.",
        returns=("low", "high"),
    )


@exercise
def patient_split(random):
    """Check ``patient_split(patient, order, count)``, booleans (N,): who is tested, whole patients at a time.

    Patients are taken in their ``order`` until there are at least ``count`` samples.
    """

    def draw():
        numbers, sizes = random.permutation(90)[:7] + 10, random.permutation([1, 2, 3, 4, 5, 6, 7])
        order, enough = random.permutation(numbers), dict(zip(numbers, sizes, strict=True))
        few, more = (sum(enough[one] for one in order[:k]) for k in (2, 3))
        return random.permutation(np.repeat(numbers, sizes)), order, int(random.integers(few + 1, more + 1))

    def first(patient, order, count, more=0):
        taken, k = 0, 0
        while taken < count:
            taken, k = taken + np.sum(patient == order[k]), k + 1
        return np.isin(patient, order[: k + more])

    def at_random(patient, order, count):
        return np.arange(len(patient)) < count

    mistakes = {
        "Single samples were taken: a patient with samples on both sides leaks from training into the test.": at_random,
        "Those are the samples to train on: True must mark those that are tested.": lambda *case: ~first(*case),
        "It stops a patient too early: there must be at least so many test samples.": (
            lambda *case: first(*case, more=-1)
        ),
        "It takes a patient too many: stop as soon as there are enough test samples.": (
            lambda *case: first(*case, more=1)
        ),
        "That many patients were taken, but what is counted is samples.": (
            lambda patient, order, count: np.isin(patient, order[:count])
        ),
        "The order is not used: the patients were taken by their numbers, so that the split would be the same every time.": (
            lambda patient, order, count: first(patient, np.sort(order), count)
        ),
        "The order is not used: the patients were taken as they come in the samples.": (
            lambda patient, order, count: first(patient, list(dict.fromkeys(patient.tolist())), count)
        ),
        "The order was gone through from its end.": lambda patient, order, count: first(patient, order[::-1], count),
    }
    patient, order, count = telling(draw, [first, *mistakes.values()])
    return Exercise(
        cases=[(patient, order, count), (patient, order, int(np.isin(patient, order[:2]).sum()))],
        reference=first,
        mistakes=mistakes,
        right="No patient is on both sides, and the test set is as large as it must be.",
        hint="Count each patient's samples, go through the patients in the order given, and stop when there are enough.",
        explain=lambda found, patient, order, count: (
            "Samples of the same patient are on both sides: that is the leak that the split must prevent."
            if found[0].shape == patient.shape and len(np.intersect1d(patient[found[0] > 0], patient[found[0] <= 0]))
            else ""
        ),
    )
