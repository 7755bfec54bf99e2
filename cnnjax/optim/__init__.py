"""How parameters are updated: durations, schedules, optimizers, weight averaging."""

from cnnjax.optim.average import update_average
from cnnjax.optim.clock import at_step
from cnnjax.optim.decay_mask import decay_mask
from cnnjax.optim.duration import Duration, parse_duration, to_seconds, to_steps
from cnnjax.optim.groups import Groups
from cnnjax.optim.optimizers import make_optimizer, optimizer_names
from cnnjax.optim.schedules import SCHEDULES, make_schedule

__all__ = [
    "SCHEDULES",
    "Duration",
    "Groups",
    "at_step",
    "decay_mask",
    "make_optimizer",
    "make_schedule",
    "optimizer_names",
    "parse_duration",
    "to_seconds",
    "to_steps",
    "update_average",
]
