"""The description of one setting."""

from typing import Any, NamedTuple

from cnnjax.config.rules import Rule

OPTION = ...
"""Stands for the default of an option, which the chosen model or optimizer decides."""


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: with its section, such as ``"data.flip"``.
        kind: its type; ``None`` where the chosen model decides.
        default: its value if a config does not change it; ``OPTION`` for an option of
            an open section. If the default is ``None``, a config may set ``None``, too.
        rule: which values are valid.
        unit: the unit of the number.
        sentence: what it does.
    """

    name: str
    kind: type | None
    default: Any
    rule: Rule
    unit: str
    sentence: str

    @property
    def expected(self) -> str:
        """The valid values, in words."""
        return self.rule.expected + (", or None" if self.default is None else "")
