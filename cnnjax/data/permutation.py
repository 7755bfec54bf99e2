"""Random orders that are the same for every version of NumPy."""

import numpy as np

from cnnjax.errors import DataError


def permutation(n: int, *seeds: int) -> np.ndarray:
    """Returns a random order of ``0 .. n - 1`` that depends only on the seeds.

    NumPy may change what ``Generator.permutation`` returns, but guarantees the raw bits
    of ``Philox`` and ``SeedSequence``. Sorting those gives an order that a resumed run
    can reproduce.

    Args:
      n: length of the order.
      seeds: non-negative integers.

    Raises:
      DataError: if a seed is negative.
    """
    if min(seeds) < 0:
        raise DataError(f"seed is {min(seeds)}: expected a whole number, 0 or more")
    bits = np.random.Philox(np.random.SeedSequence(seeds)).random_raw(n)
    return np.argsort(bits, kind="stable")
