"""The sheet: nothing overlaps or leaves it, and captions fit."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cnnjax.report.sheet import WIDTH, Part, as_png, draw_sheet, has_glyphs


@pytest.fixture
def boxes(monkeypatch):
    """The boxes of all texts that are drawn."""
    found, text = [], ImageDraw.ImageDraw.text

    def draw(self, place, words, fill, font):
        found.append(self.textbbox(place, words, font))
        text(self, place, words, fill, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", draw)
    return found


def make_part(count, size, captions):
    picture = Image.new("RGB", size, "#204080")
    return Part("a heading", "some text", [picture] * count, [captions] * count)


@pytest.mark.parametrize("size", [(128, 128), (12, 120), (256, 40), (1, 1)])
def test_texts_neither_overlap_nor_leave_the_sheet(boxes, size):
    long = "a class with a name that no caption can hold"
    parts = [make_part(11, size, ["63% " + long, "37% cat"])] * 2
    sheet = draw_sheet("title", "many words " * 40, parts)
    drawn = boxes[len(boxes) // 2 :]  # the first half only found the height
    for number, (left, top, right, bottom) in enumerate(drawn):
        assert left >= 0 and right <= WIDTH and bottom <= sheet.height
        for other in drawn[:number]:
            apart = left >= other[2] or right <= other[0] or bottom <= other[1]
            assert apart or top >= other[3]
    pixels = np.asarray(sheet).reshape(-1, 3)
    blue = (pixels == (0x20, 0x40, 0x80)).all(axis=1).sum()
    assert blue == 22 * size[0] * size[1]  # no picture is covered


def test_a_png_file_holds_every_pixel():
    sheet = draw_sheet("title", "text", [make_part(3, (30, 20), ["a"])])
    assert (np.asarray(Image.open(io.BytesIO(as_png(sheet)))) == sheet).all()


def test_a_name_without_glyphs_is_known():
    assert has_glyphs("T-shirt 3")
    assert not has_glyphs("\U0010fffe")
