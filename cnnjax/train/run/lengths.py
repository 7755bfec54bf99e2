"""How long a run and its parts are: durations of a config as numbers of steps."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from cnnjax.config import Config, find
from cnnjax.config.rules import stage_parts
from cnnjax.errors import ConfigError
from cnnjax.optim import parse_duration, to_seconds, to_steps

Result = TypeVar("Result")

_DURATIONS = (
    "duration",
    "eval_every",
    "log_every",
    "report_every",
    "checkpoint.every",
    "checkpoint.keep_every",
    "schedule.warmup",
)


class Lengths(NamedTuple):
    """The durations of a run in steps.

    Attributes:
        total: its length.
        eval_every: between validations.
        log_every: between lines of training metrics.
        report_every: between reports on each layer.
        save_every: between saves, unless they go by the clock.
        save_seconds: between saves that go by the clock, else ``None``.
        keep_every: between checkpoints that are kept for good; ``None`` for none.
        warmup: the linear rise of the learning rate.
        boundaries: after which the learning rate falls.
        unfreeze: after which further parameters are trained.
    """

    total: int
    eval_every: int
    log_every: int
    report_every: int
    save_every: int
    save_seconds: float | None
    keep_every: int | None
    warmup: int
    boundaries: tuple[int, ...]
    unfreeze: tuple[int, ...] = ()

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after ``step``, whatever the clock says."""
        return any(n and step % n == 0 for n in (self.save_every, self.keep_every))


def check_durations(config: Config) -> None:
    """Refuses texts that are no durations.

    Raises:
        ConfigError: names the setting.
    """
    for name in _DURATIONS:
        text = find(config, name)
        if text is not None:
            naming(name, parse_duration, text)
    for stage in config.unfreeze:
        naming("unfreeze", parse_duration, stage_parts(stage)[0])


def make_lengths(config: Config, examples: int) -> Lengths:
    """The durations of a config in steps.

    Args:
        config: checked settings.
        examples: of the training split.

    Raises:
        ConfigError: a duration that is 0 or too long.
    """

    def steps(name, text, total=None, least=1):
        duration = naming(name, parse_duration, text)
        count = naming(
            name,
            to_steps,
            duration,
            examples=examples,
            batch_size=config.batch_size,
            total_steps=total,
        )
        if duration.amount == 0 and least:
            raise ConfigError(f"{name} is {text!r}, expected more than 0")
        if count >= 2**31:
            raise ConfigError(f"{name} is {text!r}, expected fewer than 2^31 steps")
        return max(count, least)

    settings = config.checkpoint
    total = steps("duration", config.duration)
    seconds = to_seconds(parse_duration(settings.every))
    if seconds == 0:
        raise ConfigError(
            f"checkpoint.every is {settings.every!r}, expected more than 0"
        )
    boundaries = [
        steps("schedule.boundaries", text, total) for text in config.schedule.boundaries
    ]
    unfreeze = [
        steps("unfreeze", stage_parts(text)[0], total) for text in config.unfreeze
    ]
    if any(late <= early for early, late in itertools.pairwise(unfreeze)):
        raise ConfigError(
            f"unfreeze is {config.unfreeze!r}, whose stages begin after"
            f" {', '.join(map(str, unfreeze))} steps, expected each to begin later than"
            " the one before"
        )
    return Lengths(
        total=total,
        eval_every=steps("eval_every", config.eval_every, total),
        log_every=steps("log_every", config.log_every, total),
        report_every=steps("report_every", config.report_every, total),
        save_every=total
        if seconds
        else steps("checkpoint.every", settings.every, total),
        save_seconds=seconds,
        keep_every=settings.keep_every
        and steps("checkpoint.keep_every", settings.keep_every, total),
        warmup=steps("schedule.warmup", config.schedule.warmup, total, least=0),
        boundaries=tuple(boundaries),
        unfreeze=tuple(unfreeze),
    )


def naming(
    name: str, make: Callable[..., Result], /, *args: Any, **kwargs: Any
) -> Result:
    """Calls ``make``; its errors get the name of the setting.

    Raises:
        ConfigError: whatever ``make`` refuses.
    """
    try:
        return make(*args, **kwargs)
    except ConfigError:  # it names the setting already
        raise
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
