"""A sheet of pictures with captions, in parts with headings."""

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from cnnjax.streams import printable

FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf")
"""Tried in this order; Pillow's own font, the last resort, has few characters."""
WIDTH, MARGIN, GAP = 1140, 16, 12
NARROWEST = 128
"""The smallest width of a caption in pixels, however narrow its picture is."""
TITLE, HEADING, TEXT, CAPTION = 20, 16, 13, 13
"""Sizes of the fonts, in pixels."""


class Part(NamedTuple):
    """Pictures under a heading.

    Attributes:
        heading: one line.
        text: sentences below it.
        pictures: all of the same size.
        captions: the lines under each picture, the same number for each.
    """

    heading: str
    text: str
    pictures: Sequence[Image.Image]
    captions: Sequence[Sequence[str]]


def draw_sheet(title: str, text: str, parts: Sequence[Part]) -> Image.Image:
    """Draws a sheet: a title, some sentences, and the parts one below the other.

    Args:
        title: one line.
        text: sentences below it, wrapped to the width.
        parts: at least one.
    """
    # Drawn twice: the first time on an empty sheet, to find its height.
    height = _draw(Image.new("RGB", (WIDTH, 1)), title, text, parts)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    _draw(sheet, title, text, parts)
    return sheet


def as_png(sheet: Image.Image) -> bytes:
    """The content of a PNG file."""
    file = io.BytesIO()
    sheet.save(file, "png", optimize=True)
    return file.getvalue()


def has_glyphs(text: str) -> bool:
    """Whether the font of the captions has glyphs for all characters of a text."""
    missing = _glyph("\U0010fffe")
    return all(char == " " or _glyph(char) != missing for char in text)


def drawn_names(names: Sequence[str] | None, numbers: Sequence[str]) -> list[str]:
    """The names of classes as they can be drawn.

    Args:
        names: of the classes, if they have any.
        numbers: drawn in place of a name that is missing or has no glyphs.
    """
    return [
        name if has_glyphs(name) else number
        for name, number in zip(map(printable, names or numbers), numbers, strict=True)
    ]


@functools.cache
def _glyph(char: str) -> bytes:
    mask: Any = font_of(CAPTION).getmask(char)
    return bytes(mask)


def _draw(sheet: Image.Image, title: str, text: str, parts: Sequence[Part]) -> int:
    """Draws everything, and returns the height."""
    pen = ImageDraw.Draw(sheet)
    top = _write(pen, MARGIN, title, TITLE, "black")
    top = _write(pen, top + 4, text, TEXT, "#404040")
    for part in parts:
        top += GAP
        pen.line((MARGIN, top, WIDTH - MARGIN, top), "#c0c0c0")
        top = _write(pen, top + GAP, part.heading, HEADING, "black")
        if part.text:
            top = _write(pen, top + 2, part.text, TEXT, "#404040")
        top = _draw_pictures(sheet, pen, top + 8, part)
    return top + MARGIN


def _draw_pictures(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, top: int, part: Part
) -> int:
    """Draws rows of pictures, each above its caption; returns the bottom edge."""
    width, height = part.pictures[0].size
    cell = max(width, NARROWEST)
    columns = max(1, (WIDTH - 2 * MARGIN + GAP) // (cell + GAP))
    line = CAPTION + 4
    row_height = height + 4 + line * len(part.captions[0]) + GAP
    cells = zip(part.pictures, part.captions, strict=True)
    for number, (picture, caption) in enumerate(cells):
        row, column = divmod(number, columns)
        left, y = MARGIN + column * (cell + GAP), top + row * row_height
        sheet.paste(picture, (left, y))
        pen.rectangle((left - 1, y - 1, left + width, y + height), None, "#c0c0c0")
        for index, text in enumerate(caption):
            place = left, y + height + 4 + index * line
            pen.text(place, shorten(text, cell), "black", font_of(CAPTION))
    rows = -(-len(part.pictures) // columns)
    return top + rows * row_height - GAP


def _write(pen: ImageDraw.ImageDraw, top: int, text: str, size: int, color: str) -> int:
    """Writes text, wrapped to the sheet's width; returns the bottom edge."""
    font = font_of(size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= WIDTH - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    for number, line in enumerate(lines):
        pen.text((MARGIN, top + number * (size + 5)), line, color, font)
    return top + len(lines) * (size + 5)


def shorten(text: str, width: int) -> str:
    """The text as a caption, cut and ended with dots if it is wider than ``width``."""
    length: Callable[[str], float] = font_of(CAPTION).getlength
    if length(text) <= width:
        return text
    end = next(n for n in range(len(text), -1, -1) if length(text[:n] + "...") <= width)
    return text[:end].rstrip() + "..."


@functools.cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The first of ``FONTS`` that is installed, in a size in pixels."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found
