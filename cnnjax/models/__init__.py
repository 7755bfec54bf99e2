"""One network architecture a file; ``MODELS`` maps the names in configs to them.

A network has the field ``dtype: DTypeLike | None = None`` and hands it to each of its
layers as their ``dtype``, but not to the last: that one takes the dtype of its weights,
so that logits are float32 whatever came before. ``dtype="bfloat16"`` is then mixed
precision, and ``None`` computes in the dtype of images and weights, float64 among them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cnnjax import layers as nn
from cnnjax.models.cnn import SimpleCNN, SmallCNN
from cnnjax.models.initializers import make_initializer
from cnnjax.models.lenet import LeNet5
from cnnjax.spelling import unknown_name

MODELS: Mapping[str, type[nn.Module]] = {
    "lenet5": LeNet5,
    "simple_cnn": SimpleCNN,
    "small_cnn": SmallCNN,
}


def make_model(name: str, *, num_classes: int, **options: Any) -> nn.Module:
    """The network called ``name``.

    Args:
        name: a key of ``MODELS``.
        num_classes: outputs of the network.
        options: other fields of the network's class.

    Raises:
        ValueError: an unknown name or option.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    fields = {field.name for field in dataclasses.fields(MODELS[name])}
    known = sorted(fields - {"num_classes", "name", "parent"})
    for option in options:
        if option not in known:
            raise unknown_name(f"option of model {name!r}", option, known)
    if "kernel_init" in options:
        make_initializer(options["kernel_init"])  # refuses an unknown name
    return MODELS[name](num_classes=num_classes, **options)


__all__ = ["MODELS", "LeNet5", "SimpleCNN", "SmallCNN", "make_model"]
