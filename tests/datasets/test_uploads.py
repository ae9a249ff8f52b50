"""Whatever is uploaded becomes an image of the right values, or one sentence that says what came and what is accepted."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from kdlab.datasets.decoded_images import decode
from kdlab.datasets.uploads import read_upload

# No deadline: on a busy machine a slow example is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

RAMP = (np.arange(64, dtype=np.uint8) * 4).reshape(8, 8)
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP.T], axis=-1)
FORMATS = "accepted are PNG, JPEG, BMP and TIFF images"


def file(pixels, kind="PNG", mode=None, **options):
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    written = io.BytesIO()
    (image.convert(mode) if mode else image).save(written, kind, **options)
    return written.getvalue()


def mode(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.mode


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, body, bits=8, colour=0, before=b""):
    """The bytes of a PNG; ``body`` are its compressed rows, each after a 0."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def zeros(count):
    """So many zero bytes, compressed; made of one compressed block, repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(count % 2**20)) + packer.flush()
    checksum = (count % 65521 << 16) + 1  # Adler-32 of zeros
    return b"\x78\xda" + block * (count // 2**20) + rest + struct.pack(">I", checksum)


def refusal(data, **options):
    """The sentence with which it is refused."""
    with pytest.raises(ValueError, match=r"^The uploaded file ") as caught:
        read_upload(data, 8, **options)
    said = str(caught.value)
    assert "accepted are" in said
    assert said.endswith(".")
    assert "\n" not in said
    return said


# --- values


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("wrapped", [bytes, bytearray, memoryview])
def test_grey_and_colour_are_what_was_saved(kind, wrapped):
    got = read_upload(wrapped(file(COLOUR, kind)), 8)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, COLOUR / np.float32(255))
    np.testing.assert_array_equal(read_upload(file(RAMP, kind), 8), np.dstack([RAMP] * 3) / np.float32(255))
    np.testing.assert_array_equal(read_upload(file(RAMP, kind), 8, channels=1), RAMP[..., None] / np.float32(255))


def test_one_channel_of_colour_is_its_brightness():
    got = read_upload(file(COLOUR), 8, channels=1)
    np.testing.assert_allclose(got[..., 0], COLOUR @ [0.299, 0.587, 0.114] / 255, atol=1 / 255)


def test_jpeg_is_near_the_pixels():
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    got = read_upload(file(smooth, "JPEG", quality=95), 64)
    np.testing.assert_allclose(got, np.dstack([smooth] * 3) / 255, atol=4 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_whole_range(kind):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    data = file(values, kind)
    assert mode(data).startswith("I")
    got = read_upload(data, 8)
    np.testing.assert_array_equal(got, np.dstack([np.rint(values / 257)] * 3).astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(got[..., 0], values / 65535, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("top", "white"), [(4095, 4095), (1000, 1023), (9000, 16383), (200, 255)])
def test_sixteen_bits_of_grey_are_read_over_those_in_use(kind, top, white):
    values = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    got = read_upload(file(values, kind), 8, channels=1)[..., 0]
    np.testing.assert_allclose(got, values / white, atol=0.5 / 255 + 1e-6)
    # Made smaller, the brightest pixels are fewer and the range is the same.
    got = read_upload(file(np.pad(values, 4), kind), 4, channels=1)[..., 0]
    np.testing.assert_allclose(got.mean(), values.mean() / 4 / white, atol=0.02)


def test_a_hand_made_png_of_sixteen_bits_is_read_with_the_high_byte_first():
    values = np.array([[0x0000, 0x0101], [0x8080, 0xFFFF]], ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    got = read_upload(png(2, 2, zlib.compress(rows), bits=16), 2, channels=1)
    np.testing.assert_array_equal(got[..., 0], np.array([[0, 1], [128, 255]], np.float32) / np.float32(255))


def test_sixteen_bits_are_made_smaller_by_their_mean():
    values = np.repeat(np.repeat(np.array([[0, 65535], [30000, 10000]], np.uint16), 8, 0), 8, 1)
    got = read_upload(file(values), 2, channels=1)[..., 0]
    whole = read_upload(file(values), 16, channels=1)[..., 0]
    np.testing.assert_allclose(whole, values / 65535, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(got.mean(), values.mean() / 65535, atol=0.01)


@pytest.mark.parametrize(("kind", "tolerance"), [("TIFF", 1), ("JPEG", 4)])
def test_cmyk_becomes_what_is_not_absorbed(kind, tolerance):
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [128, 0, 64, 64]])
    for ink in inks:
        data = file(Image.fromarray(np.full((16, 16, 4), ink, np.uint8), "CMYK"), kind, quality=100)
        assert mode(data) == "CMYK"
        shown = (255 - ink[:3]) * (255 - ink[3]) / 255
        np.testing.assert_allclose(read_upload(data, 4) * 255, np.broadcast_to(shown, (4, 4, 3)), atol=tolerance)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_what_is_transparent_becomes_black(kind):
    alpha = RAMP.T
    expected = COLOUR * (alpha / 255.0)[..., None] / 255
    np.testing.assert_allclose(read_upload(file(np.dstack([COLOUR, alpha]), kind), 8), expected, atol=1.01 / 255)
    grey = Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(alpha)])
    expected = RAMP * (alpha / 255.0) / 255
    np.testing.assert_allclose(read_upload(file(grey), 8, channels=1)[..., 0], expected, atol=1.01 / 255)


def test_what_is_transparent_has_no_colour_when_it_is_made_smaller():
    """As if it had been laid on black at its full size."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 48, 4), np.uint8)
    pixels[:, 1::2] = (0, 255, 0, 0)  # a green that is not to be seen
    share = pixels[..., 3:] / 255
    on_black = pixels[..., :3] * share
    expected = [Image.fromarray(on_black[..., c].astype(np.float32)).resize((8, 8), Image.BILINEAR) for c in range(3)]
    np.testing.assert_allclose(read_upload(file(pixels), 8) * 255, np.stack(expected, axis=-1), atol=2)


@pytest.mark.parametrize("transparent", [None, 5])
def test_a_palette_is_looked_up(transparent):
    colours = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)
    indices = (np.arange(64) % 12).astype(np.uint8).reshape(8, 8)
    image = Image.fromarray(indices, "L")
    image.putpalette(colours.ravel().tolist())
    options = {} if transparent is None else {"transparency": transparent}
    data = file(image, **options)
    assert mode(data) == "P"
    shown = np.where((indices == transparent)[..., None], 0, colours[indices])
    np.testing.assert_array_equal(read_upload(data, 8), shown.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_one_bit_is_black_and_white(kind):
    np.testing.assert_array_equal(read_upload(file(RAMP > 100, kind), 8, channels=1)[..., 0], RAMP > 100)


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_is_turned_once_as_its_camera_says(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read_upload(file(COLOUR, kind, exif=exif), 8)
    np.testing.assert_array_equal(got, TURNS[orientation](COLOUR) / np.float32(255))


def test_a_turned_jpeg_that_is_no_square_is_turned_before_it_is_stretched():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, 16:] = 200  # the right half, below when turned clockwise
    got = read_upload(file(pixels, "JPEG", exif=exif, quality=100), 16, channels=1)[..., 0] * 255
    np.testing.assert_allclose(got[:7], 0, atol=3)
    np.testing.assert_allclose(got[9:], 200, atol=3)


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        *((kind, pixels) for kind in ("PNG", "BMP", "JPEG") for pixels in (RAMP, COLOUR)),
        ("PNG", RAMP.astype(np.uint16) * 250),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_training_images_of_a_folder_are(tmp_path, kind, pixels, channels):
    large = np.repeat(np.repeat(pixels, 5, 0), 3, 1)
    (tmp_path / "a").write_bytes(file(large, kind))
    expected = decode(tmp_path / "a", (16, 16), channels)[0].astype(np.float32)
    np.testing.assert_allclose(read_upload((tmp_path / "a").read_bytes(), 16, channels) * 255, expected, atol=1.001)


def test_a_photograph_with_a_preview_in_it_is_its_first_image():
    views = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 20)]
    data = file(views[0], "MPO", save_all=True, append_images=views[1:])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    np.testing.assert_allclose(read_upload(data, 4), 200 / 255, atol=2 / 255)


# --- what is refused

TIFF_OF_TWO = file(RAMP, "TIFF", save_all=True, append_images=[Image.fromarray(RAMP.T)])
APNG = file(RAMP, save_all=True, append_images=[Image.fromarray(RAMP.T)])
NOISE = file(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
REFUSED = {
    "empty": (b"", f"The uploaded file is empty; {FORMATS}."),
    "text": (b"this is no image" * 50, f"The uploaded file is text; {FORMATS}."),
    "text in Greek": ("αβγδ".encode() * 200, f"The uploaded file is text; {FORMATS}."),
    "odd text": (b"x" + "αβγδ".encode() * 200, f"The uploaded file is text; {FORMATS}."),
    "zeros": (bytes(200), f"The uploaded file is of an unknown kind; {FORMATS}."),
    "noise": (b"\xff\xfe\xfd" * 99, f"The uploaded file is of an unknown kind; {FORMATS}."),
    "gif": (file(RAMP, "GIF"), f"The uploaded file is a GIF image; {FORMATS}."),
    "webp": (file(COLOUR, "WEBP"), f"The uploaded file is a WebP image or a film; {FORMATS}."),
    "pdf": (b"%PDF-1.7\n1 0 obj", f"The uploaded file is a PDF file; {FORMATS}."),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", f"The uploaded file is text; {FORMATS}."),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', f"The uploaded file is text; {FORMATS}."),
    "dicom": (bytes(128) + b"DICM" + bytes(99), f"The uploaded file is a DICOM file; {FORMATS}."),
    "nifti": (zlib.compress(bytes(999), wbits=31), f"The uploaded file is a gzip file, as NIfTI scans are; {FORMATS}."),
    "zip": (b"PK\x03\x04" + bytes(99), f"The uploaded file is a ZIP file; {FORMATS}."),
    "truncated PNG": (NOISE[: len(NOISE) // 2], f"The uploaded file is a PNG image that is damaged or cut off; {FORMATS}."),
    "head of a PNG": (NOISE[:12], f"The uploaded file is a PNG image that is damaged or cut off; {FORMATS}."),
    "animated PNG": (APNG, "The uploaded file is a PNG image that is animated or has several pages; accepted are single images."),
    "pages": (TIFF_OF_TWO, "The uploaded file is a TIFF image that is animated or has several pages; accepted are single images."),
    "floats": (
        file(RAMP.astype(np.float32), "TIFF"),
        "The uploaded file is a TIFF image with numbers of 32 bits or with a sign; accepted are 8 bits, or 16 bits without a sign.",
    ),
    "32 bits": (
        file(RAMP.astype(np.int32), "TIFF"),
        "The uploaded file is a TIFF image with numbers of 32 bits or with a sign; accepted are 8 bits, or 16 bits without a sign.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_sentence(case):
    data, said = REFUSED[case]
    assert refusal(data) == said


def test_the_cases_are_what_they_say():
    for case, frames in (("animated PNG", 2), ("pages", 2)):
        with Image.open(io.BytesIO(REFUSED[case][0])) as image:
            assert image.n_frames == frames
    assert [mode(REFUSED[case][0]) for case in ("floats", "32 bits")] == ["F", "I"]
    assert read_upload(NOISE, 8).std() > 0.01  # whole, it is one


def test_a_png_of_20000_by_20000_pixels_is_refused_before_it_is_decoded(monkeypatch):
    assert zlib.decompress(zeros(3_000_000)) == bytes(3_000_000)
    data = png(20_000, 20_000, zeros(20_000 * 20_001))
    assert len(data) < 500_000
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image.size))
    said = refusal(data)
    assert said == "The uploaded file is a PNG image of more than 178,956,970 pixels; accepted are at most 40,000,000."
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # without Pillow's own limit
    said = refusal(data)
    assert said == "The uploaded file is a PNG image of 20000×20000 pixels; accepted are at most 40,000,000."
    assert decoded == []


@pytest.mark.parametrize(
    ("width", "height"),
    [(10_000, 10_000), (7000, 6000)],  # Pillow warns of the first, and takes the second
)
def test_fewer_pixels_that_are_still_too_many_are_named(width, height, recwarn):
    said = refusal(png(width, height, zeros(1000)))
    assert said == f"The uploaded file is a PNG image of {width}×{height} pixels; accepted are at most 40,000,000."
    assert not recwarn


def test_the_limits_are_inclusive():
    data = file(COLOUR)
    assert read_upload(data, 8, max_pixels=64, max_bytes=len(data)).shape == (8, 8, 3)
    assert refusal(data, max_pixels=63) == "The uploaded file is a PNG image of 8×8 pixels; accepted are at most 63."
    least = len(data) - 1
    assert refusal(data, max_bytes=least) == f"The uploaded file has {least + 1} bytes; accepted are at most {least}."
    assert refusal(bytes(10_000_001)) == "The uploaded file has 10,000,001 bytes; accepted are at most 10,000,000."


def test_text_hidden_in_a_png_is_not_unpacked_without_limit():
    bomb = chunk(b"zTXt", b"a\0\0" + zeros(100 * 2**20))
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in RAMP))
    assert read_upload(png(8, 8, rows), 8, channels=1).any()
    tracemalloc.start()
    assert "PNG image that is damaged" in refusal(png(8, 8, rows, before=bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


# --- anything at all

WHOLE = {
    "PNG": file(COLOUR),
    "BMP": file(COLOUR, "BMP"),
    "TIFF": file(COLOUR, "TIFF"),
    "LZW": file(COLOUR, "TIFF", compression="tiff_lzw"),
    "JPEG": file(COLOUR, "JPEG"),
}


def attempt(data):
    """Return (image, "") or (None, the sentence with which it was refused); any other exception goes on."""
    try:
        return read_upload(data, 8, max_pixels=10_000), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("kind", WHOLE)
def test_cut_anywhere_it_is_the_whole_image_or_refused(kind):
    data, refused = WHOLE[kind], 0
    whole, _ = attempt(data)
    for length in range(len(data)):
        got, said = attempt(data[:length])
        if said:
            assert said.endswith(f"{FORMATS}.")
            refused += 1
        else:
            np.testing.assert_array_equal(got, whole)
    assert refused > len(data) // 2


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_anywhere_it_is_an_image_or_refused(kind, damage):
    data = bytearray(WHOLE[kind])
    for place, value in damage:
        data[place % len(data)] = value
    got, said = attempt(data)
    if said:
        assert said.startswith("The uploaded file ")
        assert "\n" not in said
    else:
        assert got.shape == (8, 8, 3)
        assert 0 <= got.min() <= got.max() <= 1


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"])
)
def test_any_bytes_are_refused(content, beginning):
    refusal(beginning + content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be a whole number from 1 to 4096, got 0"),
        ({"size": (8, 8)}, r"size must be a whole number from 1 to 4096, got \(8, 8\)"),
        ({"channels": 4}, "channels must be 1 or 3, got 4"),
        ({"max_bytes": 0}, "max_bytes must be a whole number of at least 1, got 0"),
        ({"max_pixels": None}, "max_pixels must be a whole number of at least 1, got None"),
        ({"data": "a.png"}, "data must be the bytes of an image file, got str"),
    ],
)
def test_arguments_that_do_not_fit_are_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        read_upload(**{"data": WHOLE["PNG"], "size": 8, **arguments})
