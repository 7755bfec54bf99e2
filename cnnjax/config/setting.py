"""What is said about one setting."""

from typing import Any, NamedTuple

from cnnjax.config.rules import Rule

OPTION = ...
"""Stands for the default of an option, which the chosen model or optimizer decides."""


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: with its section, such as ``"data.flip"``.
        kind: its type; ``None`` where the chosen model decides.
        default: its value where a config does not change it; ``OPTION`` for an option
            of an open section. Where the default is ``None``, a config may say so too.
        rule: what its values may be.
        unit: what the number counts.
        sentence: what it is.
    """

    name: str
    kind: type | None
    default: Any
    rule: Rule
    unit: str
    sentence: str

    @property
    def expected(self) -> str:
        """What its values may be, in words."""
        return self.rule.expected + (", or None" if self.default is None else "")
