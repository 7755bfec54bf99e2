"""Central differences along random directions, in float64.

``(L(x + h v) - L(x - h v)) / 2h`` should equal ``<dL/dx, v>``, up to h^2 and rounding.
The difference is taken near the arguments, not at them: real data has ties and zeros,
such as a white background, where max-pooling and ReLU have no derivative. A long step
may cross a kink that a short one misses, and a short step has larger rounding errors,
so shorter and longer steps are tried until one agrees; the best one counts.
"""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np

STEPS, NEAR = (1e-6, 1e-5, 1e-7, 1e-4, 1e-3), 0.1


def relative_errors(
    loss: Callable[[Sequence[np.ndarray]], jax.Array],
    gradient: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]],
    leaves: Sequence[np.ndarray],
    seed: int,
    enough: float = 0.0,
) -> list[float]:
    """The error of each leaf's gradient against a central difference.

    The direction changes each value by a random fraction of the leaf's root mean
    square. The error is relative to the product of the norms of gradient and direction,
    so a slope near 0 does not mislead.

    Args:
        loss: a scalar of all leaves.
        gradient: of the loss, one array per leaf.
        leaves: float64 arrays.
        seed: for the directions.
        enough: no further step is tried after an error of at most this.
    """
    compiled = jax.jit(loss)
    near = [x + NEAR * v for x, v in zip(leaves, _random(leaves, seed, 1), strict=True)]
    slopes = gradient(near)

    def slope(i, direction, step):
        ends = []
        for sign in (1, -1):
            moved = list(near)
            moved[i] = near[i] + sign * step * direction
            ends.append(float(compiled(moved)))
        return (ends[0] - ends[1]) / (2 * step)

    errors = []
    for i, direction in enumerate(_random(leaves, seed, 2)):
        expected = float(np.sum(slopes[i] * direction))
        norms = float(np.linalg.norm(slopes[i]) * np.linalg.norm(direction)) or 1.0
        best = math.inf
        for step in STEPS:
            best = min(best, abs(slope(i, direction, step) - expected) / norms)
            if best <= enough:
                break
        errors.append(best)
    return errors


def _random(leaves, seed, use):
    """For each leaf, normally distributed numbers with its root mean square."""
    for i, leaf in enumerate(leaves):
        size = float(np.sqrt(np.mean(np.square(leaf)))) if leaf.size else 0.0
        draw = np.random.default_rng((seed, use, i))
        yield draw.standard_normal(leaf.shape) * (size or 1.0)
