"""The least memory that a run needs, computed before anything is allocated."""

import math
from typing import Any

import jax

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.train.machine.memory_limit import memory_limit
from cnnjax.train.step.state import TrainState, named_leaves

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def check_footprint(
    shapes: TrainState,
    config: Config,
    images: Any,
    *,
    training: bool,
) -> None:
    """Checks that the network can fit in memory.

    Activations are not counted, so that nothing is refused that might fit.

    Args:
        shapes: of the state.
        config: checked settings.
        images: of the training split, for their shape and dtype.
        training: whether gradients and batches need memory, too.

    Raises:
        ConfigError: it cannot fit, with the figures.
    """
    device = jax.local_devices()[0]
    shared = jax.device_count() if config.shard_optimizer else 1
    parts = {
        "parameters": count_bytes(shapes.params),
        "statistics": count_bytes(shapes.statistics),
        "optimizer state": count_bytes(shapes.opt_state) // shared,
        "average": count_bytes(shapes.average),
    }
    if training:
        rows = config.batch_size // jax.device_count()
        part = rows // config.accumulate_steps  # converted to float32 by the step
        values = math.prod(images.shape[1:])
        parts["gradients"] = parts["parameters"]
        parts["batch"] = values * (rows * images.dtype.itemsize + 4 * part)
    if device.platform == "cpu":
        copies = config.devices or jax.local_device_count()
        parts = {name: size * copies for name, size in parts.items()}
        limit, where = memory_limit(), "this process"
    else:
        limit = (device.memory_stats() or {}).get("bytes_limit")
        where = f"this {device.platform}"
    total = sum(parts.values())
    if limit is None or total <= limit:
        return
    largest = sorted(parts.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {size_text(size)}" for name, size in largest if size)
    raise ConfigError(
        f"model {config.model.name!r} needs at least {size_text(total)} of memory"
        f" ({told}), but {where} can have {size_text(limit)}; {_advice(parts, shapes)}"
    )


def count_bytes(tree: Any) -> int:
    """The size of all arrays of a tree; they need not exist."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def size_text(size: int) -> str:
    """A number of bytes for people, such as ``"3.7 TB"``."""
    unit, value = 0, float(size)
    while value >= 1000 and unit < len(_UNITS) - 1:
        unit, value = unit + 1, value / 1000
    return f"{value:.3g} {_UNITS[unit]}"


def _advice(parts: dict[str, int], shapes: TrainState) -> str:
    if max(parts, key=lambda name: parts[name]) == "batch":
        return "reduce batch_size, or raise accumulate_steps"
    name, leaf = max(
        named_leaves(shapes.params), key=lambda item: math.prod(item[1].shape)
    )
    return (
        f"the largest array is {name} of shape {tuple(leaf.shape)}; reduce the sizes of"
        " the network, which are the settings model.*"
    )
