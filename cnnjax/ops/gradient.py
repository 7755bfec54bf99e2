"""The decorator of functions whose gradient is written by hand, and its switch.

``with gradients("autodiff"):`` runs the stock operations of JAX instead, differentiated
by JAX itself: to compare the two, and for forward mode (``jax.jvp``, ``jax.jacfwd``),
which a hand-written reverse rule cannot give. What is traced inside stays as it was
traced; ``jax.jit`` keeps the two apart in its cache.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypeVar, cast

import jax

Mode = Literal["custom", "autodiff"]
Result = TypeVar("Result")

_mode = jax.make_user_context("custom")


@contextlib.contextmanager
def gradients(mode: Mode) -> Iterator[None]:
    """Chooses hand-written gradients (``"custom"``) or those of JAX (``"autodiff"``).

    Raises:
        ValueError: another mode.
    """
    if mode not in ("custom", "autodiff"):
        raise ValueError(f"gradients is {mode!r}, expected 'custom' or 'autodiff'")
    with _mode(mode):
        yield


class CustomVJP(Generic[Result]):
    """A function with a hand-written gradient, given by ``defvjp``.

    Args:
        function: the forward map.
        static: names of its arguments that are no arrays.
        stock: what to run instead where JAX is to differentiate; by default
            ``function`` itself.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        static: tuple[str, ...],
        stock: Callable[..., Result] | None,
    ):
        functools.update_wrapper(self, function)
        self._global = function.__qualname__
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._custom = jax.custom_vjp(function, nondiff_argnames=static)
        self._stock = stock or function

    def defvjp(self, forward: Callable, backward: Callable) -> None:
        """Sets the rules, as ``jax.custom_vjp.defvjp`` takes them."""
        self._custom.defvjp(forward, backward)

    def __reduce__(self) -> str:
        # A copy or a pickle is the global of this name, as for any function.
        return self._global

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Applies the function."""
        if _mode.value == "autodiff":
            return self._stock(*args, **kwargs)
        try:
            return cast(Result, self._custom(*args, **kwargs))
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise TypeError(
                f"{self._name} has a hand-written gradient for reverse mode"
                " (jax.grad, jax.vjp, jax.jacrev), and forward mode (jax.jvp,"
                " jax.jacfwd, jax.hessian) does not pass through it; trace the function"
                ' within cnnjax.ops.gradients("autodiff"), or use'
                " jax.jacrev(jax.grad(f)) for second derivatives"
            ) from error


def custom_vjp(
    *static: str, stock: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Result]], CustomVJP[Result]]:
    """The decorator that makes a ``CustomVJP`` of a function."""
    return lambda function: CustomVJP(function, static, stock)


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The same values, as ``custom_vjp`` wants them inside of ``jax.shard_map``.

    There an array may differ between devices along some mesh axes (a batch) or be the
    same on all (a kernel), and a gradient has to be of its argument's kind. Marking
    all arguments as different on the axes of any makes the gradients alike; JAX sums
    them over the devices where it takes the mark back. Elsewhere nothing happens.
    """
    varying = [jax.typeof(array).manual_axis_type.varying for array in arrays]
    axes = frozenset().union(*varying)
    return tuple(
        jax.lax.pcast(array, tuple(axes - names), to="varying")
        for array, names in zip(arrays, varying, strict=True)
    )
