"""Checks of the exercises on chapter 2: the loss, intervals of paired differences, and choosing without fooling oneself."""

import numpy as np

from .judging import Exercise, exercise


def terms(z_s, z_t, y, T, soft_T=lambda T: T, hard_T=lambda T: 1.0):
    """Return the two cross-entropies of each sample, both (N,): of the labels, 0 without one (−1), and of the teacher."""
    from scipy.special import log_softmax, softmax

    hard = -log_softmax(z_s / hard_T(T), axis=1)[np.arange(len(y)), y]
    soft = -(softmax(z_t / soft_T(T), axis=1) * log_softmax(z_s / soft_T(T), axis=1)).sum(axis=1)
    return np.where(y < 0, 0.0, hard), soft


def mixed(hard=lambda T, a: 1 - a, soft=lambda T, a: a * T**2, reduce=np.mean, **how):
    """Return a loss whose terms have these weights, functions of (T, alpha)."""

    def loss(z_s, z_t, y, T, alpha):
        one, other = terms(z_s, z_t, y, T, **how)
        return reduce(hard(T, alpha) * one + soft(T, alpha) * other)

    return loss


def swapped(z_s, z_t, y, T, alpha):
    """Return the loss with teacher and student swapped in the soft term."""
    hard, soft = terms(z_s, z_t, y, T)[0], terms(z_t, z_s, y, T)[1]
    return np.mean((1 - alpha) * hard + alpha * T**2 * soft)


@exercise
def distillation_loss(random):
    """Check ``distillation_loss(z_s, z_t, y, T, alpha)``, a number, against float64 log-softmax; a label −1 is none."""
    from scipy.special import softmax

    z_s, z_t, y = *random.normal(0, 2, (2, 6, 4)), random.integers(0, 4, 6)
    some, steep = np.where(np.arange(6) < 2, -1, y), 2000 * np.sign(z_s) + z_s

    right = mixed()

    def entropy_less(z_s, z_t, y, T, alpha):
        q = softmax(z_t / T, axis=1)
        return right(z_s, z_t, y, T, alpha) + alpha * T**2 * np.mean((q * np.log(q)).sum(axis=1))

    def twice(z_s, z_t, y, T, alpha):
        return right(z_s, softmax(z_t, axis=1), y, T, alpha)

    def only_labelled(z_s, z_t, y, T, alpha):
        return right(z_s[y >= 0], z_t[y >= 0], y[y >= 0], T, alpha)

    def hard_over_labelled(z_s, z_t, y, T, alpha):
        hard, soft = terms(z_s, z_t, y, T)
        return (1 - alpha) * hard[y >= 0].mean() + alpha * T**2 * soft.mean()

    def unstable(z_s, z_t, y, T, alpha):
        p, q_s, q_t = softmax(z_s, axis=1), softmax(z_s / T, axis=1), softmax(z_t / T, axis=1)
        hard = np.where(y < 0, 0.0, -np.log(p)[np.arange(len(y)), y])
        return np.mean((1 - alpha) * hard + alpha * T**2 * -(q_t * np.log(q_s)).sum(axis=1))

    return Exercise(
        cases=[(z_s, z_t, y, 3.0, 0.7), (z_s, z_t, some, 2.0, 0.4), (steep, z_t, y, 2.0, 0.5)],
        reference=right,
        mistakes={
            "T² is missing in front of the teacher's term: at a large T the labels would decide alone.": (
                mixed(soft=lambda T, a: a)
            ),
            "The teacher's term is multiplied by T where it must be T².": mixed(soft=lambda T, a: a * T),
            "α is the other way round: it weights the teacher's term, and 1 − α the labels'.": (
                mixed(lambda T, a: a, lambda T, a: (1 - a) * T**2)
            ),
            "T² is on the wrong term: it belongs to the teacher's, which softening makes small.": (
                mixed(lambda T, a: (1 - a) * T**2, lambda T, a: a)
            ),
            "T² is on both terms: the labels' term is not softened, so it needs no factor.": (
                mixed(lambda T, a: (1 - a) * T**2)
            ),
            "The labels' term has no weight: it counts in full at every α.": mixed(lambda T, a: 1.0),
            "The teacher's term has no weight: it counts in full at every α.": mixed(soft=lambda T, a: T**2),
            "The terms are added without α.": mixed(lambda T, a: 1.0, lambda T, a: T**2),
            "The labels' term is softened too: it takes the student at T = 1, as it will be used.": (
                mixed(hard_T=lambda T: T)
            ),
            "The teacher's term is not softened: both of its answers are taken at T = 1.": mixed(soft_T=lambda T: 1.0),
            "The logits were multiplied by T instead of divided.": mixed(soft_T=lambda T: 1 / T),
            "Teacher and student are swapped in the soft term: the student's logarithm is weighted by the teacher's "
            "probabilities, not the other way round.": swapped,
            "The teacher's probabilities were taken for logits: they are softened a second time.": twice,
            "That is the KL divergence. It has the same gradient, but the loss here is the cross-entropy, which is larger by the "
            "teacher's entropy.": entropy_less,
            "That is the mean over the classes too: the cross-entropy sums over the classes.": (
                mixed(soft=lambda T, a: a * T**2 / z_s.shape[1])
            ),
            "That is the sum over the samples: give their mean.": mixed(reduce=np.sum),
            "That is a loss for each sample: give their mean, one number.": mixed(reduce=np.asarray),
            "The sign is wrong: a cross-entropy is never negative.": mixed(reduce=lambda loss: -np.mean(loss)),
            "It is right where every sample has a label. A label of −1 means none, but as an index it takes the last class.": (
                lambda z_s, z_t, y, T, alpha: right(z_s, z_t, y % z_s.shape[1], T, alpha)
            ),
            "Samples without a label are left out altogether: the teacher answers for them, too.": only_labelled,
            "The labels' term is averaged over the samples that have one: here both terms are means over all samples, so "
            "that a sample without a label adds 0.": hard_over_labelled,
            "It is right for small logits, but not numerically stable: a probability that rounds to 0 has the logarithm −∞. "
            "The logarithm of softmax can be had without softmax.": unstable,
        },
        right="Both terms, their weights and T² are in place; samples without a label learn from the teacher alone.",
        hint="Compute the two terms of one sample by hand, and compare.",
    )


@exercise
def paired_interval(random):
    """Check ``paired_interval(first, second)``: mean, low and high of first − second, 95 %, against scipy's paired t."""
    from scipy import stats

    common = random.normal(0.8, 0.05, 12)
    first, second = common + random.normal(0.02, 0.01, 12), common + random.normal(0, 0.01, 12)

    def around(reach=lambda n: stats.t.ppf(0.975, n - 1), deviations=1, size=np.sqrt):
        """Return the interval of mean ± reach(n) standard deviations / size(n)."""

        def interval(first, second):
            d, n = first - second, len(first)
            half = reach(n) * d.std(ddof=deviations) / size(n)
            return d.mean(), d.mean() - half, d.mean() + half

        return interval

    def tested(test, **how):
        return lambda first, second: (
            np.mean(first - second),
            *test(first, second, **how).confidence_interval(0.95),
        )

    return Exercise(
        cases=[(first, second), (first[:5], second[:5])],
        reference=tested(stats.ttest_rel),
        mistakes={
            "It is second − first: a gain would look like a loss.": lambda first, second: around()(second, first),
            "That is the interval of two independent groups: what the two of a pair have in common makes it too wide. Take the "
            "differences pair by pair first.": (tested(stats.ttest_ind, equal_var=False), tested(stats.ttest_ind)),
            "That takes 1.96, for a spread that is known: with few pairs it must be estimated, so Student's t is wider.": (
                around(lambda n: stats.norm.ppf(0.975)),
                around(lambda n: 1.96),
            ),
            "The standard deviation divides by n: estimated from a sample it divides by n − 1.": around(deviations=0),
            "That is the spread of single pairs: the mean of n pairs varies √n times less.": around(size=lambda n: 1),
            "It was divided by n where it must be √n.": around(size=lambda n: n),
            "That interval covers 90 %: 2.5 % must be left out on either side, not 5 %.": (
                around(lambda n: stats.t.ppf(0.95, n - 1))
            ),
            "The degrees of freedom are those of n + 1 pairs: the mean has used up one of n.": (
                around(lambda n: stats.t.ppf(0.975, n))
            ),
            "The lower and the upper end are swapped.": around(lambda n: -stats.t.ppf(0.975, n - 1)),
        },
        right="It is Student's t interval of the paired differences, and becomes wider with fewer pairs.",
        hint="Mean and standard error of the differences, then Student's t with n − 1 degrees of freedom.",
        returns=("mean", "low", "high"),
    )


@exercise
def translated_alpha(random):
    """Check ``our_alpha(w, T)``: the α of w · CE + (1 − w) · CE_soft without T², against ``kdlab.conventions``."""
    from ..conventions import to_ours

    def ours(w, T):
        return to_ours("keras.io 2020", T, alpha=w)[0]

    return Exercise(
        cases=[(w, T) for w, T in zip(random.uniform(0.1, 0.4, 3), random.uniform(2.0, 9.0, 3), strict=True)],
        reference=ours,
        mistakes={
            "That is the teacher's weight in the source's own loss: there T² is missing, so its gradient counts for less.": (
                lambda w, T: 1 - w
            ),
            "That is the labels' weight in the source's own loss.": lambda w, T: w,
            "T stands where T² must: the soft gradient carries 1/T here and T in our loss.": (
                lambda w, T: (1 - w) / (1 - w + w * T)
            ),
            "T² is on the wrong side: without it the teacher counts for less than its weight says, not for more.": (
                lambda w, T: (1 - w) * T**2 / ((1 - w) * T**2 + w)
            ),
            "The weights that you found do not sum to 1: a common factor only changes the length of the gradient.": (
                lambda w, T: (1 - w) / T**2
            ),
            "That is how much the labels count, 1 − α.": lambda w, T: 1 - ours(w, T),
            "That is the ratio of the teacher's weight to the labels': give the teacher's share of both.": (
                lambda w, T: (1 - w) / w / T**2
            ),
        },
        right="At this α our gradient has the direction of the source's.",
        hint="Write both gradients with respect to the student's logits, and compare the factors in front of the same vectors.",
    )


@exercise
def best_position(random):
    """Check ``best_position(validation, test)``: row, column and an honest estimate, of accuracies (rows, columns, seeds)."""
    validation, test = random.normal(0.8, 0.001, (2, 5, 4, 6))
    row = int(random.integers(5))
    chosen = row, (row + 1 + int(random.integers(2))) % 4 if row < 4 else int(random.integers(4))
    tested, lucky, both, worst = ((chosen[0] + k, chosen[1]) for k in (-1, -2, -3, -4))  # from the end where below 0
    validation[chosen] += 0.04
    test[tested] += 0.05
    validation[both] += 0.03
    test[both] += 0.04
    validation[lucky][2] += 0.12
    validation[worst] -= 0.02
    # No single seed, and neither the median nor the least of them, is largest where the mean is.
    validation[chosen] += np.array([0.05, 0.05, -0.025, -0.025, -0.025, -0.025])
    validation[np.arange(5), (chosen[1] + 1) % 4, [0, 1, 3, 4, 5]] += 0.1
    validation[row, (chosen[1] + 2) % 4] += 0.035

    def best(of, reduce=np.mean):
        return tuple(int(k) for k in np.unravel_index(reduce(of, axis=2).argmax(), of.shape[:2]))

    def at(place, values, reduce=np.mean):
        return *place, reduce(values[place])

    return Exercise(
        cases=[(validation, test)],
        reference=lambda validation, test: at(best(validation), test),
        mistakes={
            "The position was chosen on the test set, so its accuracy there is no longer an honest estimate: the best of "
            "many is partly luck.": lambda v, t: at(best(t), t),
            "The accuracy returned is the one on validation data, which was used to choose: report that on test data.": (
                lambda v, t: at(best(v), v)
            ),
            "The position is that of the best single student: one lucky seed decides. Take the mean over seeds first.": (
                lambda v, t: at(best(v, np.max), t)
            ),
            "The position is chosen by one seed alone: take the mean over seeds first.": tuple(
                (lambda v, t, k=k: at(best(v[:, :, k : k + 1]), t)) for k in range(6)
            ),
            "The position is that of the largest median, or of the best worst case: the sheet asks for the mean over seeds.": (
                lambda v, t: at(best(v, np.median), t),
                lambda v, t: at(best(v, np.min), t),
            ),
            "The accuracy is that of the best student at that position: report the mean over seeds.": (
                lambda v, t: at(best(v), t, np.max)
            ),
            "Row and column are swapped.": lambda v, t: (*best(v)[::-1], t[best(v)].mean()),
            "The position is chosen on the mean of validation and test: the test set has taken part in the choice.": (
                lambda v, t: at(best((v + t) / 2), t)
            ),
            "The position found is the worst on validation data.": lambda v, t: at(best(-v), t),
        },
        right="Chosen on validation data by the mean over seeds, measured on test data.",
        hint="Take the mean over the seeds (the last axis), find the largest on validation, and look there on test.",
        returns=("row", "column", "estimate"),
        explain=lambda found, validation, test: (
            "Row and column must be those of the best mean validation accuracy."
            if [int(one) for one in found[:2] if not one.ndim] != list(best(validation))
            else ""
        ),
    )
