"""The settings of a run: every one with its default, config files, overrides, JSON.

A config file defines ``get_config()``, which takes ``default_config()`` and changes
what it needs; the command line changes single settings after that.
"""

from cnnjax.config.defaults import Config, default_config, find, flatten

__all__ = ["Config", "default_config", "find", "flatten"]
