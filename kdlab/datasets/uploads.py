"""An image that someone uploads: bytes that may be anything, decoded with limits, or refused in one sentence."""

import warnings
from codecs import getincrementaldecoder
from io import BytesIO

import numpy as np

from ..checks import check_count
from .decoded_images import eight_bits, in_mode, used_range

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_ACCEPTED = "accepted are PNG, JPEG, BMP and TIFF images"
# How files begin, for the messages; what Pillow may open is not decided here.
_BEGINNINGS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"BM": "a BMP image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"GIF8": "a GIF image",
    b"RIFF": "a WebP image or a film",
    b"%PDF": "a PDF file",
    b"PK\x03\x04": "a ZIP file",
    b"\x1f\x8b": "a gzip file, as NIfTI scans are",
}


def read_upload(data, size, channels=3, max_bytes=10_000_000, max_pixels=40_000_000):
    """Return the image that ``data`` is the file of: float32 (size, size, channels) in [0, 1].

    ``data`` are the bytes of a PNG, JPEG, BMP or TIFF file with one image, of at most ``max_bytes`` bytes and
    ``max_pixels`` pixels; its name plays no part. It is turned as its camera says, and its whole is stretched to a square
    of ``size`` pixels a side (1 to 4096). What is transparent becomes black, as in ``decoded_images.decode``.
    ``channels`` is 3, or 1 for grey; 16 bits of grey become 8 over those in use (``decoded_images.used_range``),
    CMYK and palettes become RGB.

    Raises ValueError, one sentence that says what came and what is accepted, for anything else: another format, a file
    that is empty, damaged or cut off, larger than the limits, animated or of several pages, or of 32 bits per value.
    """
    size = check_count(size, "size", 1, 4096)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels!r}")
    max_bytes, max_pixels = check_count(max_bytes, "max_bytes"), check_count(max_pixels, "max_pixels")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(f"data must be the bytes of an image file, got {type(data).__name__}")
    length = memoryview(data).nbytes
    if not length:
        raise ValueError(f"The uploaded file is empty; {_ACCEPTED}.")
    if length > max_bytes:
        raise ValueError(f"The uploaded file has {length:,} bytes; accepted are at most {max_bytes:,}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        image = _open(bytes(data), max_pixels, (size, size), "L" if channels == 1 else "RGB")
    return np.asarray(image, np.float32).reshape(size, size, channels) / np.float32(255)


def _open(data, max_pixels, size, mode):
    """Return a Pillow image of that size and mode, or raise ValueError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    what = _describe(data)
    broken = f"The uploaded file is {what} that is damaged or cut off; {_ACCEPTED}."
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            refusal = _refusal(image, max_pixels)
            if not refusal:
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                # Made small first, where what follows needs much memory.
                span = None
                if image.mode.startswith("I"):
                    span = used_range([np.asarray(image)])
                    image = image.convert("I").resize(size, Image.Resampling.BILINEAR)
                elif image.has_transparency_data:
                    image = in_mode(image, "RGBA").resize(size, Image.Resampling.BILINEAR)
                    image = Image.alpha_composite(Image.new("RGBA", size, "black"), image).convert("RGB")
                return in_mode(eight_bits(image, span), mode).resize(size, Image.Resampling.BILINEAR)
    except Image.DecompressionBombError:  # Pillow's own limit, before the size can be asked for
        refusal = f"of more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; accepted are at most {max_pixels:,}"
    except UnidentifiedImageError:
        known = any(name in what for name in _FORMATS)
        raise ValueError(broken if known else f"The uploaded file is {what}; {_ACCEPTED}.") from None
    except Exception as error:  # damaged files make Pillow raise exceptions of many kinds
        raise ValueError(broken) from error
    raise ValueError(f"The uploaded file is {what} {refusal}.")


def _refusal(image, max_pixels):
    """Return why an image is not to be decoded, or ""."""
    width, height = image.size
    if width * height > max_pixels:
        return f"of {width}×{height} pixels; accepted are at most {max_pixels:,}"
    # A JPEG may carry a preview or a second view of the same; its first image is the picture.
    if image.format in ("PNG", "TIFF") and image.is_animated:
        return "that is animated or has several pages; accepted are single images"
    # Such numbers have no fixed range: there is no telling black from white. (Pillow may read 16 bits of PNG as "I".)
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        return "with numbers of 32 bits or with a sign; accepted are 8 bits, or 16 bits without a sign"
    return ""


def _describe(data):
    """Return what a file seems to be, in a few words."""
    for beginning, what in _BEGINNINGS.items():
        if data.startswith(beginning):
            return what
    if data[128:132] == b"DICM":
        return "a DICOM file"
    try:
        # Of a long text, the last character may be cut in two: an incremental decoder waits for its rest.
        text = getincrementaldecoder("utf-8")().decode(data[:512])
    except UnicodeDecodeError:
        return "of an unknown kind"
    return "of an unknown kind" if "\0" in text else "text"
