"""What the dtypes of an operation's arrays have to be, and the one it sums in."""

import jax
import jax.numpy as jnp


def check_one_floating(x: jax.Array, kernel: jax.Array) -> None:
    """Refuses arrays that do not share one floating dtype.

    Raises:
        ValueError: two dtypes, or one that is not floating.
    """
    if x.dtype != kernel.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x is {x.dtype} and kernel {kernel.dtype}, expected one floating dtype for"
            " both; cast one of them with .astype"
        )


def widened(x: jax.Array) -> jax.Array:
    """``x`` in the dtype of its sums: half precision loses what many terms add."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
