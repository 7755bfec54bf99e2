"""Which layers run as in evaluation while the rest of the network trains."""

import contextlib
from collections.abc import Iterator, Set
from typing import Any

import jax

_frozen = jax.make_user_context(frozenset())


@contextlib.contextmanager
def frozen_layers(names: Set[str]) -> Iterator[None]:
    """Batch normalization of these layers uses and keeps its running moments.

    It holds for networks that are traced inside, even if they are called with
    ``train=True``, and for ``cnnjax.layers.BatchNorm`` only.

    Args:
        names: paths of layers, such as ``"MBConv_0.BatchNorm_1"``.
    """
    with _frozen(frozenset(names)):
        yield


def is_frozen(layer: Any) -> bool:
    """Whether a bound layer is one of those."""
    return ".".join(layer.path) in _frozen.value
