"""The parameters and multiply-adds of a network, counted without running it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnjax.benchmark.flops import count_products
from cnnjax.models import make_model
from cnnjax.models.catalog import CATALOG


class Size(NamedTuple):
    """The size of a network.

    Attributes:
        parameters: number of trained values, without running moments.
        multiply_adds: multiply-adds of inference for one image, in convolutions and
            dense layers.
    """

    parameters: int
    multiply_adds: int


def published_size(name: str) -> Size:
    """The size of a network of ``CATALOG``, for one image of the published shape."""
    entry = CATALOG[name]
    model = make_model(name, num_classes=entry.num_classes)
    x = jax.ShapeDtypeStruct((1, *entry.shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    sizes = []

    def run(key, x):
        y, variables = model.init_with_output(key, x, train=False)
        sizes.extend(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        return y

    # Two operations, a product and a sum, are one multiply-add.
    multiply_adds = sum(count_products(run, key, x)) // 2
    return Size(sum(sizes), multiply_adds)
