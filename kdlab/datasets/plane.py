"""Two classes in the unit square, drawn by a formula: data whose networks fit in a picture."""

import numpy as np

from .dataset import Dataset, Split

SHAPES = ("moons", "spirals")
NOISE = {"moons": 1 / 30, "spirals": 0.01}  # standard deviation
POINTS, OTHERS = 600, 1000  # of the latter as many to validate as to test on


def plane(shape, points=POINTS):
    """Return a ``Dataset`` of noisy moons or spirals: the first ``points`` of 600 to train on, 1,000 each for the others.

    x (N, 2) float32 in the unit square, y (N,) of 0 and 1. Raises ValueError for another shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    x, y = _draw(shape, POINTS, seed=1)
    validation, test = (Split(*_draw(shape, OTHERS, seed)) for seed in (3, 2))
    named = {"class_names": ("0", "1"), "source": "drawn by a formula", "licence": "none needed"}
    return Dataset(Split(x[:points], y[:points]), validation, test, **named)


def grid(side):
    """Return the centres of ``side`` · ``side`` cells of the unit square, row by row from below: (side², 2) float32."""
    axis = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)


def _draw(shape, points, seed):
    random = np.random.default_rng(seed)
    y = np.arange(points) % 2
    along = random.random(points)
    if shape == "moons":
        angle = np.pi * along
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x[y == 1] = [1.0, 0.5] - x[y == 1]
        x = (x - [0.5, 0.25]) / 3.2
    else:
        angle = 0.6 + 2.4 * np.pi * np.sqrt(along) + np.pi * y
        radius = 0.44 * np.sqrt(along)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    x = np.clip(0.5 + x + random.normal(0, NOISE[shape], x.shape), 0, 1)
    return x.astype(np.float32), y.astype(np.int32)
