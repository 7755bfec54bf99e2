"""Reads the pickles in PyTorch's files without executing anything in them.

A pickle is a program for a stack machine, and Python's own machine calls any function
that the program names. This one knows only plain containers, numbers, text, and the few
names with which PyTorch describes tensors. It refuses every other name.
"""

import io
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from cnnjax.errors import WeightsError
from cnnjax.weights.tensors import DTYPES, Storage, Tensor

LARGEST_PICKLE = 2 * 2**20
"""Bytes of a pickle, which describes tensors but does not contain their values."""

_MARK = object()
_KEYS = (str, int, float, type(None))  # hashed at once, however they are nested
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ARGUMENTS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Name(NamedTuple):
    """A function or class that a pickle names."""

    module: str
    attribute: str

    def __str__(self):
        return f"{self.module}.{self.attribute}"


class Pickle(NamedTuple):
    """What a pickle holds.

    Attributes:
        value: the pickled object; tensors are ``Tensor``, ordered mappings ``dict``.
        storages: every storage that it mentions, by key.
    """

    value: Any
    storages: dict[str, Storage]


def load(file: io.BytesIO) -> Pickle:
    """Reads one pickle.

    Args:
        file: positioned at the start of the pickle; afterwards, at its end.

    Raises:
        WeightsError: a pickle that is damaged, too long, or names anything but tensors
            and plain containers.
    """
    machine, start = _Machine(), file.tell()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if file.tell() - start > LARGEST_PICKLE:
                raise WeightsError(
                    f"its pickle has more than {LARGEST_PICKLE:,} bytes, more than a"
                    " description of tensors needs"
                )
            machine.execute(opcode.name, argument)
        return Pickle(machine.pop(), machine.storages)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"its pickle is damaged ({error})") from error


class _Machine:
    """The stack machine: a stack, and a memo of values that are used again."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def execute(self, opcode: str, argument: Any) -> None:
        """Executes one instruction."""
        if opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode]())
        elif opcode in _ARGUMENTS:
            self.stack.append(argument)
        elif opcode in ("PROTO", "FRAME", "STOP"):
            pass
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif opcode in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[opcode])]
            self.stack.append(tuple(reversed(items)))
        elif opcode == "TUPLE":
            self.stack.append(tuple(self.pop_to_mark()))
        elif opcode in ("APPEND", "APPENDS"):
            items = [self.pop()] if opcode == "APPEND" else self.pop_to_mark()
            self.top(list).extend(items)
        elif opcode in ("SETITEM", "SETITEMS"):
            items = self.pop_to_mark() if opcode == "SETITEMS" else self.pop_pair()
            _set(self.top(dict), items)
        elif opcode == "GLOBAL":
            self.stack.append(_allowed(*argument.split(" ", 1)))
        elif opcode == "STACK_GLOBAL":
            self.stack.append(_allowed(*self.pop_pair()))
        elif opcode == "REDUCE":
            function, arguments = self.pop_pair()
            if not isinstance(function, Name) or function not in _CALLS:
                raise WeightsError("its pickle calls a value that is not a function")
            self.stack.append(_CALLS[function](*_check(arguments, tuple)))
        elif opcode == "BUILD":  # attributes of an ordered mapping, such as versions
            self.pop()
            self.top(dict)
        elif opcode == "BINPERSID":
            storage = _storage(*_check(self.pop(), tuple))
            self.storages[storage.key] = storage
            self.stack.append(storage)
        else:
            raise WeightsError(
                f"its pickle has the instruction {opcode}, which no tensor needs"
            )

    def pop(self) -> Any:
        """Takes the topmost value."""
        if self.stack[-1] is _MARK:
            raise WeightsError("its pickle is damaged (a mark in place of a value)")
        return self.stack.pop()

    def pop_pair(self) -> list[Any]:
        """Takes the two topmost values, the lower one first."""
        second = self.pop()
        return [self.pop(), second]

    def pop_to_mark(self) -> list[Any]:
        """Takes all values above the topmost mark, and the mark."""
        items = []
        while self.stack[-1] is not _MARK:
            items.append(self.stack.pop())
        self.stack.pop()
        return items[::-1]

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of a kind."""
        return _check(self.stack[-1], kind)


def _check(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise WeightsError(
            f"its pickle is damaged (a {type(value).__name__} in place of a"
            f" {kind.__name__})"
        )
    return value


def _set(mapping: dict[Any, Any], items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, _KEYS):
            raise WeightsError(
                f"it has a {type(key).__name__} as a key, expected text or a number"
            )
        mapping[key] = value


def _allowed(module: Any, attribute: Any) -> Name:
    """The name, if tensors or plain containers need it.

    Raises:
        WeightsError: any other name.
    """
    # Only text is hashed: hashing nested tuples could take forever.
    name = Name(_check(module, str), _check(attribute, str))
    is_storage = name.module == "torch" and name.attribute in DTYPES
    if is_storage or name in _CALLS:
        return name
    raise WeightsError(
        f"it names {str(name)[:200]}, which could run code; only tensors and plain"
        " containers are read. In PyTorch, save the tensors alone:"
        " torch.save(model.state_dict(), FILE)"
    )


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for pair in items:
        _set(result, [*_check(pair, list)])
    return result


def _storage(tag, kind, key, location, size, view=None) -> Storage:
    """A storage, from PyTorch's persistent identifier of it."""
    if tag != "storage" or not isinstance(kind, Name) or kind.attribute not in DTYPES:
        raise WeightsError("it describes a storage in an unknown form")
    start = 0 if view is None else _size(_check(view, tuple)[1])
    return Storage(kind.attribute, _check(key, str), _size(size), start)


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    """A tensor, from the arguments with which PyTorch would rebuild it."""
    shape, strides = (
        tuple(map(_size, _check(sizes, tuple))) for sizes in (shape, strides)
    )
    return Tensor(_check(storage, Storage), _size(offset), shape, strides)


def _size(value: Any) -> int:
    if not 0 <= _check(value, int) < 2**63:
        raise WeightsError("it has a size, stride or offset that no tensor can have")
    return value


_CALLS: dict[Name, Callable[..., Any]] = {
    Name("collections", "OrderedDict"): _ordered_dict,
    Name("torch", "Size"): lambda sizes: sizes,
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
}
"""Replacements for the functions that a pickle may name."""
