"""Other views of an image, for a student that sees less than its teacher. Numpy in, numpy out.

Each takes images in [0, 1], (N, height, width, channels), or (N, F) of square grey ones, and returns as many of the
same shape, float32 in [0, 1].
"""

from dataclasses import replace

import numpy as np

from .dataset import Split


def left_half(x):
    """Return the images with their right half black; the middle column of an odd width stays."""
    images = _images(x).copy()
    images[:, :, -(images.shape[2] // 2) :] = 0
    return images.reshape(x.shape)


def edges(x):
    """Return how steep each place is, by Sobel's filters, scaled so that the steepest of each image is 1."""
    from scipy.ndimage import sobel

    images = _images(x)
    steepness = np.hypot(sobel(images, axis=1), sobel(images, axis=2))
    steepest = steepness.max(axis=(1, 2, 3), keepdims=True)
    return np.divide(steepness, steepest, out=np.zeros_like(images), where=steepest > 0).reshape(x.shape)


VIEWS = {"left_half": left_half, "edges": edges}
"""The views by name."""


def see(data, view):
    """Return a ``Dataset`` like ``data``, with one of ``VIEWS`` of all its images. ValueError for an unknown view."""
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(map(repr, VIEWS))}, got {view!r}")
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    return replace(data, **{name: Split(VIEWS[view](split.x), split.y) for name, split in splits.items()})


def _images(x):
    """Return images (N, height, width, channels), float32, or raise ValueError."""
    x = np.asarray(x, np.float32)
    if x.ndim == 4:
        return x
    side = round(x.shape[1] ** 0.5) if x.ndim == 2 else 0
    if x.ndim != 2 or side**2 != x.shape[1]:
        raise ValueError(f"x must be (N, height, width, channels) or (N, F) of square images, got shape {x.shape}")
    return x.reshape(-1, side, side, 1)


def as_digit(ink, side=8):
    """Return a drawing (H, W) of 0 to 1 as the digits were made: cut to its square, each pixel the ink of its block.

    Returns (side · side,) float32 in [0, 1]. Raises ValueError for a drawing without ink.
    """
    from PIL import Image

    ink = np.asarray(ink, np.float32)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise ValueError("the drawing must have some ink, got none")
    most = max(np.ptp(rows), np.ptp(columns)) + 1
    square = np.zeros((most, most), np.float32)
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = (most - cut.shape[0]) // 2, (most - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    small = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BOX))
    return np.clip(small, 0, 1).ravel()
