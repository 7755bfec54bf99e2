"""Loads weights from a file as the variables of a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from cnnjax.errors import WeightsError
from cnnjax.models.state_dict.fit import Fitted, fit
from cnnjax.streams import warn
from cnnjax.weights import read_weights


def load_variables(
    model: nn.Module,
    path: str | Path,
    image_shape: tuple[int, ...],
    naming: str | None,
    seed: int,
) -> dict[str, Any]:
    """The variables of ``model`` from a file, see ``cnnjax.models.load_weights``."""

    def init(key) -> dict[tuple[str, ...], Any]:
        images = jnp.zeros((1, *image_shape))
        return flatten_dict(dict(model.init(key, images, train=False)))

    key = jax.random.key(seed)
    leaves = jax.eval_shape(init, key)
    shapes = {array_name(keys): leaf.shape for keys, leaf in leaves.items()}
    fitted = fit_file(model, shapes, path, naming)
    if fitted.anew:
        names = ", ".join(fitted.anew)
        warn(f"{path} has no head of this size: {names} are newly initialized")
    new = [keys for keys in leaves if array_name(keys) in fitted.anew]
    # In one compiled function, arrays that are not returned cost nothing.
    made = jax.jit(lambda key: [init(key)[keys] for keys in new])(key) if new else []
    taken = {
        keys: jnp.asarray(fitted.arrays[array_name(keys)], leaf.dtype)
        for keys, leaf in leaves.items()
        if keys not in new
    }
    return unflatten_dict(taken | dict(zip(new, made, strict=True)))


def array_name(keys: tuple[str, ...]) -> str:
    """Our name for an array, such as ``"Conv_0.kernel"``, from collection and path."""
    return ".".join(keys[1:])


def fit_file(
    model: nn.Module,
    shapes: dict[str, tuple[int, ...]],
    path: str | Path,
    naming: str | None = None,
    wants: Callable[[str], bool] = lambda name: True,
) -> Fitted:
    """Matches the state dict in a file to a network, see ``fit``.

    Raises:
        WeightsError: a file that cannot be read or does not match; its path is named.
        OSError: no such file.
    """
    found = read_weights(path)
    try:
        return fit(model, shapes, found, naming, wants)
    except WeightsError as error:
        raise WeightsError(f"{path} cannot be used: {error}") from error
