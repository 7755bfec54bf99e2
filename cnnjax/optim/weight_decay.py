"""Decoupled weight decay as a separate gradient transformation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cnnjax.optim.decay_mask import decay_mask


class DecoupledDecayState(NamedTuple):
    """The number of updates, a scalar int32 that the schedule is evaluated at."""

    count: jax.Array


def decoupled_weight_decay(
    schedule: optax.Schedule, weight_decay: float
) -> optax.GradientTransformation:
    """A transformation that subtracts ``schedule(t) * weight_decay * w`` from updates.

    It comes after the optimizer, so that the decay does not affect momentum or second
    moments: ``w <- w + update - eta_t * weight_decay * w`` (Loshchilov and Hutter,
    "Decoupled weight decay regularization", 2019). Only parameters that ``decay_mask``
    selects are decayed.

    Args:
        schedule: the learning rate ``eta_t`` of step ``t``, counted from 0.
        weight_decay: the fraction by which weights shrink per unit of learning rate;
            with 0, updates do not change and only the count advances.
    """

    def init(params: optax.Params) -> DecoupledDecayState:
        del params
        return DecoupledDecayState(jnp.zeros((), jnp.int32))

    def update(
        updates: optax.Updates,
        state: DecoupledDecayState,
        params: optax.Params | None = None,
    ) -> tuple[optax.Updates, DecoupledDecayState]:
        if params is None:
            raise ValueError("weight decay needs params: update(grads, state, params)")
        after = DecoupledDecayState(jnp.asarray(optax.safe_increment(state.count)))
        if not weight_decay:
            return updates, after
        rate = schedule(state.count) * weight_decay
        decayed = jax.tree.map(
            lambda u, w, decay: (u - rate * w).astype(u.dtype) if decay else u,
            updates,
            params,
            decay_mask(params),
        )
        return decayed, after

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
