"""Random keys that draw for each example by its number within the batch.

Row i of a draw of shape ``(n, ...)`` is a function of the key and of the number of
example ``first + i`` alone. So a batch that is divided among devices, or processed in
several parts, gets the same dropout and the same augmentation as in one piece.
``split`` and ``fold_in``, which the layers of Flax call, keep the numbers.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

from cnnjax.typing import Array

WORDS = 2  # of the key itself; one more holds the number of the first example


def example_key(key: jax.Array, first: Array) -> jax.Array:
    """The key of a part of a batch.

    Args:
        key: the key of the whole batch.
        first: the number of the part's first example within the batch.
    """
    words = jax.random.key_data(key)
    first = jnp.asarray(first, words.dtype).reshape(1)
    return jax.random.wrap_key_data(jnp.concatenate([words, first]), impl=_IMPL)


def _seed(seed: jax.Array) -> jax.Array:
    return _numbered(jax.random.key(seed), jnp.zeros(1, jnp.uint32))


def _split(words: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _numbered(jax.random.split(_plain(words), shape), words[WORDS:])


def _fold_in(words: jax.Array, data: Any) -> jax.Array:
    return _numbered(jax.random.fold_in(_plain(words), data), words[WORDS:])


def _random_bits(words: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    dtype = jnp.dtype(f"uint{width}")
    if not shape:
        return jax.random.bits(_plain(words), shape, dtype)
    numbers = words[WORDS] + jnp.arange(shape[0], dtype=words.dtype)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(_plain(words), numbers)
    return jax.vmap(lambda key: jax.random.bits(key, shape[1:], dtype))(keys)


def _plain(words: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(words[:WORDS], impl="threefry2x32")


def _numbered(key: jax.Array, number: jax.Array) -> jax.Array:
    words = jax.random.key_data(key)
    numbers = jnp.broadcast_to(number, (*words.shape[:-1], 1))
    return jnp.concatenate([words, numbers], axis=-1)


_IMPL = define_prng_impl(
    key_shape=(WORDS + 1,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="example_key",
    tag="ex",
)
