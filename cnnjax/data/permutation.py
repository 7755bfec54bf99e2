"""Random orders that stay the same with every version of NumPy."""

import numpy as np

from cnnjax.errors import DataError


def permutation(n: int, *seeds: int) -> np.ndarray:
    """Returns a random order of ``0 .. n - 1`` that depends on the seeds alone.

    NumPy may change what ``Generator.permutation`` returns, but keeps the raw bits of
    ``Philox`` and ``SeedSequence``; sorting those gives an order that a resumed run
    finds again.

    Args:
      n: how many.
      seeds: whole numbers, 0 or above.

    Raises:
      DataError: if a seed is negative.
    """
    if min(seeds) < 0:
        raise DataError(f"seed is {min(seeds)}: expected a whole number, 0 or above")
    bits = np.random.Philox(np.random.SeedSequence(seeds)).random_raw(n)
    return np.argsort(bits, kind="stable")
