"""Central differences along random directions, in float64.

``(L(x + h v) - L(x - h v)) / 2h`` should equal ``<dL/dx, v>``, up to h^2 and rounding.
The difference is taken near the arguments, not at them: real data has ties and zeros,
such as a white background, where max-pooling and ReLU have no derivative. A long step
may cross a kink that a short one misses, and a short step has larger rounding errors,
so shorter and longer steps are tried until one agrees; the best one counts. In a large
network, every step may cross a kink. The slope then changes on the way, and the
difference is a mean of slopes. So a gradient is right, too, if the difference with a
short step lies between the smallest and the largest slope at its middle and ends.

A network has hundreds of parameters, and each difference runs it twice. So parameters
whose slopes are of similar size move together: if the difference equals the sum of
their slopes, up to the error allowed to the smallest, all of these gradients are right.
If not, each half of them is tried.

Some gradients are zero, such as that of a bias before batch normalization, and are pure
rounding errors. They are right if the difference with the longest step, whose rounding
errors are smallest, is zero up to ``ROUNDING`` units in the last place of the loss.
"""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np

SHORT_STEPS = (1e-6, 1e-10, 1e-8, 1e-7)
STEPS, NEAR = (*SHORT_STEPS, 1e-5, 1e-4, 1e-3), 0.1
ROUNDING = 16


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
    so a slope near 0 does not mislead. Leaves that moved together share the error of
    their sum, relative to each one's own product.

    Args:
        loss: a scalar of all leaves.
        gradient: of the loss, one array per leaf.
        leaves: float64 arrays.
        seed: for the directions.
        enough: the error up to which a gradient is right; nothing further is tried.
    """
    compiled = jax.jit(loss)
    near = [x + NEAR * v for x, v in zip(leaves, _random(leaves, seed, 1), strict=True)]
    slopes = gradient(near)
    directions = list(_random(leaves, seed, 2))
    pairs = list(zip(slopes, directions, strict=True))
    expected = [float(np.sum(slope * v)) for slope, v in pairs]
    norms = [
        float(np.linalg.norm(slope) * np.linalg.norm(v)) or 1.0 for slope, v in pairs
    ]

    def ends(group, step):
        for sign in (1, -1):
            moved = list(near)
            for i in group:
                moved[i] = near[i] + sign * step * directions[i]
            yield moved

    def difference(group, step):
        """The central difference, and its rounding error for the longest step."""
        losses = [float(compiled(moved)) for moved in ends(group, step)]
        rounding = ROUNDING * np.spacing(max(map(abs, losses))) / step
        slope = (losses[0] - losses[1]) / (2 * step)
        return slope, rounding if step == max(STEPS) else 0.0

    def gap_between(found, i, step):
        """How far a leaf's difference is from the slopes on the way."""
        slopes = [np.sum(gradient(x)[i] * directions[i]) for x in ends([i], step)]
        slopes.append(expected[i])
        return float(np.max([np.min(slopes) - found, found - np.max(slopes), 0.0]))

    errors = [math.inf] * len(leaves)
    groups = [sorted(range(len(leaves)), key=norms.__getitem__)]
    while groups:
        group = groups.pop()
        alone = len(group) == 1
        for step in STEPS if alone else (*STEPS[:2], STEPS[-1]):
            found, rounding = difference(group, step)
            gap = abs(found - sum(expected[i] for i in group)) - rounding
            gap = float(np.maximum(gap, 0.0))  # NaN stays, unlike in Python's max
            if alone and step in SHORT_STEPS and gap / norms[group[0]] > enough:
                gap = gap_between(found, group[0], step)
            for i in group:
                errors[i] = min(errors[i], gap / norms[i])
            if errors[group[0]] <= enough:
                break
        if not alone and not errors[group[0]] <= enough:
            part = 1 if len(group) <= 4 else -(-len(group) // 2)
            groups += [group[k : k + part] for k in range(0, len(group), part)]
    return errors


def _random(leaves, seed, use):
    """For each leaf, normally distributed numbers with its root mean square."""
    for i, leaf in enumerate(leaves):
        size = float(np.sqrt(np.mean(np.square(leaf)))) if leaf.size else 0.0
        draw = np.random.default_rng((seed, use, i))
        yield draw.standard_normal(leaf.shape) * (size or 1.0)
