"""Train convolutional networks in JAX/Flax with every gradient written by hand.

``cnnjax.train`` trains a network, ``cnnjax.evaluate`` scores a trained one,
``cnnjax.load`` makes predictions with it, and ``cnnjax.compare_gradients`` compares the
gradients of two functions. ``cnnjax.layers``, ``cnnjax.ops`` and ``cnnjax.models`` hold
the parts of networks. Importing this module loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnjax.api import TrainedRun, evaluate, train
    from cnnjax.compare import compare_gradients
    from cnnjax.inference import TrainedModel, load
    from cnnjax.inference.run_report import write_report
    from cnnjax.report.callbacks import Callback
    from cnnjax.train.step.example_norms import per_example_gradient_norms

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "TrainedModel",
    "TrainedRun",
    "compare_gradients",
    "evaluate",
    "load",
    "per_example_gradient_norms",
    "train",
    "write_report",
]

_MODULES = {
    "Callback": "report.callbacks",
    "TrainedModel": "inference",
    "TrainedRun": "api",
    "compare_gradients": "compare",
    "evaluate": "api",
    "load": "inference",
    "per_example_gradient_norms": "train.step.example_norms",
    "write_report": "inference.run_report",
}


def __getattr__(name: str) -> Any:
    if name == "train":  # a package that can be called
        return importlib.import_module(f"{__name__}.train")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
