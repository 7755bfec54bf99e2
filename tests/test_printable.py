"""Names that others chose, as they are shown."""

import pytest

from cnnjax.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the same as ESC [ in one character
        ("a\nb\r\tc\x00\x08\x7f", r"a\nb\r\tc\x00\x08\x7f"),
        ("a\u2028b\x85c\x0bd\x0ce", r"a\u2028b\x85c\x0bd\x0ce"),
        ("\u202egpj.exe\u2066\u2069", r"\u202egpj.exe\u2066\u2069"),
        ("\udce9 \ud800", r"\udce9 \ud800"),
        ("\U000e0041", r"\U000e0041"),  # an invisible tag
        ("Größe 数据 🙂 [red] a\\b", "Größe 数据 🙂 [red] a\\b"),
    ],
)
def test_what_acts_or_hides_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


def test_every_character_gives_one_line_that_a_terminal_takes():
    text = printable("".join(map(chr, range(0x110000))))
    assert text.isprintable()
    assert len(text.splitlines()) == 1
    assert text.encode()


def test_errors_and_numbers_are_shown_as_text():
    assert printable(ValueError("a\x1bb")) == r"a\x1bb"
    assert printable(3) == "3"
