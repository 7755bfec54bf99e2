"""How long each map of a layer takes, alone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.benchmark.calls import Call
from cnnjax.benchmark.layers import Layer
from cnnjax.benchmark.timer import time_in_turns
from cnnjax.ops.backend import backend
from cnnjax.ops.gradient import Mode, gradients


def time_layer(layer: Layer, rounds: int, mode: Mode = "custom") -> dict[str, float]:
    """Median milliseconds of each map that the layer has, on random numbers.

    A gradient starts from what the forward pass kept for it, and computes nothing but
    the gradient of the one array.

    Args:
        layer: from ``cnnjax.benchmark.layers.find_layers``.
        rounds: how many calls of each are timed.
        mode: ``"custom"`` or ``"autodiff"``, whose gradients.
    """
    totals = {name: 0.0 for name, choice in layer.choices.items() if choice}
    for call in layer.calls:
        names = {"input_gradient": layer.x, "kernel_gradient": layer.kernel}
        wanted = {
            name: array
            for name, array in names.items()
            if name in totals and array in call.arrays
        }
        with gradients(mode), backend(call.backend):
            for name, seconds in _time_call(call, wanted, rounds).items():
                totals[name] += seconds * 1e3
    return totals


def _time_call(call: Call, wanted: Mapping[str, str], rounds: int) -> dict[str, float]:
    """Median seconds of the forward map and of the gradients of some arrays."""
    arrays = [_draw(i, shape) for i, shape in enumerate(call.arrays.values())]
    forward = jax.jit(call.apply)
    seconds = {"forward": time_in_turns([forward], *arrays, rounds=rounds)[0]}
    outputs, pullback = jax.jit(partial(jax.vjp, call.apply))(*arrays)
    cotangents = jax.tree.map(_cotangent, outputs)
    places = list(call.arrays)
    for name, array in wanted.items():
        gradient = jax.jit(partial(_gradient, places.index(array)))
        times = time_in_turns([gradient], pullback, cotangents, rounds=rounds)
        seconds[name] = times[0]
    return {name: float(np.median(values)) for name, values in seconds.items()}


def _gradient(place: int, pullback, cotangents) -> jax.Array:
    return pullback(cotangents)[place]


def _draw(number: int, shape: jax.ShapeDtypeStruct) -> jax.Array:
    values = np.random.default_rng(number).standard_normal(shape.shape)
    return jnp.asarray(np.abs(values), shape.dtype)  # a variance is not negative


def _cotangent(y: jax.Array) -> Any:
    if jnp.issubdtype(y.dtype, jnp.floating):
        return jnp.ones(y.shape, y.dtype)
    return np.zeros(y.shape, jax.dtypes.float0)
