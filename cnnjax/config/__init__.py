"""The settings of a run: every one with its default, config files, overrides, JSON."""

from cnnjax.config.settings import Config, default_config

__all__ = ["Config", "default_config"]
