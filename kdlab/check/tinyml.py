"""Checks of the exercises on chapter 5: weights, activations and a whole layer in 8 bits, and the memory they need."""

from itertools import pairwise

import numpy as np

from .judging import Exercise, exercise


def _int8(values):
    """Return whole numbers as int8 without clipping, as a cast does: what is too large comes out at the other end."""
    return np.asarray(values).astype(np.int64).astype(np.int8)


@exercise
def quantised_weights(random):
    """Check ``quantised_weights(W)``: int8 (inputs, channels) and a scale per channel, (channels,), by plain rounding."""
    W = random.uniform(-0.9, 0.9, (6, 4))
    W[random.integers(0, 3, 4), np.arange(4)] = -1  # the largest of each channel, and a positive one
    W[random.integers(3, 6, 4), np.arange(4)] = random.uniform(0.3, 0.9, 4)
    W *= np.array([1.0, 0.1, 3.0, 0.5])
    dead = W * np.array([1, 0, 1, 1])

    def held(scale, round_=np.rint, cast=lambda q: np.clip(q, -127, 127).astype(np.int8)):
        def quantised(W):
            S = scale(W)
            return cast(round_(W / S)), S

        return quantised

    def largest(W):
        return np.abs(W).max(axis=0)

    def reference(W):
        S = np.array([max(abs(w) for w in channel) / 127 or 1.0 for channel in W.T])
        return np.array([[round(w / s) for w, s in zip(row, S, strict=True)] for row in W]).astype(np.int8), S

    return Exercise(
        cases=[(W,), (dead,)],
        reference=reference,
        mistakes={
            "All channels have one scale: a channel of small weights then has few levels left.": (
                held(lambda W: np.abs(W).max() / 127),
                held(lambda W: np.full(W.shape[1], np.abs(W).max() / 127)),
            ),
            "There is a scale for each input: give one for each output channel, a column of W.": (
                lambda W: tuple(part.T if part.ndim == 2 else part for part in held(lambda V: largest(V) / 127)(W.T))
            ),
            "The scale divides by 128: int8 ends at 127, so the largest magnitude must become ±127.": (
                held(lambda W: largest(W) / 128, cast=lambda q: np.clip(q, -128, 127).astype(np.int8)),
                held(lambda W: largest(W) / 128),
            ),
            "The scale divides by 255: that is the number of steps of the whole range; the largest weight is 127 steps away "
            "from zero.": held(lambda W: largest(W) / 255),
            "The scale is taken from the largest weight, not from the largest magnitude: large negative weights do not fit.": (
                held(lambda W: W.max(axis=0) / 127),
                held(lambda W: W.max(axis=0) / 127, cast=lambda q: np.clip(q, -128, 127).astype(np.int8)),
                held(lambda W: W.max(axis=0) / 127, cast=_int8),
            ),
            "The fractions are cut off: a cast to int8 does not round.": held(lambda W: largest(W) / 127, np.trunc),
            "The fractions are rounded down: round to the nearest.": (
                held(lambda W: largest(W) / 127, np.floor),
                held(lambda W: largest(W) / 127, np.floor, _int8),
            ),
            "The integers are right, but the scale is upside down: it is the step between two levels, r ≈ S · q.": (
                lambda W: (reference(W)[0], 1 / reference(W)[1])
            ),
            "It is right but for a channel whose weights are all 0, where it divides by 0: give it the scale 1.": (
                lambda W: (_int8(np.nan_to_num(np.rint(W / (largest(W) / 127)))), largest(W) / 127)
            ),
        },
        right="Each channel's largest weight in magnitude becomes ±127, and zero stays zero.",
        hint="The largest magnitude of each column becomes 127; everything else is rounded to the nearest step.",
        returns=("q", "S"),
        explain=lambda found, W: (
            "A channel whose weights are all 0 has no largest weight to divide by: let its scale be 1."
            if (W == 0).all(axis=0).any() and found[1].shape == W.shape[1:]
            else ""
        ),
    )


@exercise
def quantised_activations(random):
    """Check ``quantised_activations(x, low, high)``: int8, scale and zero point, of a range that must hold 0."""
    x = random.uniform(-6, 9, 40)

    def held(inside=True, steps=255, start=-128, sign=1, whole=round, clip=True, round_=np.rint):
        def quantised(x, low, high):
            if inside:
                low, high = min(low, 0.0), max(high, 0.0)
            S = (high - low) / steps
            Z = whole(start - sign * low / S)
            q = round_(x / S) + Z
            return (np.clip(q, -128, 127).astype(np.int8) if clip else _int8(q)), S, Z

        return quantised

    def symmetric(x, low, high):
        S = max(abs(low), abs(high)) / 127
        return np.clip(np.rint(x / S), -128, 127).astype(np.int8), S, 0

    def reference(x, low, high):
        low, high = min(low, 0.0), max(high, 0.0)
        S = (high - low) / 255
        Z = int(np.floor(-128 - low / S + 0.5))
        return np.array([min(127, max(-128, round(v / S) + Z)) for v in x]).astype(np.int8), S, Z

    high, low = random.uniform(3, 8), random.uniform(1, 2.5)
    return Exercise(
        cases=[(x, -low, high), (x, low, high), (x, -high, -low)],
        reference=reference,
        mistakes={
            "There are 256 levels, but 255 steps between them.": held(steps=256),
            "The zero point has the wrong sign: S · (q − Z) must give 0 for q = Z, and low for q = −128.": held(
                sign=-1
            ),
            "The levels start at 0: those of int8 start at −128.": held(start=0),
            "The range is taken to be symmetric: Z = 0 wastes the levels on the side that is not used.": symmetric,
            "What lies outside the range comes out at the other end: clip before you cast.": held(clip=False),
            "The zero point must be a whole number, so that 0 is stored without an error.": held(whole=float),
            "The fractions are cut off: a cast to int8 does not round.": held(round_=np.trunc),
            "The range does not hold 0: a zero, such as padding or a ReLU's, could not be stored. Widen it to 0.": (
                held(inside=False)
            ),
        },
        right="The range holds 0, which is stored exactly, and what lies outside is clipped.",
        hint="−128 stands for the least and 127 for the largest value, after the range was widened to hold 0.",
        returns=("q", "S", "Z"),
        tolerance=1e-6,
    )


@exercise
def int8_layer(random):
    """Check ``int8_layer(q_x, S_x, Z_x, q_w, S_w, b, S_y, Z_y)``: a dense layer in whole numbers, by Python's integers."""
    q_x, q_w = random.integers(-128, 128, (5, 12)).astype(np.int8), random.integers(-127, 128, (12, 3)).astype(np.int8)
    S_x, S_w = 0.02, random.uniform(0.005, 0.02, 3)
    Z_x, Z_y = int(random.integers(-90, -30)), int(random.integers(15, 40))
    b = random.normal(0, 1.5, 3)
    real = S_x * (q_x.astype(float) - Z_x) @ (S_w * q_w) + b
    wide, narrow = np.abs(real).max() / 60, np.abs(real).max() / 200

    def held(
        total=lambda q_x, Z_x, q_w: (q_x.astype(int) - Z_x) @ q_w.astype(int),
        bias=lambda b, S_x, S_w, S_y: np.rint(b / (S_x * S_w)),
        factor=lambda S_x, S_w, S_y: S_x * S_w / S_y,
        whole=np.rint,
        zero=1,
        cast=lambda q: np.clip(q, -128, 127).astype(np.int8),
    ):
        def layer(q_x, S_x, Z_x, q_w, S_w, b, S_y, Z_y):
            sums = total(q_x, Z_x, q_w) + bias(b, S_x, S_w, S_y)
            return cast(whole(sums * factor(S_x, S_w, S_y)) + zero * Z_y)

        return layer

    def reference(q_x, S_x, Z_x, q_w, S_w, b, S_y, Z_y):
        rows = []
        for row in q_x.tolist():
            sums = [sum((q - Z_x) * w for q, w in zip(row, column, strict=True)) for column in q_w.T.tolist()]
            sums = [total + round(one / (S_x * s)) for total, one, s in zip(sums, b, S_w, strict=True)]
            rows.append(
                [min(127, max(-128, round(total * S_x * s / S_y) + Z_y)) for total, s in zip(sums, S_w, strict=True)]
            )
        return np.array(rows, np.int8)

    return Exercise(
        cases=[(q_x, S_x, Z_x, q_w, S_w, b, wide, Z_y), (q_x, S_x, Z_x, q_w, S_w, b, narrow, Z_y)],
        reference=reference,
        mistakes={
            "The products are added up in int8, where they overflow: cast to int32 first.": (
                held(lambda q_x, Z_x, q_w: (q_x @ q_w).astype(int) - Z_x * q_w.astype(int).sum(axis=0))
            ),
            "Differences and products are computed in int8, where they overflow: cast to int32 first.": (
                held(lambda q_x, Z_x, q_w: (q_x - np.int8(Z_x)) @ q_w)
            ),
            "The input's zero point is not subtracted: q_x = Z_x stands for 0.": (
                held(lambda q_x, Z_x, q_w: q_x.astype(int) @ q_w.astype(int))
            ),
            "The output's zero point is not added: 0 is stored as Z_y.": held(zero=0),
            "The bias has no effect: it is missing, or it was not divided by S_x · S_w, which is what a unit of the sum is "
            "worth.": (
                held(bias=lambda b, *scales: 0),
                held(bias=lambda b, *scales: np.rint(b)),
                held(bias=lambda b, S_x, S_w, S_y: np.rint(b / S_y)),
            ),
            "The output's scale multiplies: it must divide.": held(factor=lambda S_x, S_w, S_y: S_x * S_w * S_y),
            "The factor is far too large: a sum is worth S_x · S_w, and a step of the output S_y.": (
                held(factor=lambda S_x, S_w, S_y: S_y / (S_x * S_w)),
                held(factor=lambda S_x, S_w, S_y: S_x / S_y),
                held(factor=lambda S_x, S_w, S_y: S_w / S_y),
            ),
            "The output's scale is not used: its steps are S_y wide.": held(factor=lambda S_x, S_w, S_y: S_x * S_w),
            "The result is not rounded: a cast to int8 cuts the fractions off.": held(whole=np.asarray),
            "It is right where the result fits into int8. What is too large comes out at the other end: clip before you cast.": (
                held(cast=_int8)
            ),
        },
        right="Sums of whole numbers in int32, one factor for each channel, rounded and clipped.",
        hint="Subtract Z_x, add up products in int32, add the bias in units of S_x · S_w; one factor, round, add Z_y, clip.",
        tolerance=1e-9,
    )


@exercise
def memory(random):
    """Check ``memory(sizes)``: flash and arena, in bytes, of a dense network in int8 with layers of these sizes, by counting."""
    wide, small = [64, 90], [33, 47]
    random.shuffle(wide)
    random.shuffle(small)
    sizes = wide[0], small[0], wide[1], small[1]  # the two largest are not neighbours
    if random.random() < 0.5:
        sizes = sizes[::-1]

    def held(weight=1, bias=4, activation=1, together=lambda a, b: a + b, of=max):
        def needed(sizes):
            flash = sum(a * b * weight + b * bias for a, b in pairwise(sizes))
            return flash, activation * of(together(*pair) for pair in pairwise(sizes))

        return needed

    def reference(sizes):
        layers = list(pairwise(sizes))
        flash = sum(np.zeros((a, b), np.int8).nbytes + np.zeros(b, np.int32).nbytes for a, b in layers)
        return flash, max(np.zeros(a, np.int8).nbytes + np.zeros(b, np.int8).nbytes for a, b in layers)

    return Exercise(
        cases=[(sizes,), (sizes[:2],)],
        reference=reference,
        mistakes={
            "The biases are left out.": held(bias=0),
            "The biases are counted with one byte each: they are kept in int32.": held(bias=1),
            "Those are float32's bytes: an int8 weight takes one.": held(weight=4, activation=4),
            "The weights take four bytes each, as in float32: in int8 they take one.": held(weight=4),
            "The activations take four bytes each, as in float32: in int8 they take one.": held(activation=4),
            "All layers' outputs are added up: memory is used again as soon as the next layer has read it.": (
                lambda sizes: (reference(sizes)[0], sum(sizes))
            ),
            "The arena has room for the largest layer alone: its input must be there at the same time.": held(
                together=max
            ),
            "The arena is the sum over all layers: they run one after the other.": held(of=sum),
            "The arena has room for the two largest layers: only neighbours are there at the same time.": (
                lambda sizes: (reference(sizes)[0], sum(sorted(sizes)[-2:]))
            ),
            "The arena holds the least that a layer needs: it must have room for the most.": held(of=min),
            "The two are swapped: flash comes first.": lambda sizes: reference(sizes)[::-1],
            "Those are KiB: give bytes.": lambda sizes: tuple(n / 1024 for n in reference(sizes)),
            "The output layer is not counted.": lambda sizes: held()(sizes[:-1]) if len(sizes) > 2 else (0, 0),
        },
        right="A byte for each weight, four for each bias, and an arena for the layer that needs most.",
        hint="Flash: weights and biases of every layer. Arena: a layer's input and output together, of the layer with most.",
        returns=("flash", "arena"),
        tolerance=1e-9,
    )
