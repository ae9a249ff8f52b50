"""Image files of any mode and size, decoded once to arrays of one size, and kept in the cache as bytes."""

import hashlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..cache import cache_folder, kept
from .brain_mri import prepare_scan
from .class_folders import FORMATS, listed, printable

PREPARATIONS = {"none": None, "brain-mri": prepare_scan}
"""What may be done with an image before it is resized: a function of its grey values."""

_METHOD = 3  # another number where ``decode`` computes something else than before


@dataclass
class DecodedImages:
    """What ``decode_files`` returns.

    ``pixels`` uint8 (files, height, width, 1 or 3), row by row the files. ``digests`` name the content
    of each as it was before it was resized or rounded: two files with the same pixels have the same; "" is a file
    that could not be read, and ``skipped`` maps its row to the reason. ``notes`` are sentences on what was lost.
    """

    pixels: np.ndarray
    digests: list[str]
    skipped: dict[int, str]
    notes: list[str]


def decode_files(paths, place, image_size, channels="auto", preparation="none"):
    """Return the ``DecodedImages`` of these files, from the cache where they did not change since.

    ``place`` is their folder, ``image_size`` (height, width), ``channels`` 1, 3 or "auto": 1 where all are grey.
    ``preparation`` is one of ``PREPARATIONS``; all but "none" make images grey. Grey values of more than 8 bits
    become 8 over the range that all these files use (``used_range``).
    Cached as ``cache.kept`` says.
    """
    mine = _digest(str(place.resolve()), image_size, channels, preparation)[:16]
    files = [(path.relative_to(place).as_posix(), _state(path)) for path in paths]
    name = f"{mine}-{_digest(_METHOD, version('pillow'), files)[:32]}"
    arrays = kept("decoded", name, partial(_decoded, paths, image_size, channels, preparation), "the decoded images")
    with suppress(OSError):
        for old in cache_folder("decoded").glob(f"{mine}-*"):  # of the same files, before they changed
            if old.stem != name:
                old.unlink()
    digests, skipped, notes = json.loads(str(arrays["index"]))
    return DecodedImages(arrays["pixels"], digests, {int(row): why for row, why in skipped.items()}, notes)


def decode(path, image_size, channels, preparation="none", span=None):
    """Return an image as uint8 (height, width, 3, or 1 where ``channels`` is 1), its content's name, "is it grey", remarks.

    The whole image (the first, where the file holds several), or what ``preparation`` makes of it, is stretched to
    ``image_size``, turned as its camera says. What is transparent becomes black; ``span`` is as for ``eight_bits``.
    The remarks are those of ``_REMARKS`` that hold. Raises ValueError, saying why, for what cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most and image.width * image.height > most:
                raise ValueError(f"{image.width}×{image.height} pixels, more than {most}")
            remarks = _remarks(image)
            ImageOps.exif_transpose(image, in_place=True)
            image.load()
            content = _unrounded(image)
            image = eight_bits(image, span)
    except UnidentifiedImageError:
        raise ValueError("no image of a known kind") from None
    except Exception as error:  # damaged files make Pillow raise exceptions of many kinds
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error
    # What is transparent is named by what is to be seen, and by the values that were rounded for it.
    parts = [_without_colour(np.asarray(image))] if "deep" not in remarks and content.dtype != np.uint8 else []
    digest = "".join(_name(part) for part in (*parts, content))
    if "colour" in remarks:
        digest += hashlib.sha256(Path(path).read_bytes()).hexdigest()  # the lower bits are there only
    grey = content.ndim == 2
    if prepare := PREPARATIONS[preparation]:
        image, grey = Image.fromarray(prepare(np.asarray(in_mode(image, "L")))), True
    image = in_mode(image, "L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize(image_size[::-1], Image.Resampling.BILINEAR))
    return pixels.reshape(*image_size, -1), digest, grey, remarks


def _remarks(image):
    """Return which of ``_REMARKS`` hold for a Pillow image that is open and not loaded."""
    kinds = [str(getattr(tile, "args", "")) for tile in getattr(image, "tile", ())]
    found = {
        # A JPEG may carry a preview or a second view of the same; its first image is the picture.
        "several": image.format != "MPO" and getattr(image, "n_frames", 1) > 1,
        "deep": _is_deep(image),
        "colour": not _is_deep(image) and any(";16" in kind for kind in kinds),
    }
    return [name for name in _REMARKS if found[name]]


def _is_deep(image):
    """Whether a Pillow image has grey values of more than 8 bits; some versions read 16 as 32."""
    return image.mode[0] in "IF"


def _unrounded(image):
    """Return a Pillow image's values, (height, width) or for colour (height, width, 3): uint8 where they are that exactly."""
    whole = 1
    if _is_deep(image):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that are not finite")
        if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
            values, whole = values.astype(np.uint16), 257
    elif image.has_transparency_data:
        values = np.asarray(image.convert("RGBA")).astype(np.uint16)
        values, whole = values[..., :3] * values[..., 3:], 255
    else:
        values = np.asarray(in_mode(image, "L" if image.mode in ("L", "1") else "RGB"))
    if whole > 1 and not (values % whole).any():
        values = (values // whole).astype(np.uint8)
    return _without_colour(values)


def _without_colour(values):
    """Return (height, width) of values (height, width, 3) that are grey; others as they are."""
    return values[..., 0] if values.ndim == 3 and (values == values[..., :1]).all() else values


def _name(values):
    """Return the SHA-256, in hexadecimal, of an array."""
    kind = () if values.dtype == np.uint8 else (values.dtype.str,)
    digest = hashlib.sha256(repr((*values.shape, *kind)).encode())
    digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def used_range(images):
    """Return the (lowest, highest) that become 0 and 255, of arrays of grey values of more than 8 bits, or None of none.

    Of whole numbers from 0 on it is 0 to 255, 511, … 65535, the fewest bits that hold them all: cameras and scanners
    write 10, 12 or 14 bits into files of 16. Of others it is the range that occurs.
    """
    ranges = [(image.min().item(), image.max().item(), image.dtype.kind in "iu") for image in images]
    if not ranges:
        return None
    low, high, whole = (choose(part) for choose, part in zip((min, max, all), zip(*ranges, strict=True), strict=True))
    return (0, 2 ** max(8, high.bit_length()) - 1) if whole and low >= 0 else (low, high)


def eight_bits(image, span=None):
    """Return a Pillow image of any mode as "L" or "RGB"; ``span`` of more than 8 bits become 0 to 255, as ``used_range``."""
    from PIL import Image

    if _is_deep(image):
        values = np.asarray(image)
        low, high = span or used_range([values])
        scaled = (values.astype(np.float64) - low) * (255 / (high - low)) if high > low else np.zeros(values.shape)
        return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return in_mode(image, "L" if image.mode in ("L", "1", "LA") else "RGB")


def in_mode(image, mode):
    """Return a Pillow image in that mode."""
    return image if image.mode == mode else image.convert(mode)


_REMARKS = {
    "several": "Of files that hold several images the first was read: {names}.",
    "deep": "Images with grey values of more than 8 bits: {count}. {low:g} to {high:g}, over all of them, became 0 to 255.",
    "colour": "Images in colour with 16 bits per channel, of which the lower 8 were not read: {count}.",
}


def _state(path):
    """Return what changes when a file does."""
    try:
        state = path.stat()
    except OSError:  # a link to nowhere
        return None
    return state.st_size, state.st_mtime_ns, state.st_mode


def _attempt(path, image_size, channels, preparation, span):
    """Return what ``decode`` does, and "" or the reason why it could not."""
    try:
        return *decode(path, image_size, channels, preparation, span), ""
    except ValueError as error:
        return np.zeros((*image_size, channels), np.uint8), "", True, [], str(error)


def _deep_values(path):
    """Return the grey values of more than 8 bits of a file that has such and can be read, else None."""
    from PIL import Image

    with suppress(Exception), Image.open(path, formats=FORMATS) as image:
        if _is_deep(image) and image.width * image.height <= (Image.MAX_IMAGE_PIXELS or np.inf):
            values = np.asarray(image)
            return values if np.isfinite(values).all() else None
    return None


def _decoded(paths, image_size, channels, preparation):
    """Decode the files, and return what of them is kept: their "pixels" and an "index" as JSON."""
    from rich.console import Console
    from rich.progress import track

    bar = {"description": "decoding", "console": Console(stderr=True), "transient": True, "disable": len(paths) < 1000}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        # One after the other: such images are large, and threads would have many of them in memory.
        span = used_range(values for path in paths if (values := _deep_values(path)) is not None)
        work = partial(
            _attempt, image_size=image_size, channels=1 if channels == 1 else 3, preparation=preparation, span=span
        )
        found = list(track(threads.map(work, paths), total=len(paths), **bar))
    pixels, digests, greys, remarks, reasons = zip(*found, strict=True)
    pixels = np.stack(pixels)
    if channels == "auto" and all(greys):
        pixels = pixels[..., :1]
    low, high = span or (0, 0)
    notes = []
    for remark in sorted(_REMARKS):
        if names := [printable(path.name) for path, said in zip(paths, remarks, strict=True) if remark in said]:
            notes.append(_REMARKS[remark].format(count=len(names), names=listed(names), low=low, high=high))
    skipped = {row: reason for row, reason in enumerate(reasons) if reason}
    return {"pixels": pixels, "index": np.array(json.dumps([digests, skipped, notes]))}


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()
