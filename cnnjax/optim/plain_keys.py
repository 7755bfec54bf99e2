"""Random keys in an optimizer's state as plain integers, so that they can be saved."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def with_plain_keys(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The same optimizer, with keys in its state stored as ``jax.random.key_data``.

    A typed key is not an array of numbers: it has no bytes to checksum and cannot be
    saved in a checkpoint. The keys must be of JAX's default implementation.
    """

    def init(params: Any) -> Any:
        return jax.tree.map(_to_words, optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        like = jax.eval_shape(optimizer.init, updates)
        typed = jax.tree.map(_to_key, like, state)
        updates, after = optimizer.update(updates, typed, params)
        return updates, jax.tree.map(_to_words, after)

    return optax.GradientTransformation(init, update)


def holds_keys(state: Any) -> bool:
    """Whether a tree of arrays or shapes contains a typed key."""
    return any(map(_is_key, jax.tree.leaves(state)))


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_words(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _to_key(like: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf) if _is_key(like) else leaf
