"""The table of a network's layers, with XLA's count of their arithmetic."""

import functools
from collections.abc import Callable
from typing import Any

from flax import linen

from cnnjax.ops import backend

flax: Any = linen  # it declares no types


@functools.wraps(flax.tabulate)
def tabulate(*args: Any, **kwargs: Any) -> Callable[..., str]:
    """``flax.linen.tabulate``, whose columns ``flops`` and ``vjp_flops`` are right.

    XLA counts the arithmetic of its own operations and -1 for each call of another
    library, so that the table is made with ``cnnjax.ops.backend("xla")``. The method
    ``tabulate`` of a module is Flax's own and needs that context around it.
    """
    table = flax.tabulate(*args, **kwargs)

    def make(*inputs, **options):
        with backend("xla"):
            return table(*inputs, **options)

    return make
