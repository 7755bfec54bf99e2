"""Which steps one call of the compiled program takes.

A call ends where something happens: a log line, a validation, a checkpoint, a report on
the layers, a stage of unfreezing, the edges of a trace. The length of a call is a
function of the step that it follows, so that batches can be loaded ahead of time.
"""

from typing import NamedTuple

from cnnjax.config import Config
from cnnjax.train.run.lengths import Lengths


class Calls(NamedTuple):
    """The steps after which calls end.

    Attributes:
        longest: the most steps of a call; so many batches are on the devices at once.
        periods: numbers of steps; a call ends at each multiple of each.
        edges: further steps after which a call ends, in order.
        reports: the layers are reported before each multiple of this many steps.
    """

    longest: int
    periods: tuple[int, ...]
    edges: tuple[int, ...] = ()
    reports: int | None = None

    def end(self, step: int) -> int:
        """The last step of the call that follows ``step``."""
        ends = [step + self.longest, *(step - step % n + n for n in self.periods)]
        ends += [edge for edge in self.edges if edge > step]
        if self.reports:
            ends.append((step + 1) // self.reports * self.reports + self.reports - 1)
        return min(ends)


def make_calls(
    config: Config,
    lengths: Lengths,
    profile: range = range(0),
    reports_layers: bool = False,
    one_by_one: bool = False,
) -> Calls:
    """The calls of a run.

    Args:
        config: checked settings.
        lengths: of the run.
        profile: the steps to trace.
        reports_layers: whether a reporter shows the layers.
        one_by_one: whether each step is a call of its own, which changes no number.
    """
    always = (lengths.total, lengths.log_every, lengths.eval_every, lengths.save_every)
    periods = (*always, *filter(None, [lengths.keep_every]))
    traced = (profile.start - 1, profile.stop - 1) if profile else ()
    return Calls(
        longest=min(config.steps_per_call, *periods),
        periods=(1,) if one_by_one else periods,
        edges=(*lengths.unfreeze, *traced),
        reports=lengths.report_every if reports_layers else None,
    )
