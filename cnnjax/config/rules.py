"""What the value of a setting may be: a test, and the words for it in messages."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cnnjax.config.import_path import is_import_path
from cnnjax.config.values import LARGEST, is_size

MOST_BLOCKS = 1000  # of a stage; tracing more would take hours


class Rule(NamedTuple):
    """What a value may be.

    Attributes:
        expected: completes the sentence "expected ...".
        test: whether a value is allowed; where it raises ``TypeError`` or
            ``AttributeError``, it is not.
    """

    expected: str
    test: Callable[[Any], bool] = lambda value: True

    def allows(self, value: Any) -> bool:
        """Whether the value is allowed."""
        try:
            return bool(self.test(value))
        except (AttributeError, TypeError):
            return False


def one_of(*names: str, note: str = "") -> Rule:
    """One of a few names."""
    *first, last = map(repr, names)
    text = f"{', '.join(first)} or {last}" + (f" ({note})" if note else "")
    return Rule(text, lambda value: value in names)


def name_or_path(*names: str) -> Rule:
    """One of a few names, or an import path."""
    return Rule(
        f"{', '.join(map(repr, names))} or 'module:attribute'",
        lambda value: value in names or is_import_path(value),
    )


def _are_sizes(values: Any) -> bool:
    return isinstance(values, tuple) and all(map(is_size, values))


def _are_blocks(values: Any) -> bool:
    return _are_sizes(values) and max(values, default=1) <= MOST_BLOCKS


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def stage_parts(text: str) -> tuple[str, str]:
    """The duration and the pattern of a stage of unfreezing, ``"1 epoch: Conv_1.*"``.

    Without a pattern, the stage is for all names.
    """
    duration, colon, pattern = text.partition(":")
    return duration.strip(), pattern.strip() if colon else ".*"


def _are_stages(values: Any) -> bool:
    return all(
        all(parts) and _is_pattern(parts[1]) for parts in map(stage_parts, values)
    )


SIZE = Rule("a whole number from 1 to 2147483647", is_size)
SIZES = Rule("whole numbers from 1 to 2147483647", _are_sizes)
BLOCKS = Rule(f"whole numbers from 1 to {MOST_BLOCKS}", _are_blocks)
IMAGE_SIZE = Rule(
    "(), (SIZE,) or (HEIGHT, WIDTH) in whole numbers",
    lambda v: _are_sizes(v) and len(v) <= 2,
)
SEED = Rule("a whole number from 0 to 2147483647", lambda v: 0 <= v < 2**31)
COUNT = Rule("a whole number, 0 or more", lambda v: v >= 0)

POSITIVE = Rule("a number above 0, at most 3.4e38", lambda v: 0 < v <= LARGEST)
NOT_NEGATIVE = Rule("a number from 0 to 3.4e38", lambda v: 0 <= v <= LARGEST)
SHARE = Rule("a number from 0 to 1", lambda v: 0 <= v <= 1)
BELOW_ONE = Rule("a number from 0 to just below 1", lambda v: 0 <= v < 1)
FRACTION = Rule("a number above 0 and below 1", lambda v: 0 < v < 1)
AREA = Rule(
    "() or (LEAST, MOST) with 0 < LEAST <= MOST <= 1",
    lambda v: v == () or (len(v) == 2 and 0 < v[0] <= v[1] <= 1),
)
NUMBERS = Rule(
    "(), one number per channel, such as (123.7, 116.3, 103.5), or ('imagenet',)",
    lambda v: v == ("imagenet",) or all(abs(number) <= LARGEST for number in v),
)
WEIGHTS = Rule(
    "'balanced', () or one number per class, 0 or more, such as (1.0, 5.0)",
    lambda v: v == ("balanced",) or all(0 <= number <= LARGEST for number in v),
)
PART = Rule("a number above 0, at most 1", lambda v: 0 < v <= 1)
ABOVE_ONE = Rule("a number above 1", lambda v: 1 < v < float("inf"))
MULTIPLIER = Rule("a number above 0, at most 1000", lambda v: 0 < v <= 1000)

AUGMENTATIONS = Rule(
    "augmentations, such as ('random_crop(4)', 'flip'), or import paths",
    lambda values: all(isinstance(v, str) for v in values),
)

VARIANTS = Rule(
    "'flip' and 'shift(PIXELS)', such as ('flip', 'shift(1)')",
    lambda values: all(isinstance(v, str) for v in values),
)

METRICS = Rule(
    "names of metrics and import paths, such as ('top5', 'my_module:metric')",
    lambda values: all(isinstance(v, str) for v in values),
)

REPORTERS = Rule(
    "names of reporters and import paths, such as ('terminal', 'my_module:callback')",
    lambda values: all(isinstance(v, str) for v in values),
)

SWITCH = Rule("true or false", lambda v: isinstance(v, bool))
PATTERN = Rule("a regular expression", _is_pattern)

STAGES = Rule(
    "durations, each alone or with a regular expression, such as ('1 epoch: Conv_1.*',"
    " '3 epochs')",
    _are_stages,
)

# The module that uses these settings checks them further.
DURATION = Rule("a duration, such as '10 epochs', '500 steps' or '5%'")
TIME = Rule("a duration, such as '1 epoch', '500 steps' or '10 minutes'")
DURATIONS = Rule("durations, such as ('50%', '75%')")
FOLDER = Rule("a path")
ORIGIN = Rule(
    "a path, or torchvision:FILE, timm:FILE, safetensors:FILE, torch:FILE or"
    " hf:OWNER/NAME"
)
