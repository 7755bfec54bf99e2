"""Which parameters weight decay shrinks."""

from typing import Any

import jax


def decay_mask(params: Any) -> Any:
    """A tree like ``params`` that is true where weight decay applies.

    A parameter is decayed if it has more than one axis. Kernels have; biases and the
    scales and shifts of normalisation have one, and decaying those gains nothing
    (He et al., "Bag of Tricks", 2019, section 3.1). timm follows the same rule.

    Args:
        params: a tree of arrays.
    """
    return jax.tree.map(lambda x: x.ndim > 1, params)
