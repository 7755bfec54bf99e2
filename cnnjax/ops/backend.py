"""Which kernels compute an operation on a CPU: the compiled library's or XLA's.

``auto`` uses the compiled library on a CPU where it was built and is fast, and XLA for
everything else and on other devices. ``native`` is an error where the library cannot
compute an operation; ``xla`` is XLA alone. The choice is made when an operation is
traced and holds for its gradients too; the cache of ``jax.jit`` keeps the backends
apart.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Literal, NoReturn, cast, get_args

import jax

from cnnjax.errors import BackendError

Backend = Literal["auto", "native", "xla"]
VARIABLE = "CNNJAX_BACKEND"


_backend = jax.make_user_context("")


@contextlib.contextmanager
def backend(name: Backend) -> Iterator[None]:
    """Chooses the backend of the operations traced inside.

    Outside of any such context it is the environment variable ``CNNJAX_BACKEND``, and
    ``auto`` without that.

    Raises:
        ValueError: another name.
    """
    with _backend(check_backend(name)):
        yield


def current_backend() -> Backend:
    """The backend chosen by the innermost context, or by the environment.

    It is ``xla`` while Flax tabulates a network.

    Raises:
        ValueError: the environment variable holds another name.
    """
    if _backend.value:
        return _backend.value
    if _makes_table():
        return "xla"
    return check_backend(os.environ.get(VARIABLE) or "auto", VARIABLE)


def _makes_table() -> bool:
    """Whether ``flax.linen``'s ``tabulate`` traces this operation.

    Flax has XLA count the operations, and XLA reports -1 for a kernel of another
    library. The only sign of what Flax is doing is its place on the call stack.
    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "flax.linen.summary":
            return True
        frame = frame.f_back
    return False


def check_backend(name: str, source: str = "backend") -> Backend:
    """Returns ``name``.

    Raises:
        ValueError: it is not the name of a backend; ``source`` says where it came from.
    """
    if name not in get_args(Backend):
        hint = "; 'onednn' is called 'native' now" if name == "onednn" else ""
        raise ValueError(
            f"{source} is {name!r}, expected 'auto', 'native' or 'xla'{hint}"
        )
    return cast(Backend, name)


def chosen_backend(name: Backend | None) -> Backend:
    """The backend called ``name``; ``None`` is the current one.

    Raises:
        ValueError: another name.
    """
    return check_backend(name) if name else current_backend()


def refuse(what: str, reason: str) -> NoReturn:
    """Says that ``"native"`` was asked for and cannot compute ``what``.

    Raises:
        BackendError: always.
    """
    raise BackendError(
        f"backend is 'native', which cannot compute the {what}: {reason}; use 'auto'"
    )
