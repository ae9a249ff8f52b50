"""Image files of any mode and size, decoded once to arrays of one size, and kept in the cache as bytes."""

import hashlib
import json
import os
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..cache import cache_folder, new_file
from .brain_mri import prepare_scan
from .class_folders import FORMATS, listed, printable

__all__ = ["PREPARATIONS", "DecodedImages", "decode", "decode_files", "eight_bits", "in_mode", "used_range"]

PREPARATIONS = {"none": None, "brain-mri": prepare_scan}
"""What may be done with an image before it is resized: a function of its grey values."""

_METHOD = 2  # another number where ``decode`` computes something else than before
_BLOCK = 256  # images held in memory at a time


@dataclass
class DecodedImages:
    """What ``decode_files`` returns.

    ``pixels`` uint8 (files, height, width, 1 or 3), memory-mapped, row by row the files. ``digests`` name the content
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
    A cache that is damaged is made anew. Raises OSError for a disk that is full.
    """
    folder = cache_folder("decoded")
    mine = _digest(str(place.resolve()), image_size, channels, preparation)[:16]
    files = [(path.relative_to(place).as_posix(), _state(path)) for path in paths]
    name = f"{mine}-{_digest(_METHOD, version('pillow'), files)[:32]}"
    kept = _read(folder, name)
    if kept is None:
        _write(folder, name, paths, image_size, channels, preparation)
        for old in folder.glob(f"{mine}-*"):  # of the same files, before they changed
            if old.stem != name:
                with suppress(OSError):
                    old.unlink()
        kept = _read(folder, name)
    if kept is None:
        raise OSError(f"the decoded images could not be read back from {folder}: check its disk, or set KDLAB_CACHE")
    return kept


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


class _Surprise(Exception):  # noqa: N818 - it is no error
    """An image is not as those before it: all have to be decoded otherwise."""


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


def _write(folder, name, paths, image_size, channels, preparation):
    """Decode the files and keep the result: first as if all were grey, where that may be, and of 8 bits."""
    only_grey = channels == "auto"
    channels, span = 1 if only_grey else channels, None
    while True:
        try:
            digests, skipped, remarks = _write_pixels(
                folder / f"{name}.npy", paths, image_size, channels, only_grey, preparation, span
            )
            break
        except _Surprise as found:
            if found.args == ("colour",):
                channels, only_grey = 3, False
            else:
                span = used_range(values for path in paths if (values := _deep_values(path)) is not None)
    low, high = span or (0, 0)
    notes = [
        _REMARKS[remark].format(
            count=len(rows), names=listed([printable(paths[row].name) for row in rows]), low=low, high=high
        )
        for remark, rows in sorted(remarks.items())
    ]
    body = json.dumps({"digests": digests, "skipped": skipped, "notes": notes}).encode()
    with new_file(folder / f"{name}.json") as file:
        file.write(_checksum(folder / f"{name}.npy", body) + b"\n" + body)


def _write_pixels(path, paths, image_size, channels, only_grey, preparation, span):
    from rich.console import Console
    from rich.progress import track

    digests, skipped, remarks = [], {}, defaultdict(list)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *image_size, channels)}
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    bar = {"description": "decoding", "console": Console(stderr=True), "transient": True, "disable": len(blocks) < 4}
    work = partial(_attempt, image_size=image_size, channels=channels, preparation=preparation, span=span)
    with new_file(path) as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        np.lib.format.write_array_header_1_0(file, header)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd files
            for block in track(blocks, **bar):
                for pixels, digest, grey, found, reason in threads.map(work, block):
                    if only_grey and not grey:
                        raise _Surprise("colour")
                    if span is None and "deep" in found:
                        raise _Surprise("deep")
                    for remark in found:
                        remarks[remark].append(len(digests))
                    if reason:
                        skipped[len(digests)] = reason
                    digests.append(digest)
                    file.write(pixels.tobytes())
    return digests, skipped, remarks


def _read(folder, name):
    """Return what is kept under that name, or None where it is missing or damaged."""
    try:
        checksum, body = (folder / f"{name}.json").read_bytes().split(b"\n", 1)
        if checksum != _checksum(folder / f"{name}.npy", body):
            return None
        index = json.loads(body)
        pixels = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        skipped = {int(row): why for row, why in index["skipped"].items()}
        return DecodedImages(pixels, index["digests"], skipped, index["notes"])
    except (OSError, ValueError):
        return None


def _checksum(path, body):
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.sha256, body)).hexdigest().encode()


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()
