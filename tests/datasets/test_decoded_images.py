"""Image files of any mode and size become bytes of one size, once; what is no image is named, not fatal."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdlab.datasets import decoded_images
from kdlab.datasets.decoded_images import decode, decode_files, used_range

SIZE = (6, 9)  # height, width
RAMP = (np.arange(54, dtype=np.uint8) * 4).reshape(SIZE)
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP[::-1]], axis=-1)
ALPHA = np.where(np.arange(54).reshape(SIZE) % 2, 255, 0).astype(np.uint8)  # every other pixel is transparent


def saved(folder, pixels, name="a.png", mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    image.save(folder / name, **options)
    return folder / name


def mode(path):
    with Image.open(path) as image:
        return image.mode


def palette(transparent=None):
    """Twelve colours of a palette, the index running along the pixels; and the array of what they show."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)
    indices = (np.arange(54) % 12).astype(np.uint8).reshape(SIZE)
    image = Image.fromarray(indices, "L")
    image.putpalette(colours.ravel().tolist())
    shown = colours[indices]
    if transparent is not None:
        image.info["transparency"] = transparent
        shown = np.where((indices == transparent)[..., None], 0, shown)
    return image, shown


# --- modes: the pixels, against arithmetic


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.PNG"])
def test_grey_and_colour_stay_what_they_are(tmp_path, name):
    for pixels, expected, grey in ((RAMP, np.stack([RAMP] * 3, -1), True), (COLOUR, COLOUR, False)):
        got, _, is_grey, _ = decode(saved(tmp_path, pixels, name), SIZE, 3)
        np.testing.assert_array_equal(got, expected)
        assert (got.dtype, is_grey) == (np.uint8, grey)


def test_one_channel_of_colour_is_its_brightness(tmp_path):
    got, _, grey, _ = decode(saved(tmp_path, COLOUR), SIZE, 1)
    assert (got.shape, grey) == ((*SIZE, 1), False)
    np.testing.assert_allclose(got[..., 0], COLOUR @ [0.299, 0.587, 0.114], atol=1)
    np.testing.assert_array_equal(decode(saved(tmp_path, RAMP), SIZE, 1)[0][..., 0], RAMP)


def test_what_is_transparent_becomes_black(tmp_path):
    shown = (ALPHA > 0)[..., None]
    got = decode(saved(tmp_path, np.dstack([COLOUR, ALPHA])), SIZE, 3)[0]
    np.testing.assert_array_equal(got, COLOUR * shown)
    got, _, grey, _ = decode(saved(tmp_path, np.dstack([RAMP, ALPHA])), SIZE, 3)
    np.testing.assert_array_equal(got, RAMP[..., None] * shown * np.ones(3))
    assert grey
    half = np.dstack([COLOUR, np.full(SIZE, 128, np.uint8)])
    np.testing.assert_allclose(decode(saved(tmp_path, half), SIZE, 3)[0], COLOUR * (128 / 255), atol=1)


@pytest.mark.parametrize("transparent", [None, 5])
def test_a_palette_is_looked_up(tmp_path, transparent):
    image, shown = palette(transparent)
    assert image.mode == "P"
    np.testing.assert_array_equal(decode(saved(tmp_path, image), SIZE, 3)[0], shown)


def test_sixteen_bits_become_eight_over_the_full_range(tmp_path):
    values = np.linspace(0, 65535, 54).astype(np.uint16).reshape(SIZE)
    path = saved(tmp_path, values)
    assert mode(path).startswith("I")
    got, _, grey, _ = decode(path, SIZE, 3)
    np.testing.assert_array_equal(got, np.rint(values / 65535 * 255)[..., None] * np.ones(3))
    assert grey


def deep(folder, tops, suffix=".png", kind=np.uint16):
    """A file for each number: RAMP stretched so that its brightest pixel, 212, is that number."""
    return [
        saved(folder, (RAMP.astype(np.float64) * top / RAMP.max()).astype(kind), f"{k}{suffix}")
        for k, top in enumerate(tops)
    ]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("tops", "white"), [([900, 400], 1023), ([4095, 1000], 4095), ([9000], 16383), ([200], 255)])
def test_sixteen_bits_become_eight_over_the_bits_that_all_files_use(tmp_path, cache, suffix, tops, white):
    paths = deep(tmp_path, tops, suffix)
    decoded = decode_files(paths, tmp_path, SIZE)
    assert decoded.notes == [
        f"Images with grey values of more than 8 bits: {len(tops)}. 0 to {white}, over all of them, became 0 to 255."
    ]
    for pixels, path in zip(decoded.pixels[..., 0], paths, strict=True):
        with Image.open(path) as image:
            np.testing.assert_array_equal(pixels, np.rint(np.asarray(image, float) * 255 / white))
    assert decode_files(paths, tmp_path, SIZE).notes == decoded.notes  # from the cache


def test_images_of_eight_bits_beside_deep_ones_stay_what_they_are(tmp_path, cache):
    paths = [saved(tmp_path, COLOUR, "a.png"), *deep(tmp_path, [4095]), saved(tmp_path, RAMP, "b.png")]
    decoded = decode_files(paths, tmp_path, SIZE)
    np.testing.assert_array_equal(decoded.pixels[0], COLOUR)
    np.testing.assert_array_equal(decoded.pixels[2, ..., 0], RAMP)
    assert decoded.pixels[1].max() == 255
    assert decoded.notes[0].startswith("Images with grey values of more than 8 bits: 1. 0 to 4095,")


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(np.float32, 0, 1), (np.float32, -2.5, 40), (np.int32, -1024, 3071), (np.int32, 5, 10**6)]
)
def test_numbers_without_a_fixed_range_become_bytes_over_the_range_that_occurs(tmp_path, cache, kind, low, high):
    values = np.linspace(low, high, 54).astype(kind).reshape(SIZE)
    paths = [saved(tmp_path, values, "a.tif"), saved(tmp_path, values[::-1] // 2, "b.tif")]
    if kind is np.int32 and low >= 0:
        low, high = 0, 2**20 - 1
    decoded = decode_files(paths, tmp_path, SIZE)
    np.testing.assert_allclose(decoded.pixels[0, ..., 0], (values.astype(float) - low) * 255 / (high - low), atol=0.501)
    assert f"{low:g} to {high:g}" in decoded.notes[0]


def test_values_that_are_not_finite_are_named(tmp_path, cache):
    values = np.ones(SIZE, np.float32)
    values[2, 3] = np.nan
    paths = [saved(tmp_path, values, "a.tif"), *deep(tmp_path, [1], ".tif", np.float32)]
    decoded = decode_files(paths, tmp_path, SIZE)
    assert decoded.skipped == {0: "it holds values that are not finite"}
    assert decoded.pixels[1].max() == 255


@given(
    values=st.lists(st.integers(0, 65535), min_size=4, max_size=4), other=st.lists(st.integers(0, 65535), min_size=4)
)
def test_the_used_range_holds_all_values_in_the_fewest_bits(values, other):
    low, high = used_range([np.array(values, np.uint16), np.array(other, np.uint16)])
    most = max(*values, *other)
    assert low == 0
    assert high >= most
    assert high == 255 or high // 2 < most
    assert (high + 1).bit_count() == 1


def png_of_sixteen_bits_in_colour(path, values):
    """Write uint16 (height, width, 3), which Pillow does not write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = png(values.shape[1], values.shape[0], rows)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    path.write_bytes(content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:])
    return path


def test_what_is_lost_of_sixteen_bits_in_colour_is_said_and_makes_no_duplicates(tmp_path, cache):
    values = np.multiply.outer(np.arange(54).reshape(SIZE), [40, 50, 60]).astype(np.uint16)
    paths = [png_of_sixteen_bits_in_colour(tmp_path / f"{k}.png", values + k) for k in (0, 1)]
    decoded = decode_files(paths, tmp_path, SIZE)
    np.testing.assert_array_equal(decoded.pixels[0], values >> 8)
    assert decoded.notes == ["Images in colour with 16 bits per channel, of which the lower 8 were not read: 2."]
    assert decoded.digests[0] != decoded.digests[1]


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = RAMP > 100
    got, _, grey, _ = decode(saved(tmp_path, bits), SIZE, 1)
    np.testing.assert_array_equal(got[..., 0], 255 * bits)
    assert grey


def test_cmyk_is_converted(tmp_path):
    ink = np.zeros((*SIZE, 4), np.uint8)
    ink[..., 1] = 255  # magenta: no green
    path = saved(tmp_path, Image.fromarray(ink, "CMYK"), "a.jpg", quality=100)
    assert mode(path) == "CMYK"
    np.testing.assert_allclose(decode(path, SIZE, 3)[0], np.broadcast_to([255, 0, 255], (*SIZE, 3)), atol=4)


def test_jpeg_is_near_the_pixels(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    got = decode(saved(tmp_path, smooth, "a.JPG", quality=95), (64, 96), 1)[0]
    np.testing.assert_allclose(got[..., 0], smooth, atol=4)


# --- size and direction


@pytest.mark.parametrize("size", [(4, 8), (8, 4), (1, 1), (40, 20)])
def test_any_size_is_stretched_to_height_and_width(tmp_path, size):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :, 0], pixels[:, :15, 1] = 200, 100  # red above, green on the left
    got = decode(saved(tmp_path, pixels), size, 3)[0].astype(int)
    assert got.shape == (*size, 3)
    np.testing.assert_allclose(got.mean(axis=(0, 1)), [100, 50, 0], atol=2)
    if size != (1, 1):
        height, width = size[0] // 4, size[1] // 4
        assert (got[:height, :, 0] == 200).all()
        assert (got[-height:, :, 0] == 0).all()
        assert (got[:, :width, 1] == 100).all()


def test_an_image_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    got = decode(saved(tmp_path, RAMP, exif=exif), (9, 6), 1)[0]
    np.testing.assert_array_equal(got[..., 0], np.rot90(RAMP, -1))


# --- the content's name


def test_the_same_pixels_have_one_name_whatever_the_file(tmp_path):
    image, shown = palette()
    same = [
        [
            saved(tmp_path, RAMP, "1.png"),
            saved(tmp_path, np.stack([RAMP] * 3, -1), "2.png"),
            saved(tmp_path, RAMP, "3.bmp"),
        ],
        [
            saved(tmp_path, image, "4.png"),
            saved(tmp_path, shown, "5.bmp"),
            saved(tmp_path, shown, "6.png", optimize=True),
        ],
        [saved(tmp_path, RAMP.reshape(9, 6), "7.png")],
        [saved(tmp_path, np.where(RAMP == 0, 1, RAMP).astype(np.uint8), "8.png")],
    ]
    for size, channels in (((2, 2), 1), ((2, 2), 3), (SIZE, 3)):
        names = [{decode(path, size, channels)[1] for path in group} for group in same]
        assert [len(name) for name in names] == [1, 1, 1, 1]
        assert len(set.union(*names)) == 4


@pytest.mark.parametrize("kind", ["deep", "deep tif", "float", "transparent", "grey and transparent"])
def test_images_that_differ_only_before_they_are_rounded_have_two_names(tmp_path, kind):
    if kind.startswith("deep"):
        pixels = [np.full(SIZE, value, np.uint16) for value in (2000, 2001)]
    elif kind == "float":
        pixels = [np.full(SIZE, value, np.float32) for value in (0.5, 0.5000001)]
    else:
        colour = COLOUR if kind == "transparent" else RAMP
        pixels = [np.dstack([part, np.full(SIZE, 1, np.uint8)]) for part in (colour, colour // 2)]
    suffix = ".png" if kind in ("deep", "transparent", "grey and transparent") else ".tif"
    paths = [saved(tmp_path, part, f"{k}{suffix}") for k, part in enumerate(pixels)]
    first, second = (decode(path, SIZE, 3, span=(0, 65535) if "deep" in kind else None) for path in paths)
    assert np.abs(first[0].astype(int) - second[0]).max() <= 1
    assert first[1] != second[1]


def test_the_same_image_in_more_bits_or_beside_transparency_has_one_name(tmp_path):
    clear = np.where(ALPHA > 0, RAMP, 0).astype(np.uint8)
    hidden = np.dstack([np.where(ALPHA > 0, RAMP, 99).astype(np.uint8), ALPHA])  # 99 is not to be seen
    for first, second in (
        ((RAMP, "1.png"), (RAMP.astype(np.uint16) * 257, "2.png")),
        ((RAMP.astype(np.uint16) * 16, "3.png"), (RAMP.astype(np.uint16) * 16, "4.tif")),
        ((RAMP, "5.png"), (np.dstack([RAMP] * 3 + [np.full(SIZE, 255, np.uint8)]), "6.webp")),
        ((clear, "7.bmp"), (hidden, "8.png")),
    ):
        options = {"lossless": True} if second[1].endswith("webp") else {}
        assert decode(saved(tmp_path, *first), SIZE, 1)[1] == decode(saved(tmp_path, *second, **options), SIZE, 1)[1]


# --- what is no image


def png(width, height, body=b""):
    """The bytes of a grey PNG that says it is so large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def test_the_hand_made_png_is_one(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in RAMP)
    (tmp_path / "a.png").write_bytes(png(9, 6, rows))
    np.testing.assert_array_equal(decode(tmp_path / "a.png", SIZE, 1)[0][..., 0], RAMP)


@pytest.fixture
def bad_files(tmp_path):
    """Path → what is said of it."""
    Image.fromarray(COLOUR).resize((90, 60)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    bad = {
        "empty.png": (b"", "no image of a known kind"),
        "text.jpg": (b"this is no image", "no image of a known kind"),
        "cut.jpg": (whole[: 2 * len(whole) // 3], "truncated"),
        "cut.png": (png(600, 600, np.random.default_rng(0).bytes(600 * 601))[:50_000], "truncated|unrecognized data"),
        "huge.png": (png(50_000, 50_000), "2500000000 pixels"),  # Pillow's own refusal
        "large.png": (png(12_000, 9_000), "12000×9000 pixels, more than 89478485"),  # Pillow's warning
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "missing")
    (tmp_path / "whole.jpg").unlink()
    return {tmp_path / name: why for name, (_, why) in bad.items()} | {tmp_path / "nowhere.png": "No such file"}


def test_a_bad_file_is_refused_in_one_line(bad_files, recwarn):
    for path, why in bad_files.items():
        if path.name != "large.png":  # opened on its own it also makes Pillow warn
            with pytest.raises(ValueError, match=why) as caught:
                decode(path, SIZE, 3)
            assert "\n" not in str(caught.value)


def test_bad_files_are_skipped_and_named_and_the_others_read(tmp_path, bad_files, cache):
    paths = [*bad_files, saved(tmp_path, RAMP, "good.png")]
    decoded = decode_files(paths, tmp_path, SIZE)
    assert sorted(decoded.skipped) == list(range(len(bad_files)))
    for row, why in decoded.skipped.items():
        assert why
        assert re.search(bad_files[paths[row]], why)
    assert decoded.digests[:-1] == [""] * len(bad_files)
    assert decoded.digests[-1]
    assert decoded.pixels.shape == (len(paths), *SIZE, 1)
    np.testing.assert_array_equal(decoded.pixels[-1, ..., 0], RAMP)


# --- the cache


@pytest.fixture
def three(tmp_path):
    return [saved(tmp_path, RAMP // (k + 1), f"{k}.png") for k in range(3)]


@pytest.fixture
def count(monkeypatch):
    """The names of the files that were decoded."""
    names, real = [], decoded_images.decode

    def counted(path, *args, **kwargs):
        names.append(path.name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(decoded_images, "decode", counted)
    return names


def kept(cache):
    return sorted(path.name for path in (cache / "decoded").iterdir())


def test_files_are_decoded_once(tmp_path, three, cache, count):
    first = decode_files(three, tmp_path, SIZE)
    assert sorted(count) == ["0.png", "1.png", "2.png"]
    second = decode_files(three, tmp_path, SIZE)
    assert len(count) == 3
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.digests, first.skipped) == (second.digests, second.skipped)
    np.testing.assert_array_equal(second.pixels[1, ..., 0], RAMP // 2)


def test_another_size_or_number_of_channels_is_another_entry(tmp_path, three, cache, count):
    shapes = [
        decode_files(three, tmp_path, size, channels).pixels.shape for size in (SIZE, (2, 2)) for channels in (1, 3)
    ]
    assert shapes == [(3, *SIZE, 1), (3, *SIZE, 3), (3, 2, 2, 1), (3, 2, 2, 3)]
    assert len(count) == 12
    for size in (SIZE, (2, 2)):
        decode_files(three, tmp_path, size, 3)
    assert len(count) == 12


@pytest.mark.parametrize("change", ["content", "time", "rights", "name", "fewer"])
def test_a_changed_file_is_decoded_anew_and_the_old_entry_is_gone(tmp_path, three, cache, count, change):
    decode_files(three, tmp_path, SIZE)
    before = kept(cache)
    state = three[1].stat()
    if change == "content":
        saved(tmp_path, np.stack([RAMP] * 3, -1), "1.png")
        os.utime(three[1], ns=(state.st_atime_ns, state.st_mtime_ns))  # only the size tells
    elif change == "time":
        os.utime(three[1], ns=(state.st_atime_ns, state.st_mtime_ns + 1000))
    elif change == "rights":
        three[1].chmod(0o600 if state.st_mode & 0o777 != 0o600 else 0o640)
    elif change == "name":
        three[1] = three[1].rename(tmp_path / "other.png")
    else:
        three.pop()
    assert len(decode_files(three, tmp_path, SIZE).digests) == len(three)
    assert len(count) == 3 + len(three)
    assert len(kept(cache)) == 1
    assert not set(before) & set(kept(cache))


@pytest.mark.parametrize("place", [0, 3, 6, None])
def test_channels_follow_from_all_files_wherever_the_coloured_one_is(tmp_path, cache, place):
    paths = [
        saved(tmp_path, COLOUR if k == place else np.stack([RAMP] * 3, -1) if k % 2 else RAMP, f"{k}.png")
        for k in range(7)
    ]
    decoded = decode_files(paths, tmp_path, SIZE)
    assert decoded.pixels.shape == (7, *SIZE, 1 if place is None else 3)
    three_channels = decode_files(paths, tmp_path, SIZE, 3)
    assert decoded.digests == three_channels.digests
    np.testing.assert_array_equal(np.broadcast_to(decoded.pixels, (7, *SIZE, 3)), three_channels.pixels)
