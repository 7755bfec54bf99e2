"""The step for which an optimizer asks its schedules."""

from typing import Any

import jax
import optax

from cnnjax.optim.weight_decay import DecoupledDecayState

# The last of these is private to Optax; fromage has it. Its type comes from tracing:
# an array would start JAX's devices, which must wait until all processes are connected.
CLOCKS = (
    optax.ScaleByScheduleState,
    DecoupledDecayState,
    type(jax.eval_shape(optax.add_decayed_weights(lambda step: 0.0).init, ())),
)


def at_step(state: optax.OptState, step: jax.Array) -> Any:
    """An optimizer's state whose next update asks the schedule with ``step``.

    Optax counts the updates that were made. A step that was skipped because its loss
    was a spike is missing there, and the schedule would fall behind the run.

    Args:
        state: of any optimizer that ``make_optimizer`` makes.
        step: how many steps the run has taken, int32.
    """

    def is_clock(node: Any) -> bool:
        return isinstance(node, CLOCKS)

    def turn(node: Any) -> Any:
        return node._replace(count=step) if is_clock(node) else node

    return jax.tree.map(turn, state, is_leaf=is_clock)
