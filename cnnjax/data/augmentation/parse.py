"""Texts such as ``"random_crop(4, reflect)"``: the augmentations that they name."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cnnjax.data.augmentation.arguments import Augmentation
from cnnjax.data.augmentation.color import (
    make_autocontrast,
    make_blur,
    make_color_jitter,
    make_equalize,
    make_gray,
    make_invert,
    make_posterize,
    make_sharpness,
    make_solarize,
)
from cnnjax.data.augmentation.crop_flip import (
    AlternatingFlip,
    make_flip,
    make_random_crop,
    make_vertical_flip,
)
from cnnjax.data.augmentation.erase import make_cutout, make_erase
from cnnjax.data.augmentation.geometry import (
    make_affine,
    make_resized_crop,
    make_rotate,
    make_translate,
)
from cnnjax.data.augmentation.mix import Mixing, make_cutmix, make_mixup
from cnnjax.data.augmentation.policy import make_randaugment, make_trivialaugment
from cnnjax.data.normalization import Normalization
from cnnjax.errors import ConfigError, show, unknown_name

AUGMENTATIONS: dict[str, Callable[..., Augmentation | Mixing | AlternatingFlip]] = {
    "alternating_flip": AlternatingFlip,
    "affine": make_affine,
    "autocontrast": make_autocontrast,
    "blur": make_blur,
    "color_jitter": make_color_jitter,
    "cutmix": make_cutmix,
    "cutout": make_cutout,
    "equalize": make_equalize,
    "erase": make_erase,
    "flip": make_flip,
    "gray": make_gray,
    "invert": make_invert,
    "mixup": make_mixup,
    "posterize": make_posterize,
    "randaugment": make_randaugment,
    "random_crop": make_random_crop,
    "resized_crop": make_resized_crop,
    "rotate": make_rotate,
    "sharpness": make_sharpness,
    "solarize": make_solarize,
    "translate": make_translate,
    "trivialaugment": make_trivialaugment,
    "vertical_flip": make_vertical_flip,
}
"""The factory that each name stands for."""

EXPECTED = (
    "one name, such as 'flip' or 'random_crop(4)', or an import path 'module:function'"
)

_ANY_RANGE = ("gray",)  # undoes the normalization, but needs neither black nor white
_MOVING = (
    *("affine", "flip", "random_crop", "resized_crop", "rotate", "translate"),
    "vertical_flip",
)
_NOT_FOR_MAPS = {
    "cutmix": "mixes the labels of two images",
    "mixup": "mixes the labels of two images",
    "randaugment": "moves only some images, drawn with their colors",
    "trivialaugment": "moves only some images, drawn with their colors",
}
_LONGEST = 500  # characters
_UNKNOWN = Normalization(np.zeros(1, np.float32), np.ones(1, np.float32))


def make_augmentation(text: str, normalization: Normalization | None = None) -> Any:
    """The augmentation that a text names, with its arguments checked.

    It is a function ``(key, image) -> image``, a ``Mixing`` or ``AlternatingFlip``.

    Args:
        text: a name, or a name with arguments such as ``"random_crop(4, reflect)"``.
        normalization: of the images; without it, the function serves only as a check.

    Raises:
        ConfigError: no such augmentation, or arguments that it does not take.

    Example:
        >>> make_augmentation("flip")(jax.random.key(0), jnp.ones((4, 4, 3))).shape
        (4, 4, 3)
    """
    known = normalization or _UNKNOWN
    return make_from_text(text, AUGMENTATIONS, EXPECTED, normalization=known)


def make_from_text(
    text: str, factories: Mapping[str, Callable[..., Any]], expected: str, **extra: Any
) -> Any:
    """What a factory makes, called as a text says.

    Args:
        text: a name, or a name with arguments.
        factories: by name.
        expected: what a text may be, in words.
        extra: arguments that the factory gets if it has such keywords.

    Raises:
        ConfigError: no such factory, or arguments that it does not take.
    """
    name, arguments, keywords = _parse(text, factories, expected)
    factory = factories[name]
    signature = inspect.signature(factory)
    public = [p for p in signature.parameters.values() if p.kind != p.KEYWORD_ONLY]
    try:
        inspect.Signature(public).bind(*arguments, **keywords)
    except TypeError as error:
        form = ", ".join(map(_form, public))
        raise ConfigError(
            f"{show(text)} has the wrong arguments ({error}), expected {name}({form})"
        ) from error
    keywords |= {k: v for k, v in extra.items() if k in signature.parameters}
    try:
        return factory(*arguments, **keywords)
    except ConfigError as error:
        raise ConfigError(f"in {show(text)}, {error}") from error


def needs_pixels(text: str) -> bool:
    """Whether the images must hold pixels from 0 to 255, not any numbers.

    Raises:
        ConfigError: no such augmentation.
    """
    name = _parse(text, AUGMENTATIONS, EXPECTED)[0]
    parameters = inspect.signature(AUGMENTATIONS[name]).parameters
    return "normalization" in parameters and name not in _ANY_RANGE


def moves_pixels(text: str) -> bool:
    """Whether pixels move to other places, where the labels of pixels must follow.

    Raises:
        ConfigError: no such augmentation.
    """
    return _parse(text, AUGMENTATIONS, EXPECTED)[0] in _MOVING


def check_takes_maps(text: str) -> None:
    """Refuses an augmentation for images with a label per pixel.

    Raises:
        ConfigError: the labels cannot follow what it does.
    """
    name = _parse(text, AUGMENTATIONS, EXPECTED)[0]
    if name in _NOT_FOR_MAPS:
        raise ConfigError(
            f"data.augment holds {show(text)}, which {_NOT_FOR_MAPS[name]}, but each"
            f" pixel has a label here, expected one of"
            f" {', '.join(n for n in AUGMENTATIONS if n not in _NOT_FOR_MAPS)}; leave"
            " it out"
        )


def _form(parameter):
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default}"


def _parse(
    text: str, factories: Mapping[str, Any], expected: str
) -> tuple[str, list[Any], dict[str, Any]]:
    """The name, the arguments and the named arguments in a text."""
    try:
        if len(text) > _LONGEST:
            raise ValueError
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        node = None
    call = node if isinstance(node, ast.Call) else None
    name = node if call is None else call.func
    if not isinstance(name, ast.Name) or (
        call and any(not k.arg for k in call.keywords)
    ):
        raise ConfigError(f"{show(text)} cannot be read, expected {expected}")
    if name.id not in factories:
        raise ConfigError(str(unknown_name("augmentation", name.id, factories)))
    if call is None:
        return name.id, [], {}
    arguments = [_value(text, argument) for argument in call.args]
    named = {str(k.arg): _value(text, k.value) for k in call.keywords}
    return name.id, arguments, named


def _value(text: str, node: ast.expr) -> Any:
    """A number, a word or a tuple; nothing is evaluated."""
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ConfigError(
            f"{show(text)} has the argument {show(ast.unparse(node))}, expected a"
            " number, a word, or a tuple such as (0.8, 1.2)"
        ) from error
