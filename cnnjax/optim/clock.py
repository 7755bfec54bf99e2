"""The step counter that an optimizer passes to its schedules."""

from typing import Any

import jax
import optax

from cnnjax.optim.groups import DelayedState
from cnnjax.optim.weight_decay import DecoupledDecayState

# The last type is private to Optax and used by fromage, so it is found by tracing.
# Making an array would initialize JAX's devices before all processes are connected.
CLOCKS = (
    optax.ScaleByScheduleState,
    DecoupledDecayState,
    type(jax.eval_shape(optax.add_decayed_weights(lambda step: 0.0).init, ())),
)


def at_step(state: optax.OptState, step: jax.Array) -> Any:
    """An optimizer state whose next update evaluates the schedule at ``step``.

    Optax counts updates. A step that was skipped because of a loss spike is not
    counted, so the schedule would fall behind the run.

    Args:
        state: the state of any optimizer from ``make_optimizer``.
        step: the number of steps that the run has taken, int32.
    """

    def is_clock(node: Any) -> bool:
        return isinstance(node, (*CLOCKS, DelayedState))

    def turn(node: Any) -> Any:
        if isinstance(node, DelayedState):
            return DelayedState(step, at_step(node.inner, step))
        return node._replace(count=step) if is_clock(node) else node

    return jax.tree.map(turn, state, is_leaf=is_clock)
