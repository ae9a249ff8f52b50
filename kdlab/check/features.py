"""Checks of the exercises on chapter 3: a hint and its projector, losses without one, and how similar two layers are."""

import numpy as np

from .judging import Exercise, exercise, telling
from .temperature import numerical_gradient


@exercise
def hint_step(random):
    """Check ``hint_step(f_s, f_t, P, b, rate)``: projector and bias after a step down the hint loss, by finite differences."""
    f_s, f_t = random.normal(0, 1, (6, 3)), random.normal(0, 1, (6, 4))
    P, b = random.normal(0, 1, (3, 4)), random.normal(0, 1, 4)

    def loss(f_s, f_t, P, b):
        return np.mean((f_s @ P + b - f_t) ** 2)

    def reference(f_s, f_t, P, b, rate):
        of_P = numerical_gradient(lambda at: loss(f_s, f_t, at, b), P)
        return P - rate * of_P, b - rate * numerical_gradient(lambda at: loss(f_s, f_t, P, at), b)

    def scaled(P_factor, b_factor=None):
        """Return a step whose gradients are these multiples of the right ones."""

        def step(f_s, f_t, P, b, rate):
            after = reference(f_s, f_t, P, b, rate)
            factors = P_factor(f_s, f_t), (b_factor or P_factor)(f_s, f_t)
            return tuple(old + k * (new - old) for old, new, k in zip((P, b), after, factors, strict=True))

        return step

    def in_turns(f_s, f_t, P, b, rate):
        moved = reference(f_s, f_t, P, b, rate)[0]
        return moved, reference(f_s, f_t, moved, b, rate)[1]

    return Exercise(
        cases=[(f_s, f_t, P, b, 0.3)],
        reference=reference,
        mistakes={
            "The step goes up the loss: it must go against the gradient.": scaled(lambda f_s, f_t: -1),
            "The factor 2 of the square's derivative is missing.": scaled(lambda f_s, f_t: 0.5),
            "That is the gradient of the sum over the teacher's units: the hint is their mean, so that a wide layer does not "
            "count for more.": scaled(lambda f_s, f_t: f_t.shape[1]),
            "That is the gradient of the sum over the samples: the loss is their mean.": scaled(
                lambda f_s, f_t: len(f_s)
            ),
            "That is the gradient of the sum over samples and units: the loss is the mean over both.": scaled(
                lambda f_s, f_t: f_t.size
            ),
            "That is FitNets' loss with ½ in front of the sum over units: here it is the mean over units.": scaled(
                lambda f_s, f_t: f_t.shape[1] / 2
            ),
            "Nothing has changed: the step is not taken.": scaled(lambda f_s, f_t: 0),
            "The projector has moved, the bias has not.": scaled(lambda f_s, f_t: 1, lambda f_s, f_t: 0),
            "The bias has moved, the projector has not.": scaled(lambda f_s, f_t: 0, lambda f_s, f_t: 1),
            "The bias's gradient is a sum over the samples where the projector's is a mean.": scaled(
                lambda f_s, f_t: 1, lambda f_s, f_t: len(f_s)
            ),
            "The bias's gradient was taken with the projector already moved: both belong to the same loss.": in_turns,
            "The learning rate is not used.": lambda f_s, f_t, P, b, rate: reference(f_s, f_t, P, b, 1.0),
        },
        right="Projector and bias take the step that finite differences of the hint loss give.",
        hint="Write the loss with its mean over samples and units, and derive it for one entry of P, and of b.",
        returns=("P", "b"),
    )


@exercise
def distance_loss(random):
    """Check ``distance_loss(f_s, f_t)``, a number: Park et al.'s distance-wise loss, against scipy's distances."""
    from scipy.spatial.distance import pdist, squareform
    from scipy.special import huber

    f_s, f_t = random.normal(0, 1, (6, 3)), random.normal(0, 1, (6, 5))
    f_t[0] += 12  # far from the others, so that some differences exceed 1

    def held(scale=lambda d: d.mean(), cost=lambda gap: huber(1, gap), reduce=np.mean, distances=pdist):
        return lambda f_s, f_t: reduce(
            cost(distances(f_s) / scale(distances(f_s)) - distances(f_t) / scale(distances(f_t)))
        )

    def full(f):
        return squareform(pdist(f))

    def teachers_scale(f_s, f_t):
        return np.mean(huber(1, (pdist(f_s) - pdist(f_t)) / pdist(f_t).mean()))

    return Exercise(
        cases=[(f_s, f_t), (random.normal(0, 1, (4, 2)), random.normal(0, 1, (4, 7)))],
        reference=held(),
        mistakes={
            "The distances are not divided by their mean: a layer with larger numbers would seem to be arranged differently.": (
                held(scale=lambda d: 1.0)
            ),
            "Both are divided by the teacher's mean distance: each network is measured by its own.": teachers_scale,
            "The mean distance counts each sample's distance 0 to itself: take it over pairs of different samples.": (
                lambda f_s, f_t: np.mean(huber(1, pdist(f_s) / full(f_s).mean() - pdist(f_t) / full(f_t).mean()))
            ),
            "The mean of the losses counts each sample's pair with itself, which is 0: take it over pairs of different "
            "samples.": lambda f_s, f_t: np.mean(
                huber(1, full(f_s) / pdist(f_s).mean() - full(f_t) / pdist(f_t).mean())
            ),
            "Both means, of the distances and of the losses, count each sample's pair with itself: leave the diagonal out.": (
                held(distances=full)
            ),
            "The distances are squared: take the root.": held(distances=lambda f: pdist(f, "sqeuclidean")),
            "Those are sums of absolute differences: the distance is the Euclidean one.": (
                held(distances=lambda f: pdist(f, "cityblock"))
            ),
            "All differences are squared: Huber's loss grows like the absolute value beyond 1.": (
                held(cost=lambda gap: gap**2 / 2)
            ),
            "All differences are squared, and without ½: Huber's loss is half the square up to 1, and grows like the absolute "
            "value beyond.": held(cost=lambda gap: gap**2),
            "Those are absolute values: Huber's loss is half the square where a difference is small.": held(
                cost=np.abs
            ),
            "Huber's loss is twice as large as it should be: it begins with half the square.": (
                held(cost=lambda gap: 2 * huber(1, gap))
            ),
            "The two parts of Huber's loss do not meet at 1: the absolute value must be lowered by ½.": (
                held(cost=lambda gap: np.where(np.abs(gap) <= 1, gap**2 / 2, np.abs(gap)))
            ),
            "That is the sum over pairs: give their mean.": held(reduce=np.sum),
            "That is a value for each pair: give their mean, one number.": held(reduce=np.asarray),
        },
        right="Each network's distances are divided by their own mean, and compared pair by pair with Huber's loss.",
        hint="Distances of all pairs of different samples; divided by their mean; Huber's loss of the difference; the mean.",
    )


@exercise
def attention_loss(random):
    """Check ``attention_loss(maps_s, maps_t)``, (N,), of maps (N, H, W, channels): Zagoruyko & Komodakis, equation 2."""
    maps_s, maps_t = random.normal(0, 1, (3, 4, 5, 2)), random.normal(0, 1, (3, 4, 5, 6))

    def attended(maps, power=2, reduce=np.sum):
        return reduce(np.abs(maps) ** power, axis=-1).reshape(len(maps), -1)

    def unit(rows):
        return rows / np.sqrt(np.einsum("np,np->n", rows, rows))[:, None]

    def held(attend=attended, normal=unit, cost=lambda gap: (gap**2).sum(axis=1)):
        return lambda maps_s, maps_t: cost(normal(attend(maps_s)) - normal(attend(maps_t)))

    return Exercise(
        cases=[(maps_s, maps_t)],
        reference=held(),
        mistakes={
            "The maps are not normalised: a layer with larger numbers would seem to look elsewhere.": held(
                normal=lambda a: a
            ),
            "The maps are normalised over the whole batch: each sample's map must have length 1.": (
                held(normal=lambda a: a / np.linalg.norm(a))
            ),
            "The maps are normalised to sum 1: give each map length 1, the root of the sum of squares.": (
                held(normal=lambda a: a / a.sum(axis=1, keepdims=True))
            ),
            "The maps are divided by their largest value: give each map length 1, the root of the sum of squares.": (
                held(normal=lambda a: a / a.max(axis=1, keepdims=True))
            ),
            "The maps are divided by the square of their length: the root is missing.": (
                held(normal=lambda a: a / (a**2).sum(axis=1, keepdims=True))
            ),
            "The channels are added as absolute values: add up their squares.": held(attend=lambda m: attended(m, 1)),
            "The channels are added as they are, so that + and − cancel: add up their squares.": (
                held(attend=lambda m: m.sum(axis=-1).reshape(len(m), -1))
            ),
            "Only the strongest channel counts: add up the squares of all.": held(
                attend=lambda m: attended(m, 2, np.max)
            ),
            "That is the mean over the places: give the sum, from 0 to 2.": held(
                cost=lambda gap: (gap**2).mean(axis=1)
            ),
            "That is the distance of the two maps: give its square.": held(
                cost=lambda gap: np.linalg.norm(gap, axis=1)
            ),
            "That is the mean over the batch: give a loss for each sample.": (
                held(cost=lambda gap: (gap**2).sum(axis=1).mean())
            ),
            "That is the sum over the batch: give a loss for each sample.": held(cost=lambda gap: (gap**2).sum()),
        },
        right="Squares added over the channels, each map of length 1, whatever the number of channels.",
        hint="Add up the squares over the channels, make each sample's map a vector of length 1, and take the squared distance.",
    )


@exercise
def cka(random):
    """Check ``cka(K, L)``, a number, of Gram matrices (N, N), against CKA from features that have them."""

    def draw():
        X = random.normal(1, 1, (8, 3))
        Y = np.hstack([X[:, :2], random.normal(-1, 1, (8, 3))])
        return X @ X.T, Y @ Y.T

    def features_of(gram):
        values, vectors = np.linalg.eigh(gram)
        return vectors * np.sqrt(np.clip(values, 0, None))

    def of_features(K, L):  # Kornblith et al. 2019, section 3
        first, second = (f - f.mean(axis=0) for f in (features_of(K), features_of(L)))
        norms = [np.linalg.norm(a.T @ b) for a, b in ((first, second), (first, first), (second, second))]
        return norms[0] ** 2 / norms[1] / norms[2]

    def centred(gram):
        keep = np.eye(len(gram)) - 1 / len(gram)
        return keep @ gram @ keep

    def held(centre=centred, power=0.5):
        def value(K, L):
            K, L = centre(K), centre(L)
            return np.sum(K * L) / (np.sum(K * K) * np.sum(L * L)) ** power

        return value

    def one_centred(K, L):
        K = centred(K)
        return np.sum(K * L) / np.sqrt(np.sum(K * K) * np.sum(L * L))

    mistakes = {
        "The matrices are not centred: what all samples have in common makes any two layers look alike.": (
            held(lambda gram: gram)
        ),
        "Only K is centred: L needs it as well.": one_centred,
        "Only L is centred: K needs it as well.": lambda K, L: one_centred(L, K),
        "Only one side of each matrix is centred: its rows and its columns must both have mean 0.": (
            held(lambda gram: gram - gram.mean(axis=0))
        ),
        "The mean of all entries was subtracted: each row and each column must have mean 0.": (
            held(lambda gram: gram - gram.mean())
        ),
        "The means of rows and columns are subtracted, and the mean of all is gone twice: it must be added once.": (
            held(lambda gram: gram - gram.mean(axis=0) - gram.mean(axis=1, keepdims=True))
        ),
        "It is not normalised: a matrix with larger numbers would seem more similar.": held(power=0),
        "The root is missing in the denominator: CKA of a layer with itself must be 1.": held(power=1),
        "That is the square of it.": lambda K, L: held()(K, L) ** 2,
        "That is 1 − CKA, a distance: give the similarity.": lambda K, L: 1 - held()(K, L),
    }
    return Exercise(
        cases=[telling(draw, [of_features, *mistakes.values()])],
        reference=of_features,
        mistakes=mistakes,
        right="Both matrices are centred, and the value is that of the features themselves.",
        hint="Centre rows and columns of both; then it is the cosine of the two matrices, taken as long vectors.",
    )
