"""Images as bytes, in memory or on disk, and the float32 in [0, 1] that networks want."""

import numpy as np

from ..memory import free_memory

__all__ = ["StoredImages", "check_fits_in_memory", "to_float"]

_BLOCK = 1024  # images converted at a time


class StoredImages:
    """Images that stay on disk: as a float32 array (N, height, width, channels) in [0, 1], read where it is indexed.

    ``pixels`` are all images, uint8, memory-mapped; ``rows`` are those that belong here. Indexed by a whole
    number it gives one image, by a slice or an array those images, as float32 arrays.
    """

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(self, pixels, rows):
        self._pixels, self._rows = pixels, np.asarray(rows, np.int64)

    @property
    def shape(self):
        """(N, height, width, channels)."""
        return (len(self._rows), *self._pixels.shape[1:])

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, which):
        rows = self._rows[which]
        return to_float(self._pixels, rows) if rows.ndim else to_float(self._pixels, rows[None])[0]

    def __array__(self, *args, **kwargs):
        raise TypeError(
            f"these {len(self)} images are larger than memory_limit and stay on disk: take a part of them, "
            "as images[:100], or batches, by kdlab.datasets.image_streams.stream"
        )

    def __repr__(self):
        return f"StoredImages(shape={self.shape})"


def to_float(pixels, rows):
    """Return ``pixels[rows]`` as float32 in [0, 1]; block by block, so that nothing else needs memory.

    ``pixels`` are uint8 (N, …), ``rows`` an integer array.
    """
    images = np.empty((len(rows), *pixels.shape[1:]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        np.divide(pixels[rows[block]], 255, out=images[block], dtype=np.float32)
    return images


def check_fits_in_memory(size, name):
    """Raise ValueError where ``size`` bytes, needed for what is called ``name``, are more than the free memory."""
    free = free_memory()
    if size > free:
        raise ValueError(
            f"{name} needs {size / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: close other programs, "
            "or use a smaller file"
        )
