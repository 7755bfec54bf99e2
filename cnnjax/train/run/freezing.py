"""The settings ``freeze`` and ``unfreeze``: what is trained after which step."""

from collections.abc import Mapping
from typing import Any

from cnnjax.config import Config
from cnnjax.config.rules import stage_parts
from cnnjax.errors import ConfigError
from cnnjax.optim import Groups
from cnnjax.train.run.lengths import Lengths
from cnnjax.train.step.freezing import Frozen
from cnnjax.train.step.state import (
    TrainState,
    count_parameters,
    map_named,
    matches,
    named_leaves,
)

TRAINED, FROZEN = "trained", "frozen"


def stage_after(step: int, lengths: Lengths) -> int:
    """How many stages of unfreezing have begun after ``step`` steps."""
    return sum(step >= begin for begin in lengths.unfreeze)


def frozen_in(config: Config, stage: int) -> Frozen:
    """What is frozen in a stage; 0 is the start of the run."""
    return Frozen(config.freeze, _patterns(config)[:stage])


def make_groups(config: Config, lengths: Lengths) -> Groups | None:
    """The groups of parameters that are trained from the same step on.

    ``None`` where nothing is frozen.

    Args:
        config: checked settings.
        lengths: of the run.
    """
    if not config.freeze:
        return None
    patterns = _patterns(config)

    def label(name: str, leaf: Any) -> str:
        if not matches(config.freeze, name):
            return TRAINED
        stages = (n for n, pattern in enumerate(patterns) if matches(pattern, name))
        stage = next(stages, None)
        return FROZEN if stage is None else _stage_name(stage)

    starts = {_stage_name(n): step for n, step in enumerate(lengths.unfreeze)}
    return Groups(
        lambda params: map_named(label, params), {TRAINED: 0, FROZEN: None, **starts}
    )


def check_freezing(config: Config, variables: Mapping[str, Any]) -> None:
    """Refuses patterns that freeze or unfreeze nothing.

    Args:
        config: checked settings.
        variables: the network's arrays by collection.

    Raises:
        ConfigError: with the names there are.
    """
    if config.freeze:
        check_pattern("freeze", config.freeze, variables)
    elif config.unfreeze:
        raise ConfigError(
            f"unfreeze is {config.unfreeze!r}, but freeze is empty, so that nothing is"
            " frozen; set freeze to the names that are not trained at first"
        )
    names = all_names(variables)
    for stage, pattern in enumerate(_patterns(config)):
        before, after = (frozen_in(config, n) for n in (stage, stage + 1))
        still = [name for name in names if before.covers(name)]
        if all(map(after.covers, still)):
            raise ConfigError(
                f"unfreeze has {config.unfreeze[stage]!r}, and {pattern!r} matches no"
                " whole name that is still frozen then; those are"
                f" {', '.join(still) or 'none'}"
            )


def check_pattern(setting: str, pattern: str, variables: Mapping[str, Any]) -> None:
    """Refuses a pattern that matches no name.

    Args:
        setting: the pattern's name.
        pattern: a regular expression for whole names.
        variables: the network's arrays by collection.

    Raises:
        ConfigError: with the names there are.
    """
    names = all_names(variables)
    if not any(matches(pattern, name) for name in names):
        raise ConfigError(
            f"{setting} is {pattern!r}, which matches no whole name; names are"
            f" {', '.join(names)}; 'Conv_0.*' matches a whole layer"
        )


def all_names(variables: Mapping[str, Any]) -> list[str]:
    """The names of all arrays of a network."""
    return [name for tree in variables.values() for name, _ in named_leaves(tree)]


def describe_trained(config: Config, stage: int, state: TrainState) -> str:
    """How many parameters a stage trains, for people."""
    frozen = frozen_in(config, stage)
    leaves = named_leaves(state.params)
    trained = [leaf for name, leaf in leaves if not frozen.covers(name)]
    return (
        f"training {count_parameters(trained):,} of"
        f" {count_parameters(state.params):,} parameters; the others are frozen"
    )


def _patterns(config: Config) -> tuple[str, ...]:
    return tuple(stage_parts(text)[1] for text in config.unfreeze)


def _stage_name(stage: int) -> str:
    return f"unfrozen_{stage + 1}"
