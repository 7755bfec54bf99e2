"""How much two correct gradients may differ, given the dtype and the sums in them.

A sum of n terms with unit roundoff eps has a rounding error of about ``sqrt(n) eps``
times the size of its terms, if the errors are independent (Higham 2002, section 2.8).
With a factor of 8 for the layers that such errors pass through::

    |gradient - truth| <= 8 sqrt(n) eps max |truth|

The number of terms n is unknown for a function in general, so the number of values in
all its arguments stands in for it, but at least 64. Half precision is summed in
float32, so there n is 1.
"""

import math

import jax.numpy as jnp
import numpy as np

FACTOR, FEWEST_TERMS = 8, 64

NUDGE, DRAWS = 16, 3
"""Units of float32's precision that move the arguments, and how often."""

EXCESS = 4
"""How many times larger than autodiff's own error a gradient's may be.

Where all terms cancel, each error is the largest of a few rounding errors, and of two
correct gradients, one's may be three times the other's.
"""

# With a step of 1e-6 and rounding errors of 1e-16, a central difference is exact to
# about 1e-9, but a few units of a large network cross a kink on that step.
FINITE_DIFFERENCE = 1e-5


def relative_tolerance(dtype: np.dtype, terms: int) -> float:
    """The largest relative error that can be due to rounding."""
    eps = float(jnp.finfo(dtype).eps)
    if eps > jnp.finfo(jnp.float32).eps:
        return FACTOR * eps
    return FACTOR * math.sqrt(max(terms, FEWEST_TERMS)) * eps


def units_in_the_last_place(error: float, size: float, dtype: np.dtype) -> float:
    """``error`` in units in the last place of a number as large as ``size``."""
    if error == 0:
        return 0.0
    smallest = float(jnp.finfo(dtype).tiny)
    exponent = math.floor(math.log2(max(abs(size), smallest)))
    return error / (2.0**exponent * float(jnp.finfo(dtype).eps))
