"""Which parameters weight decay applies to."""

from typing import Any

import jax


def decay_mask(params: Any) -> Any:
    """A tree like ``params`` that is true where weight decay applies.

    Parameters with more than one axis are decayed: kernels. Biases and the scales and
    biases of normalization have one axis, and decaying them does not help (He et al.,
    "Bag of Tricks", 2019, section 3.1). timm follows the same rule.

    Args:
        params: a tree of arrays.
    """
    return jax.tree.map(lambda x: x.ndim > 1, params)
