"""A config with every setting at its default, and what may be set in it."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from cnnjax.config.setting import OPTION
from cnnjax.config.settings import BY_NAME, SETTINGS
from cnnjax.errors import ConfigError, wrong_value

Config: TypeAlias = Any
"""A locked ``ConfigDict``, whose attributes no type checker can know."""

OPEN_SECTIONS = ("model", "optimizer")
"""Further keys here are options of the chosen model or optimizer, which checks them."""

RENAMED_SETTINGS: dict[str, str] = {"reporters": "report"}
"""Settings that had another name: the old dotted name, and the new one."""

RENAMED = {("backend", "onednn"): "native"}
"""Values that had another name: the setting and the old name, and the new name."""


def default_config() -> Config:
    """Every setting with its default; new keys are refused."""
    config: Config = ConfigDict()
    for setting in SETTINGS:
        if setting.default is OPTION:
            continue
        *path, key = setting.name.split(".")
        section = config
        for part in path:
            if part not in section:
                section[part] = ConfigDict()
            section = section[part]
        default = setting.default
        section[key] = placeholder(setting.kind) if default is None else default
    config.lock()
    for section in OPEN_SECTIONS:
        config[section].unlock()
    return config


def validate(config: Config) -> None:
    """Checks each value against its setting's rule.

    Raises:
        ConfigError: the first value that is not allowed.
    """
    for setting in SETTINGS:
        value = find(config, setting.name)
        if value is None or setting.rule.allows(value):
            continue
        if isinstance(value, str) and (setting.name, value) in RENAMED:
            new = RENAMED[setting.name, value]
            raise ConfigError(
                f"{setting.name} is {value!r}, which is called {new!r} now"
            )
        raise ConfigError(str(wrong_value(setting.name, value, setting.expected)))


def find(config: Config, name: str) -> Any:
    """The setting called by the dotted ``name``, ``None`` where there is none."""
    for key in name.split("."):
        if key not in config:
            return None
        config = config[key]
    return config


def kind_of(name: str) -> type | None:
    """The type of a setting or section, ``None`` where the chosen part decides.

    It does not depend on the value that a config gives an option: 0 for an option that
    takes any number does not make it a whole number.
    """
    if name in BY_NAME:
        return BY_NAME[name].kind
    is_section = any(known.startswith(f"{name}.") for known in BY_NAME)
    return ConfigDict if is_section else None


def flatten(tree: Mapping, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Each setting of nested sections with its dotted name."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
