"""``cnnjax sweep --search``: Optuna proposes the values, and stops hopeless runs.

Optuna's journal in the folder of the sweep holds every proposal, every validation and
every result, so that the same command continues the search.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnjax.errors import ConfigError
from cnnjax.report.reporters import METRICS
from cnnjax.sweep import table
from cnnjax.sweep.choices import Choices, Interval, parse_sets
from cnnjax.sweep.command import (
    WHERE,
    Request,
    Sweep,
    check_sweep_folder,
    describe,
    finish,
)
from cnnjax.sweep.outcome import FAILED, FINISHED, PRUNED
from cnnjax.sweep.plan import PlannedRun, find_monitor, name_runs, plan_run
from cnnjax.sweep.proposals import (
    Method,
    as_text,
    check_optuna,
    ends_of,
    make_sampler,
    open_study,
    propose,
)
from cnnjax.sweep.train_runs import Events, train_runs
from cnnjax.train.run.folder_name import check_name
from cnnjax.train.run.lock import lock

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial


def search(request: Request, method: Method, tell: Callable[[str], None]) -> int:
    """Trains runs with proposed values, and writes the table.

    Returns:
        The exit status, see ``sweep_grid``.

    Raises:
        ConfigError: Optuna is missing, or a setting or a folder that cannot be used,
            before any run starts.
    """
    check_optuna()
    check_sweep_folder(request.folder)
    spaces = parse_sets(request.sets, [*request.overrides])
    if any(space.name == "seed" for space in spaces):
        raise ConfigError(
            "seed cannot be searched, because a lucky seed says nothing about others;"
            " set it with --config.seed, or sweep it in a grid"
        )
    first = check_spaces(request, spaces)
    monitor = find_monitor(first.config)
    sweep = Sweep(request, monitor, tell, method.trials)
    with lock(request.folder):
        study = open_study(request.folder, method, spaces, monitor)
        run = _Search(sweep, request, method, spaces, study, first)
        rows = run.rows()
        left = max(0, method.trials - len(rows))
        tell(f"{describe(rows)}; {left} to be proposed; {WHERE}")
        events = Events(sweep.started, run.prunes, run.ended)
        stopped = train_runs(
            run.runs(), request.folder, request.config, events, request.jobs
        )
        return finish(sweep, run.rows(), stopped)


def check_spaces(request: Request, spaces: Sequence[Choices | Interval]) -> PlannedRun:
    """Checks each value of a list and each end of an interval in a run.

    Returns:
        The run with the first value of each setting.

    Raises:
        ConfigError: a value that cannot be used.
    """
    ends = {space.name: ends_of(space) for space in spaces}
    base = {name: texts[0] for name, texts in ends.items()}
    plans = [
        plan_run(request.config, request.overrides, base | {name: text}, 0)
        for name, texts in ends.items()
        for text in texts
    ]
    check_name(request.folder / _name(0, plans[0].values))
    return plans[0]


class _Search:
    """The trials of a study as runs.

    Args:
        sweep: tells what happens.
        request: of the command line.
        method: of the proposals.
        spaces: the settings.
        study: of Optuna.
        example: a run of the search, whose config stands in for one that is refused.
    """

    def __init__(
        self,
        sweep: Sweep,
        request: Request,
        method: Method,
        spaces: Sequence[Choices | Interval],
        study: "Study",
        example: PlannedRun,
    ):
        self._sweep, self._request, self._method = sweep, request, method
        self._spaces, self._study, self._example = spaces, study, example
        self._trials: dict[int, Trial] = {}
        self._sizes: dict[int, int] = {}

    def runs(self) -> Iterator[PlannedRun]:
        """The runs to train: first those that an earlier command has not ended."""
        from optuna.trial import Trial, TrialState

        for frozen in self._study.get_trials(states=[TrialState.RUNNING]):
            # Optuna continues a trial by its ID, which has no public name.
            trial = Trial(self._study, frozen._trial_id)
            run = self._plan(trial.number, propose(trial, self._spaces))
            self._trials[run.number] = trial
            if self._sweep.row(run).outcome.state in (FINISHED, PRUNED):
                self._conclude(self._sweep.row(run))
            else:
                yield run
        while (number := len(self._study.get_trials(deepcopy=False))) < (
            self._method.trials
        ):
            # The seed depends on the trial, so that a resumed search proposes the
            # same as one that was not stopped.
            self._study.sampler = make_sampler(self._method, number)
            trial = self._study.ask()
            self._trials[trial.number] = trial
            yield self._plan(trial.number, propose(trial, self._spaces))

    def prunes(self, run: PlannedRun) -> bool:
        """Reports new validations, and tells whether the run is to be stopped."""
        file = self._sweep.folder / run.name / METRICS
        size = file.stat().st_size if file.exists() else 0
        if size == self._sizes.get(run.number, 0):
            return False
        self._sizes[run.number] = size
        is_new = self._report(self._sweep.row(run))
        return is_new and self._trials[run.number].should_prune()

    def _report(self, row: table.Row) -> bool:
        """Reports the validations that Optuna does not know; whether there were any.

        A resumed run repeats some that it knows.
        """
        number, values = row.run.number, row.outcome.validations
        frozen = self._study.get_trials(deepcopy=False)[number]
        known = len(frozen.intermediate_values)
        for place, value in enumerate(values[known:], start=known + 1):
            self._trials[number].report(value, place)
        return len(values) > known

    def ended(self, run: PlannedRun, status: int) -> None:
        """Reports the result, unless the run is to be resumed."""
        self._sweep.ended(run, status)
        self._conclude(self._sweep.row(run))

    def rows(self) -> list[table.Row]:
        """All runs so far; their states are those that Optuna knows."""
        from optuna.trial import TrialState

        known = {
            TrialState.COMPLETE: FINISHED,
            TrialState.PRUNED: PRUNED,
            TrialState.FAIL: FAILED,
        }
        found = []
        for trial in self._study.get_trials(deepcopy=False):
            if len(trial.params) < len(self._spaces):
                continue  # killed while it was proposed
            texts = {
                space.name: as_text(trial.params[space.name]) for space in self._spaces
            }
            row = self._sweep.row(self._plan(trial.number, texts))
            state = known.get(trial.state, row.outcome.state)
            found.append(row._replace(outcome=row.outcome._replace(state=state)))
        return found

    def _plan(self, number: int, texts: Mapping[str, str]) -> PlannedRun:
        request = self._request
        try:
            run = plan_run(request.config, request.overrides, texts, number)
        except ConfigError:  # cnnjax train refuses it, and the run counts as failed
            overrides = {**request.overrides, **texts}
            run = PlannedRun(number, "", texts, overrides, self._example.config)
        return run._replace(name=_name(number, run.values))

    def _conclude(self, row: table.Row) -> None:
        from optuna.trial import TrialState

        trial, value = self._trials[row.run.number], row.value(self._sweep.monitor)
        self._report(row)
        if row.outcome.state == FINISHED and math.isfinite(value):
            self._study.tell(trial, value)
        elif row.outcome.state == PRUNED:
            self._study.tell(trial, state=TrialState.PRUNED)
        elif row.outcome.state in (FINISHED, FAILED):
            self._study.tell(trial, state=TrialState.FAIL)


def _name(number: int, values: Mapping[str, Any]) -> str:
    """A name such as ``trial=007,learning_rate=0.00123``."""
    shown = {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in values.items()
    }
    return name_runs([{"trial": f"{number:03}", **shown}])[0]
