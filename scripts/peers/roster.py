"""The frameworks to compare: their workers, environments and options."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

OURS = "cnnjax"


class Peer(NamedTuple):
    """A row of the table.

    Attributes:
        worker: the module that runs it.
        environment: the folder of its virtual environment; ``None`` means the
            interpreter that runs the driver.
        options: options for the worker.
        variables: environment variables of its process.
    """

    worker: str
    environment: str | None = None
    options: Mapping = MappingProxyType({})
    variables: Mapping = MappingProxyType({})


def _torch(layout, compiled):
    options = {"layout": layout, "compile": compiled}
    return Peer("peers.torch_worker", "torch", options)


def _keras(backend):
    options, variables = {"backend": backend}, {"KERAS_BACKEND": backend}
    return Peer("peers.keras_worker", f"keras-{backend}", options, variables)


PEERS = {
    OURS: Peer("peers.cnnjax_worker", variables={"CNNJAX_BACKEND": "auto"}),
    "cnnjax-xla": Peer("peers.cnnjax_worker", variables={"CNNJAX_BACKEND": "xla"}),
    "flax": Peer("peers.flax_worker"),
    "torch": _torch("channels-first", False),
    "torch-channels-last": _torch("channels-last", False),
    "torch-compile": _torch("channels-last", True),
    "keras-tensorflow": _keras("tensorflow"),
    "keras-jax": _keras("jax"),
}
PACKAGES = {
    "torch": ["torch"],
    "keras-tensorflow": ["keras", "tensorflow-cpu"],
    "keras-jax": ["keras", "jax"],
}
