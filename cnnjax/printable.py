"""Text from files and from users, made safe to show on a terminal or a page."""

import sys

_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: object) -> str:
    r"""``text`` on one line, with control and invisible characters escaped.

    Control characters (an escape sequence can recolor a terminal, retitle it, or erase
    what it shows), line ends, marks that reverse the direction of writing, and
    surrogates become ``\x1b``, ``\n``, ``\u202e`` and so on. Letters and symbols of any
    language stay. A backslash stays too, so the result is for people, not for parsers.

    Example::

        >>> printable("a\x1b[31m\nb")
        'a\\x1b[31m\\nb'
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def warn(text: str) -> None:
    """Prints a sentence on standard error."""
    print(f"cnnjax: {printable(text)}", file=sys.stderr)


def _escape(character: str) -> str:
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
