"""The decorator of functions whose gradient is written by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import jax

Result = TypeVar("Result")


def custom_vjp(
    *static: str,
) -> Callable[[Callable[..., Result]], jax.custom_vjp[Result]]:
    """``jax.custom_vjp`` with the names of its static arguments, for type checkers."""
    return cast(Any, partial(jax.custom_vjp, nondiff_argnames=static))
