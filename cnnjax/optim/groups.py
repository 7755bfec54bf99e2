"""Groups of parameters that are trained from the start, from a later step, or never."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Groups(NamedTuple):
    """When each parameter is trained.

    Attributes:
        label: from a tree of parameters to a tree of the names of their groups.
        starts: the number of the step before which a group is not trained, by its
            name; ``None`` for a group that is never trained.
    """

    label: Callable[[Any], Any]
    starts: Mapping[str, int | None]


class DelayedState(NamedTuple):
    """The state of an optimizer that begins later.

    Attributes:
        count: the number of updates so far, a scalar int32.
        inner: the state of the optimizer, which stays new until it begins.
    """

    count: jax.Array
    inner: optax.OptState


def in_groups(
    optimizer: optax.GradientTransformation, groups: Groups
) -> optax.GradientTransformation:
    """The optimizer, for each group on its own and from the group's first step.

    A group that is never trained has no state.

    Args:
        optimizer: for one group.
        groups: of the parameters.
    """
    return optax.partition(
        {
            name: optax.set_to_zero() if start is None else delayed(optimizer, start)
            for name, start in groups.starts.items()
        },
        groups.label,
    )


def delayed(
    optimizer: optax.GradientTransformation, start: int
) -> optax.GradientTransformation:
    """The optimizer, whose updates are 0 and whose state is new before step ``start``.

    At that step it is like a new optimizer: momentum is 0, and Adam's correction of the
    bias counts from there. A schedule, however, continues with ``count``.

    Args:
        optimizer: from gradients to updates.
        start: number of the first step with an update, counted from 0.
    """
    if start == 0:
        return optimizer

    def init(params: optax.Params) -> DelayedState:
        return DelayedState(jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        has_begun = state.count >= start
        new, inner = optimizer.update(updates, state.inner, params)
        new, inner = jax.tree.map(
            lambda after, before: jnp.where(has_begun, after, before),
            (new, inner),
            (jax.tree.map(jnp.zeros_like, new), state.inner),
        )
        count = jnp.asarray(optax.safe_increment(state.count))
        return new, DelayedState(count, inner)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
