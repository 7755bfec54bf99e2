"""Which operations the layers of a network call, recorded while its step is traced."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from cnnjax.ops.backend import Backend, current_backend
from cnnjax.ops.gradient import CustomVJP, watch_calls


class Call(NamedTuple):
    """One call of an operation with a hand-written gradient.

    Attributes:
        path: the names of the Flax module that called, from the network inward.
        module: the class of that module.
        function: the operation.
        arguments: by name; arrays as their shapes and dtypes, the rest as it is.
        backend: the current one, as in ``cnnjax.ops.backend``.
    """

    path: tuple[str, ...]
    module: str
    function: CustomVJP
    arguments: Mapping[str, Any]
    backend: Backend

    @property
    def arrays(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The arguments that are arrays."""
        items = self.arguments.items()
        return {k: v for k, v in items if isinstance(v, jax.ShapeDtypeStruct)}

    def apply(self, *arrays: jax.Array) -> Any:
        """Calls the operation on other values of its arrays."""
        given = dict(zip(self.arrays, arrays, strict=True))
        return self.function(*{**self.arguments, **given}.values())


@contextmanager
def record_calls() -> Iterator[list[Call]]:
    """The list of the calls of the first network that is traced inside, in order.

    A step may trace its network more than once, for example to accumulate gradients;
    the first time counts. The backward pass is traced outside of any module, so its own
    calls are left out.
    """
    calls: list[Call] = []
    running: list[nn.Module] = []
    networks = 0

    def enter(method: Callable, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal networks
        networks += not running
        running.append(context.module)
        try:
            return method(*args, **kwargs)
        finally:
            running.pop()

    def watch(function: CustomVJP, arguments: Mapping[str, Any]) -> None:
        if running and networks == 1:
            module = running[-1]
            shapes = {name: _shape_of(value) for name, value in arguments.items()}
            name = type(module).__name__
            calls.append(Call(module.path, name, function, shapes, current_backend()))

    with ExitStack() as stack:
        stack.enter_context(nn.intercept_methods(enter))
        stack.enter_context(watch_calls(watch))
        yield calls


def _shape_of(value: Any) -> Any:
    if isinstance(value, jax.Array):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return value
