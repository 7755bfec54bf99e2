"""Writes the table of settings into a Markdown page, between two marks.

``python -m cnnjax.config.page docs/configuration.md``
"""

import sys
from pathlib import Path

from cnnjax.config.listing import values_of
from cnnjax.config.setting import OPTION, Setting
from cnnjax.config.settings import SETTINGS

BEGIN = "<!-- written by python -m cnnjax.config.page -->\n"
END = "<!-- end of what it writes -->\n"


def with_table(page: str) -> str:
    """The page with the current table of settings.

    Args:
        page: Markdown with a line ``BEGIN`` and a line ``END``.

    Raises:
        ValueError: a page without the two lines.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}; add them")
    return f"{before}{begin}{table()}{end}{after}"


def table() -> str:
    """The settings as a Markdown table."""
    head = "| setting | default | meaning | values |\n|---|---|---|---|\n"
    return head + "".join(map(_row, SETTINGS))


def _row(setting: Setting) -> str:
    default = "" if setting.default is OPTION else f"`{setting.default!r}`"
    sentence, values = setting.sentence, values_of(setting)
    return f"| `{setting.name}` | {default} | {sentence} | {values} |\n"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
