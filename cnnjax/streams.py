"""Output for people: text made safe to show, and streams that cannot end a run.

Results go to files. People may close the terminal, pipe the output to ``head``, or
start a run without any output at all; it continues all the same.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
STANDARD = (0, 1, 2)
# A pipe without a reader, a terminal that was closed, a number that is not open.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)


def use_utf8() -> None:
    """Restarts this program in Python's UTF-8 mode where the locale is not UTF-8.

    The libraries that write checkpoints treat every name as UTF-8; with another
    encoding, they would write to a different folder than Python. Where the encoding is
    UTF-8, this does nothing.
    """
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8"):
        return
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, os.environ | {"PYTHONUTF8": "1"})


def prepare() -> None:
    """Makes standard output and error accept any text, and replaces closed ones.

    Call it before any file is opened: a file opened while standard error is closed
    would get its number, and with it everything that libraries print.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            _point_to_nothing(number)
    sys.stdout = _open(sys.stdout)
    sys.stderr = cast(TextIO, Lasting(_open(sys.stderr)))


def _open(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        # A locale or PYTHONIOENCODING may lack characters that paths have.
        stream.reconfigure(errors="backslashreplace")
    return stream


class Lasting:
    """A stream to which writing never fails.

    Text that cannot be written now, such as on a full disk, is dropped or written
    later. Once the stream has no reader, the rest goes to the null device, so that
    Python does not complain at exit.

    Args:
        stream: what to write to.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes as much of a text as possible."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Passes on as much of what was written as possible."""
        self._try(self._stream.flush)

    def finish(self) -> None:
        """Tries once more to write what is left, and drops the rest."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            give_up(self._stream)

    def _try(self, do: Callable[..., Any], *args: str) -> None:
        try:
            do(*args)
        except OSError as error:
            if error.errno in _GONE:
                give_up(self._stream)
        except ValueError:  # a closed file
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Makes standard output a ``Lasting`` stream."""
    stream = Lasting(sys.stdout)
    try:
        with contextlib.redirect_stdout(cast(TextIO, stream)):
            yield
    finally:
        stream.finish()


def give_up(stream: TextIO) -> None:
    """Redirects a stream that cannot be written, and its buffer, to the null device."""
    with contextlib.suppress(OSError, ValueError):
        _point_to_nothing(stream.fileno())
        stream.flush()


def _point_to_nothing(number: int) -> None:
    """Opens the null device under a file descriptor, whatever was open there."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(null, number)
        os.close(null)


def printable(text: object) -> str:
    r"""``text`` on one line, with control and invisible characters escaped.

    Control characters (an escape sequence can recolor a terminal, retitle it, or erase
    what it shows), line ends, marks that reverse the direction of text, and surrogates
    become ``\x1b``, ``\n``, ``\u202e`` and so on. Letters and symbols of any
    language stay. A backslash stays too, so the result is for people, not for parsers.

    Example::

        >>> printable("a\x1b[31m\nb")
        'a\\x1b[31m\\nb'
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def warn(text: str) -> None:
    """Prints a warning on standard error."""
    print(f"cnnjax: {printable(text)}", file=sys.stderr)


def tell_error(error: Exception) -> None:
    """Prints on standard error why a command failed."""
    print(f"cnnjax: error: {printable(error)}", file=sys.stderr)


def _escape(character: str) -> str:
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
