"""Brain scans made comparable: cut to the head, and brightness on one scale. Grey images of 0 to 255 in, the same out."""

import numpy as np

DARK = 0.1  # of the brightest: what is darker is background
LEAST = 0.05  # of the image: what is smaller is no head
MARGIN = 0.02  # of the head's height and width, left around it


def prepare_scan(grey):
    """Return a grey scan, uint8 (height, width), cut to the head and with 1 % of its pixels black and 1 % white.

    Scans come with black borders of any width and at any brightness, and a network should learn from neither. The
    head is the largest connected part that is not dark; an image with none is not cut. One that is all of one
    brightness becomes black. Raises ValueError for another shape or type.
    """
    grey = np.asarray(grey)
    if grey.dtype != np.uint8 or grey.ndim != 2 or not grey.size:
        raise ValueError(f"grey must be uint8 (height, width), got {grey.dtype} of shape {grey.shape}")
    head = grey[_head(grey)].astype(np.float32)
    low, high = np.percentile(head, (1, 99))
    scaled = (head - low) / (high - low) if high > low else np.zeros_like(head)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _head(grey):
    """Return the slices of rows and columns around the head."""
    from scipy import ndimage

    smooth = ndimage.uniform_filter(grey.astype(np.float32), max(1, min(grey.shape) // 50))  # over noise and writing
    parts, count = ndimage.label(smooth > DARK * np.percentile(smooth, 99))
    sizes = np.bincount(parts.ravel(), minlength=2)[1:]
    if not count or sizes.max() < LEAST * grey.size:
        return slice(None), slice(None)
    box = ndimage.find_objects(parts)[int(sizes.argmax())]
    margins = [round(MARGIN * (side.stop - side.start)) for side in box]
    return tuple(slice(max(side.start - more, 0), side.stop + more) for side, more in zip(box, margins, strict=True))
