"""Optuna's part of a search: its journal, its proposals, its pruner."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnjax.errors import ConfigError
from cnnjax.files import check_regular
from cnnjax.sweep.choices import Choices, Interval
from cnnjax.train.run.metrics import Monitor

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

JOURNAL = "search.journal"
_STUDY, _ATTRIBUTE = "sweep", "search"


class Method(NamedTuple):
    """How values are proposed.

    Attributes:
        name: ``"random"`` or ``"tpe"``.
        trials: how many runs there will be in the end.
        seed: of the proposals.
        prunes: whether runs are stopped whose validations are worse than the median of
            the others.
    """

    name: str
    trials: int
    seed: int = 0
    prunes: bool = True


def check_optuna() -> None:
    """Refuses a search without Optuna.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search needs Optuna, which is not installed; run pip install"
            " 'cnnjax[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(
    folder: Path,
    method: Method,
    spaces: Sequence[Choices | Interval],
    monitor: Monitor,
) -> "Study":
    """The search in a folder, which is created if there is none.

    Raises:
        ConfigError: a search of other settings, or a damaged journal.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    now = json.dumps([method.name, method.seed, monitor, spaces])
    pruner = optuna.pruners.NopPruner()
    if method.prunes:  # not by the first validation, which says little
        pruner = optuna.pruners.MedianPruner(n_warmup_steps=2)
    try:
        if path.is_symlink() or path.exists():
            check_regular(path, follow_links=False)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=_STUDY,
            direction="maximize" if monitor.higher_is_better else "minimize",
            pruner=pruner,
            load_if_exists=True,
        )
        before = study.user_attrs.get(_ATTRIBUTE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); restore it, or give another --workdir"
        ) from error
    if before is None:
        study.set_user_attr(_ATTRIBUTE, now)
    elif before != now:
        raise ConfigError(
            f"{folder} holds a search with a different --set, --search, --search-seed"
            f" or monitor ({before}, now {now}); give another --workdir"
        )
    return study


def make_sampler(method: Method, number: int) -> Any:
    """What proposes the values of the trial ``number``."""
    import numpy as np
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence([method.seed, number]).generate_state(1)[0])
    return RandomSampler(seed) if method.name == "random" else TPESampler(seed=seed)


def propose(trial: "Trial", spaces: Sequence[Choices | Interval]) -> dict[str, str]:
    """The values of a trial as texts; those of a known trial do not change."""
    return {space.name: as_text(_suggest(trial, space)) for space in spaces}


def _suggest(trial: "Trial", space: Choices | Interval) -> Any:
    if isinstance(space, Choices):
        return trial.suggest_categorical(space.name, space.texts)
    name, low, high, is_log = space
    if space.is_whole:
        return trial.suggest_int(name, int(low), int(high), log=is_log)
    return trial.suggest_float(name, low, high, log=is_log)


def as_text(value: Any) -> str:
    """A proposed value as on the command line."""
    return value if isinstance(value, str) else repr(value)


def ends_of(space: Choices | Interval) -> Sequence[str]:
    """The values of a list, or both ends of an interval, as texts."""
    if isinstance(space, Choices):
        return space.texts
    return repr(space.low), repr(space.high)
