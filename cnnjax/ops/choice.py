"""Which implementation computes a map on a platform, and why.

Each operation with several implementations has a ``choose`` module: one function, read
from top to bottom, that returns a ``Choice``. While tracing, ``run`` takes the choice
for a CPU and the one for other platforms; XLA keeps one of the two when it lowers the
program.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax


class Choice(NamedTuple):
    """An implementation and the reason for it.

    Attributes:
        implementation: its name, such as ``"native"`` or ``"xla"``.
        reason: why it was chosen, for people.
    """

    implementation: str
    reason: str


def run(
    on_cpu: Choice,
    elsewhere: Choice,
    implementations: Mapping[str, Callable[..., Any]],
    *arrays: Any,
) -> Any:
    """Applies the chosen implementation to ``arrays``.

    Args:
        on_cpu: the choice for a CPU.
        elsewhere: the choice for all other platforms.
        implementations: one function of ``arrays`` by each name.
        arrays: the operands.
    """
    cpu = implementations[on_cpu.implementation]
    other = implementations[elsewhere.implementation]
    if cpu is other:
        return other(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=cpu, default=other)
