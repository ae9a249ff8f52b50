"""Checks of the exercises on chapter 1: temperature softening."""

import numpy as np

from .judging import Exercise, exercise


def _softmax(z, axis=-1):
    from scipy.special import softmax

    return softmax(z, axis=axis)


def numerical_gradient(function, at, step=1e-5):
    """Return the gradient of ``function(at)``, a number, by central differences: shape as ``at``, an array of floats."""
    gradient = np.empty(at.shape)
    for place in np.ndindex(at.shape):
        moved = np.zeros(at.shape)
        moved[place] = step
        gradient[place] = (function(at + moved) - function(at - moved)) / (2 * step)
    return gradient


@exercise
def softmax(random):
    """Check ``softened(z, T)``: softmax(z / T) along the last axis, of logits (..., C), against scipy's."""
    z = random.normal(0, 3, (5, 4))
    far = z + np.array([0, -5000, 0, 0, 0])[:, None]
    # Within a row, so that nothing but its maximum will do: that is not its first, its last or near its mean.
    apart = z + np.where(np.arange(4) == 1 + np.arange(5)[:, None] % 2, 2000, -2000)

    def unstable(z, T):
        return np.exp(z / T) / np.exp(z / T).sum(axis=-1, keepdims=True)

    def one_maximum(z, T):
        powers = np.exp((z - z.max()) / T)
        return powers / powers.sum(axis=-1, keepdims=True)

    def less(what):
        return lambda z, T: unstable(z - what(z), T)

    return Exercise(
        cases=[
            (z, 3.0),
            (random.normal(0, 3, 6), 0.5),
            (random.normal(0, 3, (2, 3, 4)), 2.0),
            (z + 2000, 1.0),
            (far, 1.0),
            (apart, 1.0),
        ],
        reference=lambda z, T: _softmax(z / T),
        mistakes={
            "The logits were multiplied by T instead of divided: with a larger T the answer becomes harder, not softer.": (
                lambda z, T: _softmax(z * T)
            ),
            "That is T = 1: T is not used.": lambda z, T: _softmax(z),
            "The probabilities were divided by T. It is the logits that T divides, before softmax.": (
                lambda z, T: _softmax(z) / T
            ),
            "Softmax was taken twice: T divides logits, not probabilities.": lambda z, T: _softmax(_softmax(z) / T),
            "Softmax was taken twice: its result was softened once more.": lambda z, T: _softmax(_softmax(z / T)),
            "The sum runs along the wrong axis: the classes are on the last one, so each row must sum to 1.": (
                lambda z, T: _softmax(z / T, axis=0)
            ),
            "The sum runs over all samples together: each row must sum to 1 by itself.": (
                lambda z, T: _softmax(z / T, axis=None)
            ),
            "The exponentials are not divided by their sum.": lambda z, T: np.exp(z / T),
            "That is the logarithm of the softened answer.": lambda z, T: np.log(_softmax(z / T)),
            "Softmax takes exponentials: shares of the logits themselves are not probabilities.": (
                lambda z, T: z / z.sum(axis=-1, keepdims=True)
            ),
            "The sign is wrong: the largest logit must get the largest probability.": lambda z, T: _softmax(-z / T),
            "It is not numerically stable yet: the number that you subtract is the same for all rows, and a row far below "
            "it becomes 0 / 0.": one_maximum,
            "It is not numerically stable yet: what is far above the number that you subtract still overflows. Subtract each "
            "row's largest logit.": (
                less(lambda z: z.mean(axis=-1, keepdims=True)),
                less(lambda z: np.median(z, axis=-1, keepdims=True)),
                less(lambda z: z.min(axis=-1, keepdims=True)),
                less(lambda z: z[..., :1]),
                less(lambda z: z[..., -1:]),
            ),
            "It is right for small logits, but not numerically stable: exp of a large number overflows. Adding the same "
            "number to all logits of a row changes nothing.": unstable,
        },
        right="It divides by T before the exponential, row by row, and stays finite for large logits.",
        hint="Divide the logits by T first; then each row's exponentials by their sum.",
        tolerance=1e-3,  # single precision loses digits of large logits
    )


@exercise
def entropy(random):
    """Check ``bits(p)``: the entropy of probabilities (..., C) in bits, (...), against scipy's."""
    from scipy import stats

    p = random.dirichlet(np.ones(4), 5)
    certain = np.vstack([p[:2], np.eye(4)[:2]])

    def bits(p, axis=-1, base=2):
        return -(p * np.log(p)).sum(axis=axis) / np.log(base)

    return Exercise(
        cases=[(p,), (p[0],), (certain,)],
        reference=lambda p: stats.entropy(p, base=2, axis=-1),
        mistakes={
            "That is in nats: bits take the logarithm to base 2.": lambda p: bits(p, base=np.e),
            "That is with the logarithm to base 10: bits take base 2.": lambda p: bits(p, base=10),
            "The sign is wrong: an entropy is never negative.": lambda p: -bits(p),
            "That is the mean over the classes: entropy is the sum.": lambda p: bits(p) / p.shape[-1],
            "The sum runs along the wrong axis: the classes are on the last one.": lambda p: bits(p, axis=0),
            "The sum runs over all samples together: each answer has an entropy of its own.": lambda p: bits(
                p, axis=None
            ),
            "The probabilities that weight the logarithms are missing.": lambda p: -np.log2(p).sum(axis=-1),
            "It is right where all probabilities are above 0. A class of probability 0 adds nothing, but log 0 is −∞, and "
            "0 times that is not a number.": bits,
        },
        right="Bits, one entropy for each answer, and a class of probability 0 adds nothing.",
        hint="Entropy is the mean of −log₂ p, each class weighted by its probability.",
    )


@exercise
def soft_gradient(random):
    """Check ``soft_gradient(z_s, z_t, T)``: ∂/∂z_s of T² · CE(q_t, q_s), (N, C), against finite differences."""
    from scipy.special import log_softmax

    cases = [(*random.normal(0, 2, (2, 5, 4)), T) for T in (3.0, 0.7)]

    def reference(z_s, z_t, T):
        q_t = _softmax(z_t / T)
        return numerical_gradient(lambda z: -(T**2) * (q_t * log_softmax(z / T, axis=-1)).sum(), z_s)

    def difference(z_s, z_t, T):
        return _softmax(z_s / T) - _softmax(z_t / T)

    return Exercise(
        cases=cases,
        reference=reference,
        mistakes={
            "T² is missing: that is the gradient of the soft cross-entropy alone, which fades as T grows.": (
                lambda z_s, z_t, T: difference(z_s, z_t, T) / T
            ),
            "The chain rule's factor is missing: the loss depends on the logits through z / T.": (
                lambda z_s, z_t, T: difference(z_s, z_t, T) * T**2
            ),
            "T is in the softmax only: neither T² in front nor the inner derivative of z / T is there.": difference,
            "The factor T² was put in twice.": lambda z_s, z_t, T: difference(z_s, z_t, T) * T**3,
            "The sign is wrong, or teacher and student are swapped: a step against this gradient would lead the student away "
            "from its teacher.": lambda z_s, z_t, T: -T * difference(z_s, z_t, T),
            "Neither answer is softened: both are taken at T = 1.": lambda z_s, z_t, T: T * difference(z_s, z_t, 1.0),
            "The teacher's answer is taken at T = 1: both are softened with the same T.": (
                lambda z_s, z_t, T: T * (_softmax(z_s / T) - _softmax(z_t))
            ),
            "The student's answer is taken at T = 1: both are softened with the same T.": (
                lambda z_s, z_t, T: T * (_softmax(z_s) - _softmax(z_t / T))
            ),
            "The teacher's answer became a hard label: what it says about the other classes is lost.": (
                lambda z_s, z_t, T: T * (_softmax(z_s / T) - np.eye(z_t.shape[-1])[z_t.argmax(axis=-1)])
            ),
            "That is the mean over the samples: here each sample keeps its own gradient.": (
                lambda z_s, z_t, T: T * difference(z_s, z_t, T) / len(z_s)
            ),
            "That is the mean over the classes: the cross-entropy is the sum over them.": (
                lambda z_s, z_t, T: T * difference(z_s, z_t, T) / z_s.shape[-1]
            ),
            "That is the derivative with respect to the student's probabilities: the way through softmax to the logits is "
            "missing.": lambda z_s, z_t, T: -(T**2) * _softmax(z_t / T) / _softmax(z_s / T),
            "The softmax is taken along the wrong axis: the classes are on the last one.": (
                lambda z_s, z_t, T: T * (_softmax(z_s / T, axis=0) - _softmax(z_t / T, axis=0))
            ),
        },
        right="It is what finite differences of T² · CE(q_t, q_s) give, for large T and for small.",
        hint="Take the derivative of the cross-entropy first, then the inner one of z / T, then the factor in front.",
    )


@exercise
def matching_temperature(random):
    """Check ``temperature_for(z, bits)``: the T at which softmax(z / T), (C,), has that entropy, against a root finder's."""
    from scipy import optimize, special

    def entropy_at(z, log_T, base=2):
        return special.entr(_softmax(z / np.exp(log_T))).sum() / np.log(base)

    def solved(z, bits, base=2):
        return np.exp(optimize.brentq(lambda log_T: entropy_at(z, log_T, base) - bits, -12, 12, xtol=1e-9))

    def explain(found, z, bits):
        (T,) = found
        if T.ndim or not T > 0:
            return ""
        now = entropy_at(z, np.log(float(T)))
        slope = "Does the search move the right end of its range?" if abs(now - bits) > 0.05 else "Take more steps."
        return f"At the T returned, {float(T):.4g}, the answer leaves {now:.4f} bits open; it must leave {bits:.4f}. {slope}"

    return Exercise(
        cases=[(random.normal(0, 4, 10), bits) for bits in random.uniform(0.6, 2.0, 3)],
        reference=solved,
        mistakes={
            "That T gives the right number of nats: the question is in bits.": lambda z, bits: solved(z, bits, np.e),
            "That is 1 / T.": lambda z, bits: 1 / solved(z, bits),
            "That is log₂ T: search for the exponent if you like, but return the temperature.": (
                lambda z, bits: np.log2(solved(z, bits))
            ),
            "That is log T: search for the exponent if you like, but return the temperature.": (
                lambda z, bits: np.log(solved(z, bits))
            ),
        },
        right="The answer softened at this T leaves as many bits open as asked.",
        hint="Return one positive number.",
        tolerance=1e-3,
        explain=explain,
    )
