"""How far two right gradients may lie apart, from the dtype and the sums behind them.

A sum of n terms in an arithmetic of unit eps has a rounding error of about
``sqrt(n) eps`` times the size of its terms, if the errors are independent (Higham 2002,
section 2.8). With a factor of 8 for the layers that such errors pass through::

    |gradient - truth| <= 8 sqrt(n) eps max |truth|

and n the number of terms, not known for a function in general: the number of values in
all its arguments is taken, at least 64. Half precision is summed in float32, so that
there n is 1.
"""

import math

import jax.numpy as jnp
import numpy as np

FACTOR, FEWEST_TERMS = 8, 64

# A step of 1e-6 and rounding at 1e-16 leave a central difference exact to about 1e-9;
# a few units of a large network pass a kink on that step.
FINITE_DIFFERENCE = 1e-5


def relative_tolerance(dtype: np.dtype, terms: int) -> float:
    """The largest error over the largest value that counts as rounding."""
    eps = float(jnp.finfo(dtype).eps)
    if eps > jnp.finfo(jnp.float32).eps:
        return FACTOR * eps
    return FACTOR * math.sqrt(max(terms, FEWEST_TERMS)) * eps


def units_in_the_last_place(error: float, size: float, dtype: np.dtype) -> float:
    """``error`` in units of the last place of a number as large as ``size``."""
    if error == 0:
        return 0.0
    smallest = float(jnp.finfo(dtype).tiny)
    exponent = math.floor(math.log2(max(abs(size), smallest)))
    return error / (2.0**exponent * float(jnp.finfo(dtype).eps))
