"""Glyphs: a synthetic data set of 1-D signals in the style of MNIST-1D."""

import numpy as np

from cnnjax.data.dataset import RawDataset, Split
from cnnjax.errors import DataError

LENGTH = 40
"""Samples per signal."""

# Ten curves of twelve points, drawn by hand for this data set. Each is close to zero at
# both ends, and no two differ only by a shift, a factor or a slope.
_TEMPLATES = (
    np.array(
        [
            [0, 2, 5, 8, 10, 9, 7, 5, 3, 2, 1, 0],
            [0, 7, 10, 7, 0, -4, -4, 0, 6, 9, 6, 0],
            [0, 10, 9, 0, -9, -10, 0, 9, 10, 0, -9, -4],
            [0, 0, 1, 10, 10, 10, 10, -6, -6, -6, 0, 0],
            [0, -3, -6, -10, -6, 0, 10, 4, 0, -2, -1, 0],
            [0, 9, -9, 9, -9, 8, -8, 6, -5, 3, -2, 0],
            [0, 10, 2, 2, 2, 2, 2, 2, 2, 2, 10, 0],
            [0, 3, 6, 10, -10, -6, -3, 3, 6, 10, -10, 0],
            [0, -8, -8, 5, 5, 10, 10, 5, 5, -8, -8, 0],
            [0, 0, 8, 0, 0, -10, 0, 0, 10, 0, 0, -5],
        ],
        np.float64,
    )
    / 10
)

_SEED = 20_2011


def load_glyphs(argument: str = "") -> RawDataset:
    """Makes 4,000 signals for training and 1,000 for testing, always the same ones.

    A signal of class c is curve c, stretched, scaled and placed at random within 40
    samples, plus smooth noise and a slope. A small convolutional network learns to
    distinguish the ten classes; a linear model, which cannot follow the shifts, does
    not.
    After Greydanus, "Scaling down deep learning", https://arxiv.org/abs/2011.14439.

    Returns:
      Images float32 ``(n, 40, 1)``.

    Raises:
      DataError: if there is an argument.
    """
    if argument:
        raise DataError(f"'glyphs1d' takes no argument, got {argument!r}")
    return RawDataset(
        train=make_glyphs(4000, _SEED),
        test=make_glyphs(1000, _SEED + 1),
        num_classes=10,
    )


def make_glyphs(n: int, seed: int) -> Split:
    """Makes n signals with equally frequent classes.

    Args:
      n: number of signals.
      seed: non-negative integer.
    """
    # Unlike Generator's, RandomState's streams never change between NumPy versions.
    random = np.random.RandomState(seed)
    labels = random.permutation(n) % len(_TEMPLATES)
    signals = _place(_TEMPLATES[labels], random)
    signals *= random.uniform(0.7, 1.4, (n, 1))
    signals += _smooth_noise(n, random)
    signals += random.uniform(-0.4, 0.4, (n, 1)) * np.linspace(-1, 1, LENGTH)
    return Split(signals[..., None].astype(np.float32), labels.astype(np.int32))


def _place(curves: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Samples curves ``(n, points)`` as ``(n, LENGTH)``, at random positions."""
    n, points = curves.shape
    widths = random.uniform(16, 26, (n, 1))
    starts = random.uniform(0, 1, (n, 1)) * (LENGTH - widths)
    at = (np.arange(LENGTH) - starts) / widths * (points - 1)
    left = np.clip(np.floor(at), 0, points - 2).astype(int)
    low, high = (np.take_along_axis(curves, left + k, axis=1) for k in (0, 1))
    inside = (at >= 0) & (at <= points - 1)
    return np.where(inside, low + (at - left) * (high - low), 0)


def _smooth_noise(n: int, random: np.random.RandomState) -> np.ndarray:
    """Makes Gaussian noise ``(n, LENGTH)``, correlated between neighboring samples."""
    width = 3
    noise = random.normal(0, 0.2, (n, LENGTH + width - 1))
    return sum(noise[:, k : k + LENGTH] for k in range(width)) / np.sqrt(width)
