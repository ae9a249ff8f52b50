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

import numpy as np

from ..cache import cache_folder, new_file
from .brain_mri import prepare_scan

__all__ = ["PREPARATIONS", "DecodedImages", "decode", "decode_files", "eight_bits", "in_mode"]

_FORMATS = ("JPEG", "PNG", "BMP")
PREPARATIONS = {"none": None, "brain-mri": prepare_scan}
"""What may be done with an image before it is resized: a function of its grey values."""

_METHOD = 1  # another number where ``decode`` computes something else than before
_BLOCK = 256  # images held in memory at a time


@dataclass
class DecodedImages:
    """What ``decode_files`` returns.

    ``pixels`` uint8 (files, height, width, 1 or 3), memory-mapped, row by row the files. ``digests`` name the content
    of each as it was before it was resized: two files with the same pixels have the same; "" is a file that could
    not be read, and ``skipped`` maps its row to the reason.
    """

    pixels: np.ndarray
    digests: list[str]
    skipped: dict[int, str]


def decode_files(paths, place, image_size, channels="auto", preparation="none"):
    """Return the ``DecodedImages`` of these files, from the cache where they did not change since.

    ``place`` is their folder, ``image_size`` (height, width), ``channels`` 1, 3 or "auto": 1 where all are grey.
    ``preparation`` is one of ``PREPARATIONS``; all but "none" make images grey.
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


def decode(path, image_size, channels, preparation="none"):
    """Return an image as uint8 (height, width, 3, or 1 where ``channels`` is 1), its content's name, and "is it grey".

    The whole image, or what ``preparation`` makes of it, is stretched to ``image_size``, turned as its camera says.
    What is transparent becomes black; 16 bits become 8 over the full range. Raises ValueError, saying why, for what cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=_FORMATS) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most and image.width * image.height > most:
                raise ValueError(f"{image.width}×{image.height} pixels, more than {most}")
            ImageOps.exif_transpose(image, in_place=True)
            image.load()
            image = eight_bits(image)
    except UnidentifiedImageError:
        raise ValueError("no jpg, png or bmp") from None
    except Exception as error:  # damaged files make Pillow raise exceptions of many kinds
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error
    content = np.asarray(image)
    if content.ndim == 3 and (content[..., 0] == content[..., 1]).all() and (content[..., 0] == content[..., 2]).all():
        content = content[..., 0]
    digest = hashlib.sha256(repr(content.shape).encode())
    digest.update(np.ascontiguousarray(content))
    grey = content.ndim == 2
    if prepare := PREPARATIONS[preparation]:
        image, grey = Image.fromarray(prepare(np.asarray(in_mode(image, "L")))), True
    image = in_mode(image, "L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize(image_size[::-1], Image.Resampling.BILINEAR))
    return pixels.reshape(*image_size, -1), digest.hexdigest(), grey


def eight_bits(image):
    """Return a Pillow image of any mode as "L" or "RGB"."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, also where Pillow reads them as 32
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return in_mode(image, "L" if image.mode in ("L", "1", "LA") else "RGB")


def in_mode(image, mode):
    """Return a Pillow image in that mode."""
    return image if image.mode == mode else image.convert(mode)


class _ColourFound(Exception):  # noqa: N818 - it is no error
    pass


def _state(path):
    """Return what changes when a file does."""
    try:
        state = path.stat()
    except OSError:  # a link to nowhere
        return None
    return state.st_size, state.st_mtime_ns, state.st_mode


def _attempt(path, image_size, channels, preparation):
    """Return what ``decode`` does, and "" or the reason why it could not."""
    try:
        return *decode(path, image_size, channels, preparation), ""
    except ValueError as error:
        return np.zeros((*image_size, channels), np.uint8), "", True, str(error)


def _write(folder, name, paths, image_size, channels, preparation):
    """Decode all files, a block at a time, into the cache; what describes them is written last."""
    only_grey = channels == "auto"  # until a coloured one is found
    try:
        digests, skipped = _write_pixels(
            folder / f"{name}.npy", paths, image_size, 1 if only_grey else channels, only_grey, preparation
        )
    except _ColourFound:
        digests, skipped = _write_pixels(folder / f"{name}.npy", paths, image_size, 3, False, preparation)
    body = json.dumps({"digests": digests, "skipped": skipped}).encode()
    with new_file(folder / f"{name}.json") as file:
        file.write(_checksum(folder / f"{name}.npy", body) + b"\n" + body)


def _write_pixels(path, paths, image_size, channels, only_grey, preparation):
    from rich.console import Console
    from rich.progress import track

    digests, skipped = [], {}
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *image_size, channels)}
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    bar = {"description": "decoding", "console": Console(stderr=True), "transient": True, "disable": len(blocks) < 4}
    work = partial(_attempt, image_size=image_size, channels=channels, preparation=preparation)
    with new_file(path) as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        np.lib.format.write_array_header_1_0(file, header)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd files
            for block in track(blocks, **bar):
                for pixels, digest, grey, reason in threads.map(work, block):
                    if only_grey and not grey:
                        raise _ColourFound
                    if reason:
                        skipped[len(digests)] = reason
                    digests.append(digest)
                    file.write(pixels.tobytes())
    return digests, skipped


def _read(folder, name):
    """Return what is kept under that name, or None where it is missing or damaged."""
    try:
        checksum, body = (folder / f"{name}.json").read_bytes().split(b"\n", 1)
        if checksum != _checksum(folder / f"{name}.npy", body):
            return None
        index = json.loads(body)
        pixels = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return DecodedImages(pixels, index["digests"], {int(row): why for row, why in index["skipped"].items()})
    except (OSError, ValueError):
        return None


def _checksum(path, body):
    content = hashlib.sha256(body)
    with path.open("rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest().encode()


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()
