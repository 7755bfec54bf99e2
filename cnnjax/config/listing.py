"""The settings in words, for ``cnnjax config``."""

import textwrap
from collections.abc import Iterator

from cnnjax.config.defaults import Config, default_config, find, flatten
from cnnjax.config.setting import OPTION, Setting
from cnnjax.config.settings import BY_NAME, SETTINGS
from cnnjax.errors import show

_WIDTH = 88


def list_settings() -> str:
    """Every setting with its default, and what it may be."""
    return "\n".join(_describe(_default(setting), setting) for setting in SETTINGS)


def list_config(config: Config) -> str:
    """The settings of a config; those that were changed begin with ``*``."""
    return "\n".join(_lines(config))


def _lines(config: Config) -> Iterator[str]:
    defaults, order = default_config(), {name: i for i, name in enumerate(BY_NAME)}
    settings = flatten(config.to_dict())
    for name, value in sorted(
        settings, key=lambda pair: order.get(pair[0], len(order))
    ):
        setting = BY_NAME.get(name)
        line = f"{name} = {show(value)}"
        if value != find(defaults, name):
            line = f"* {line}"
            if setting and setting.default is not OPTION:
                line += f"  (default: {setting.default!r})"
        yield _describe(line, setting) if setting else f"{line}\n"


def _default(setting: Setting) -> str:
    if setting.default is OPTION:
        return f"{setting.name}  (default: the {setting.name.split('.')[0]}'s own)"
    return f"{setting.name} = {setting.default!r}"


def _describe(line: str, setting: Setting) -> str:
    text = f"{setting.sentence} Expected: {values_of(setting)}."
    sentence = textwrap.fill(text.replace("`", ""), _WIDTH - 4)
    return f"{line}\n{textwrap.indent(sentence, '    ')}\n"


def values_of(setting: Setting) -> str:
    """What the setting may be, with its unit."""
    return setting.expected + (f" (in {setting.unit})" if setting.unit else "")
