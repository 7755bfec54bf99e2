"""Which implementation computes a map on a platform, and why.

Each operation with several implementations has a ``choose`` module: one function, read
from top to bottom, that returns a ``Choice``. While tracing, ``run`` takes the choice
for each of the ``PLATFORMS``; JAX keeps one of them when it lowers the program.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax

PLATFORMS = ("cpu", "tpu", "other")
"""What implementations are chosen for; a GPU is one of the other platforms."""


class Choice(NamedTuple):
    """An implementation and the reason for it.

    Attributes:
        implementation: its name, such as ``"native"`` or ``"xla"``.
        reason: why it was chosen, for people.
    """

    implementation: str
    reason: str


def run(
    chosen: Mapping[str, Hashable],
    implementations: Mapping[Any, Callable[..., Any]],
    *arrays: Any,
) -> Any:
    """Applies the implementation that is chosen for the platform to ``arrays``.

    Args:
        chosen: the name of an implementation for ``"cpu"``, ``"tpu"`` and ``"other"``,
            which is every other platform.
        implementations: one function of ``arrays`` by each name.
        arrays: the operands.
    """
    functions = {key: implementations[name] for key, name in chosen.items()}
    other = functions.pop("other")
    own = {
        key: function for key, function in functions.items() if function is not other
    }
    if not own:
        return other(*arrays)
    return jax.lax.platform_dependent(*arrays, default=other, **own)


def barrier_on(platform: str, arrays: Any) -> Any:
    """``arrays``, behind an optimization barrier where the program is for ``platform``.

    Args:
        platform: one of ``PLATFORMS``.
        arrays: one array, or a tuple; the compiler computes all of these before
            anything that reads one of the results.
    """
    functions: dict[str, Callable] = dict.fromkeys(PLATFORMS, _unchanged)
    functions[platform] = jax.lax.optimization_barrier
    default = functions.pop("other")
    return jax.lax.platform_dependent(arrays, default=default, **functions)


def _unchanged(arrays):
    return arrays
