"""The maps of batch normalization, computed by loops over rows of channels in C++.

With a channel's mean m, factor f and bias b, the output is ``y = f (x - m) + b``, plus
``add``, and ReLU of that. ``relu`` is its largest value: infinity for the common one, 0
where there is no ReLU. g is the part of dy that it passes on; where no ``y`` is given,
g is computed from x again, which costs less than reading y.
"""

from typing import Any

import jax
import numpy as np

from cnnjax.native import library
from cnnjax.native.call import call_target, result

DTYPES = ("float32", "bfloat16")
FEWEST_CHANNELS = 8  # with fewer, most of a vector would be empty


def refusal(dtype: Any) -> str:
    """Why the kernels cannot compute arrays of ``dtype``; empty where they can."""
    if str(dtype) not in DTYPES:
        return f"x is {dtype}, expected {' or '.join(DTYPES)}"
    return library.status().reason


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance ``(channels,)`` of ``x (..., channels)``, in float32."""
    shape = result(x.shape[-1:], x, np.float32)
    return _call("batch_moments", (shape, shape), _rows(x))


def apply(
    x: jax.Array,
    mean: jax.Array,
    factor: jax.Array,
    bias: jax.Array,
    add: jax.Array | None,
    *,
    relu: float,
) -> jax.Array:
    """y, of the shape of ``x (..., channels)``."""
    rows = _rows(x)
    y = _call(
        "batch_norm",
        result(rows.shape, rows),
        *(rows, mean, factor, bias, rows if add is None else _rows(add)),
        relu=relu,
        adds=add is not None,
    )
    return y.reshape(x.shape)


def sums(
    dy: jax.Array,
    x: jax.Array,
    y: jax.Array | None,
    mean: jax.Array,
    factor: jax.Array,
    bias: jax.Array,
    *,
    relu: float,
    wants_g: bool,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The sums of g and ``g (x - m)``, ``(channels,)``; and g, where it is wanted."""
    shape, rows = result(x.shape[-1:], x, np.float32), _rows(dy)
    total, product, g = _call(
        "batch_norm_sums",
        (shape, shape, result(rows.shape if wants_g else (0,), rows)),
        *(rows, _rows(x), _rows(x if y is None else y), mean, factor, bias),
        relu=relu,
        has_y=y is not None,
        aliases={0: 2} if wants_g else {},
    )
    return total, product, g.reshape(x.shape) if wants_g else None


def gradient(
    dy: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    factor: jax.Array,
    bias: jax.Array,
    by_distance: jax.Array,
    constant: jax.Array,
    *,
    relu: float,
) -> jax.Array:
    """``dx = f g + (x - m) by_distance + constant``."""
    rows = _rows(x)
    dx = _call(
        "batch_norm_gradient",
        result(rows.shape, rows),
        *(_rows(dy), rows, mean, factor, bias, by_distance, constant),
        relu=relu,
    )
    return dx.reshape(x.shape)


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _call(name, results, *arrays, relu=None, aliases=None, **choices):
    attributes: dict[str, Any] = {key: int(value) for key, value in choices.items()}
    if relu is not None:
        attributes["relu"] = np.float32(relu)
    target = f"cnnjax_{name}_v1"
    return call_target(target, results, "broadcast_all", arrays, attributes, aliases)
