"""Checks of an augmentation's arguments, and of the images that it is given."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from cnnjax.config.rules import Rule
from cnnjax.errors import ConfigError, wrong_value

Augmentation = Callable[[Any, jax.Array], jax.Array]
"""From a random key and one image ``(*spatial, channels)`` to an image."""


def check_number(name: str, value: Any, rule: Rule) -> None:
    """Refuses what is not a number that ``rule`` allows.

    Raises:
        ConfigError: names the argument, its value and what was expected.
    """
    if type(value) not in (int, float) or not rule.allows(value):
        raise ConfigError(str(wrong_value(name, value, rule.expected)))


def check_whole(name: str, value: Any, rule: Rule) -> None:
    """Refuses what is not a whole number that ``rule`` allows.

    Raises:
        ConfigError: names the argument, its value and what was expected.
    """
    if type(value) is not int or not rule.allows(value):
        raise ConfigError(str(wrong_value(name, value, rule.expected)))


def check_range(name: str, value: Any, rule: Rule) -> None:
    """Refuses what is not two numbers, ``(lowest, highest)``, that ``rule`` allows.

    Raises:
        ConfigError: names the argument, its value and what was expected.
    """
    pair = isinstance(value, tuple | list) and len(value) == 2
    good = pair and all(type(v) in (int, float) and rule.allows(v) for v in value)
    if not good or value[0] > value[1]:
        expected = f"(lowest, highest), each {rule.expected}"
        raise ConfigError(str(wrong_value(name, value, expected)))


def check_word(name: str, value: Any, words: Sequence[str]) -> None:
    """Refuses what is not one of a few words.

    Raises:
        ConfigError: names the argument, its value and the words.
    """
    if value not in words:
        raise ConfigError(str(wrong_value(name, value, " or ".join(words))))


def happens(key: Any, probability: float) -> jax.Array:
    """Whether something with this probability happens."""
    return jax.random.bernoulli(key, float(probability))


def check_axes(name: str, shape: Sequence[int], axes: Sequence[int]) -> None:
    """Refuses images with another number of spatial axes.

    Args:
        name: of the augmentation.
        shape: of an image, ``(*spatial, channels)``.
        axes: the numbers of spatial axes that it works for.

    Raises:
        ConfigError: names the image's shape and axes.
    """
    if len(shape) - 1 not in axes:
        raise ConfigError(
            f"{name} needs images with {' or '.join(map(str, axes))} spatial axes, and"
            f" these have {len(shape) - 1}: their shape is {tuple(shape)}; leave it out"
        )


def check_channels(name: str, channels: int) -> None:
    """Refuses images that are neither gray nor in color.

    Raises:
        ConfigError: names the number of channels.
    """
    if channels not in (1, 3):
        raise ConfigError(
            f"{name} needs images with 1 channel (gray) or 3 (red, green, blue), and"
            f" these have {channels}; leave it out"
        )


def check_below_size(name: str, value: float, sizes: Sequence[int]) -> None:
    """Refuses a number of pixels that reaches across the image.

    Raises:
        ConfigError: names the number and the image's size.
    """
    if value >= min(sizes):
        raise ConfigError(
            str(wrong_value(name, value, f"less than the images' size {tuple(sizes)}"))
        )
