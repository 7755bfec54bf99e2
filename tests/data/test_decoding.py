"""Decoded image files against Pillow, step by step, and against arithmetic."""

import io

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.decoding import Decoding, decode, read_header
from cnnjax.data.random_part import random_box
from cnnjax.errors import DataError
from tests.support.data.pictures import picture

RANDOM = np.random.default_rng(0)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_a_file_of_the_right_size_is_kept_bit_for_bit():
    image = picture(RANDOM, 9, 13)
    for resize in ("crop", "squash", "pad"):
        found = decode(encoded(image), Decoding((9, 13), resize), "x")
        np.testing.assert_array_equal(found, np.asarray(image))


def test_crop_is_the_center_of_the_resized_image():
    image = picture(RANDOM, 60, 90)
    found = decode(encoded(image), Decoding((20, 20)), "x")
    expected = image.resize((30, 20), Image.Resampling.BILINEAR).crop((5, 0, 25, 20))
    np.testing.assert_array_equal(found, np.asarray(expected))
    found = decode(encoded(image), Decoding((20, 20), crop_fraction=0.5), "x")
    expected = image.resize((20, 20), Image.Resampling.BILINEAR, (30, 15, 60, 45))
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_squash_ignores_the_aspect_ratio():
    image = picture(RANDOM, 30, 90)
    found = decode(encoded(image), Decoding((16, 12), "squash"), "x")
    expected = image.resize((12, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_pad_shows_all_between_black_margins():
    image = Image.new("RGB", (80, 20), "white")
    found = decode(encoded(image), Decoding((10, 10), "pad"), "x")
    white = (found == 255).all((1, 2))
    assert white.tolist() == [False] * 4 + [True] * 2 + [False] * 4
    assert not found[~white].any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_orientation_is_applied(orientation):
    image = picture(RANDOM, 24, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "JPEG", exif=exif, quality=95)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: lambda x: np.rot90(x),
    }[orientation]
    expected = turn(stored)
    np.testing.assert_array_equal(decode(content, Decoding(), "x"), expected)
    assert read_header(content, "x").size == expected.shape[:2]


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same():
    image = picture(RANDOM, 400, 300)
    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({}, {"exif": exif}):
        content = encoded(image, "JPEG", quality=95, **options)
        whole = decode(encoded(Image.open(io.BytesIO(content)), **options), SMALL, "x")
        found = decode(content, SMALL, "x")
        assert found.shape == (40, 40, 3)
        assert np.abs(found.astype(int) - whole).mean() < 1.5


SMALL = Decoding((40, 40))


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, [255] * 3),
        ("L", 90, [90] * 3),
        ("RGB", (10, 20, 30), [10, 20, 30]),
        ("CMYK", (0, 255, 255, 0), [255, 0, 0]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), [255] * 3),
        ("LA", (40, 0), [255] * 3),
        ("I;16", 257 * 77, [77] * 3),
    ],
)
def test_modes_become_rgb(mode, color, expected):
    form = "TIFF" if mode in ("CMYK", "1") else "PNG"
    content = encoded(Image.new(mode, (5, 4), color), form)
    found = decode(content, Decoding(), "x")
    assert found.shape == (4, 5, 3) and found.dtype == np.uint8
    assert (found == expected).all()


def test_a_palette_s_transparent_color_is_shown_on_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.putpixel((1, 0), 1)
    content = encoded(image, transparency=0)
    found = decode(content, Decoding(), "x")
    assert found.tolist() == [[[255] * 3, [200, 100, 50]]]


def test_gray_keeps_16_bits_if_asked():
    values = RANDOM.integers(0, 65536, (6, 5)).astype(np.uint16)
    content = encoded(Image.fromarray(values))
    deep = Decoding(channels=1, deep=True)
    found = decode(content, deep, "x")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], values)
    assert read_header(content, "x").is_deep
    flat = decode(encoded(Image.new("L", (5, 6), 3)), deep, "x")
    assert (flat == 3 * 257).all()
    shallow = decode(content, Decoding(channels=1), "x")
    np.testing.assert_array_equal(shallow[..., 0], np.round(values / 257))


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (6, 6), color) for color in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(content, Decoding(), "x")[0, 0].tolist() == [255, 0, 0]


def test_a_box_is_taken_instead():
    image = picture(RANDOM, 40, 80)
    box = 0.25, 0.5, 0.75, 1.0
    found = decode(encoded(image), Decoding((10, 20)), "x", lambda aspect: box)
    expected = image.resize((20, 10), Image.Resampling.BILINEAR, (20, 20, 60, 40))
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_files_are_refused_or_whole(form):
    content = encoded(picture(RANDOM, 40, 30), form)
    for size in (0, 1, 10, len(content) // 2):
        with pytest.raises(DataError, match=r"^some.file cannot be read as an image: "):
            decode(content[:size], Decoding(), "some.file")


def test_programs_in_image_formats_are_not_run():
    """Pillow gives PostScript to an interpreter, if it may."""
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    with pytest.raises(DataError, match="it is none of BMP, GIF"):
        decode(content, Decoding(), "x")


@pytest.mark.parametrize("aspect", [0.2, 0.75, 1.0, 1.9, 20.0])
def test_random_parts_have_the_area_and_the_shape_that_was_asked_for(aspect):
    random = np.random.default_rng(0)
    boxes = np.array([random_box(random, aspect, 0.2, 0.6) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    assert boxes.min() >= 0 and boxes.max() <= 1
    ratio = (right - left) / (bottom - top) * aspect
    assert ratio.min() >= 3 / 4 - 1e-9 and ratio.max() <= 4 / 3 + 1e-9
    area = (right - left) * (bottom - top)
    if 0.75 <= aspect <= 4 / 3:  # every part fits
        assert area.min() >= 0.2 and area.max() <= 0.6
        np.testing.assert_allclose(
            np.quantile(area, [0.25, 0.5, 0.75]), [0.3, 0.4, 0.5], 0.05
        )


def test_floating_point_values_are_refused():
    values = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    content = encoded(Image.fromarray(values), "TIFF")
    for decoding in (Decoding(), Decoding(channels=1, deep=True)):
        with pytest.raises(DataError, match=r"^x cannot be read .*: its values"):
            decode(content, decoding, "x")
    assert not read_header(content, "x").is_gray


@pytest.mark.parametrize("marked", [False, True])
def test_headers_of_png_files_are_read_without_the_pixels(marked, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if marked else {}
    content = encoded(Image.new("RGB", (7, 4)), "PNG", **options)
    if not marked:
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", None)
    assert read_header(content, "a.png").size == ((7, 4) if marked else (4, 7))


def test_an_orientation_behind_the_pixels_of_a_png_file_counts():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("RGB", (7, 4)), exif=exif)
    start = content.index(b"eXIf") - 4
    length = int.from_bytes(content[start : start + 4], "big") + 12
    chunk, rest = content[start : start + length], content[:start]
    rest += content[start + length :]
    end = rest.index(b"IEND") - 4
    moved = rest[:end] + chunk + rest[end:]
    assert read_header(moved, "a.png").size == (7, 4)
    assert decode(moved, Decoding(), "a.png").shape == (7, 4, 3)
