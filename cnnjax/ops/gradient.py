"""The decorator of functions whose gradient is written by hand, and its switch.

``with gradients("autodiff"):`` runs the stock operations of JAX instead, differentiated
by JAX itself: to compare the two, and for forward mode (``jax.jvp``, ``jax.jacfwd``),
which a hand-written reverse rule cannot give. What is traced inside stays as it was
traced; ``jax.jit`` keeps the two apart in its cache. ``jax.linear_transpose`` passes
through the linear functions either way.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypeVar, cast

import jax
import jax.numpy as jnp

from cnnjax.ops.gradient_rules import functions

Mode = Literal["custom", "autodiff"]
Result = TypeVar("Result")

_mode = jax.make_user_context("custom")
_watcher = jax.make_user_context(None)
_substitute = jax.make_user_context(None)


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


@contextlib.contextmanager
def watch_calls(watcher: Callable[["CustomVJP", dict[str, Any]], None]):
    """Calls ``watcher`` for each function with a hand-written gradient traced inside.

    It gets the function and its arguments by name. Functions that such a function or
    its gradient calls in turn are not reported.
    """
    with _watcher(watcher):
        yield


@contextlib.contextmanager
def substituted(substitute: Callable[["CustomVJP", tuple, dict[str, Any]], Any]):
    """Has ``substitute`` compute the functions with a hand-written gradient.

    It gets the function, its arguments and its keyword arguments, and returns the
    result, or ``NotImplemented`` to leave the call to the function. An exporter draws a
    convolution as one node this way.
    """
    with _substitute(substitute):
        yield


class CustomVJP(Generic[Result]):
    """A function with a hand-written gradient, given by ``defvjp``.

    Args:
        function: the forward map.
        static: names of its arguments that are no arrays.
        stock: what to run instead where JAX is to differentiate; by default
            ``function`` itself.
        real: whether arrays that are not real floating-point numbers, such as complex
            ones and integers, go to ``stock``.
        linear: sets of arguments, each as names separated by spaces; in the arguments
            of one set together, with the others fixed, the function is linear (or
            linear plus a constant), so it can be transposed.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        static: tuple[str, ...],
        stock: Callable[..., Result] | None,
        real: bool,
        linear: tuple[str, ...],
    ):
        functools.update_wrapper(self, function)
        self._global = function.__qualname__
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._custom = jax.custom_vjp(function, nondiff_argnames=static)
        self._stock = stock or function
        self._real = real
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._arrays = [i for i, name in enumerate(parameters) if name not in static]
        names = [name for name in parameters if name not in static]
        self._first = names[0]
        self.count = len(names)
        self.linear = [{names.index(name) for name in row.split()} for row in linear]
        self.kept: list[int] = []  # which arrays the backward rule gets as they are

    def defvjp(self, forward: Callable, backward: Callable) -> None:
        """Sets the rules, as ``jax.custom_vjp.defvjp`` takes them."""

        def remember(*args):
            with _watcher(None):
                y, residuals = forward(*args)
            arrays = [id(args[i]) for i in self._arrays]
            ids = map(id, jax.tree.leaves(residuals))
            self.kept = [arrays.index(i) for i in ids if i in arrays]
            return y, residuals

        def rule(*args):
            with _watcher(None):
                return backward(*args)

        rule.__name__ = self.name  # JAX keeps it, and ``gradient_rules`` reads it
        functions[self.name] = self
        self._custom.defvjp(remember, rule)

    def __reduce__(self) -> str:
        # A copy or a pickle is the global of this name, as for any function.
        return self._global

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Applies the function."""
        if _substitute.value is not None:
            y = _substitute.value(self, args, kwargs)
            if y is not NotImplemented:
                return cast(Result, y)
        if _watcher.value is not None:
            _watcher.value(self, self._signature.bind(*args, **kwargs).arguments)
            with _watcher(None):
                return self(*args, **kwargs)
        first = args[0] if args else kwargs.get(self._first)
        if _mode.value == "autodiff" or (self._real and not _is_floating(first)):
            return self._stock(*args, **kwargs)
        return cast(Result, self._custom(*args, **kwargs))


def custom_vjp(
    *static: str,
    stock: Callable[..., Any] | None = None,
    real: bool = False,
    linear: tuple[str, ...] = (),
) -> Callable[[Callable[..., Result]], CustomVJP[Result]]:
    """The decorator that makes a ``CustomVJP`` of a function."""
    return lambda function: CustomVJP(function, static, stock, real, linear)


def _is_floating(x):
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)


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
