"""An order of training examples in which all classes occur equally often."""

import functools

import numpy as np

from cnnjax.data.permutation import permutation
from cnnjax.errors import DataError

_BLOCKS = 256  # number of blocks whose class orders are drawn together
_CLASSES, _EXAMPLES = 1, 2  # distinguish the seeds of the two kinds of orders


class ClassOrder:
    """A class-balanced stream of examples, a function of seed and position.

    With K classes, positions ``K j`` to ``K j + K - 1`` form a block with one example
    of each class, in random order. A class with m examples shows each of them once in
    every m blocks, in an order that is random each time. So examples of rare classes
    are shown more often. Any position can be computed on its own, so a resumed run
    continues exactly.

    Args:
        labels: class numbers ``(n,)``; -1 for examples that never occur.

    Raises:
        DataError: labels of another form.
    """

    def __init__(self, labels: np.ndarray):
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(
                f"labels have shape {labels.shape} and dtype {labels.dtype}: balanced"
                " sampling needs one class number per example"
            )
        self._classes = np.unique(labels[labels >= 0])
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], self._classes)
        stops = np.searchsorted(labels[order], self._classes, side="right")
        self._members = [order[a:b] for a, b in zip(starts, stops, strict=True)]
        self._of_blocks = functools.lru_cache(4)(self._draw_classes)
        self._of_class = functools.lru_cache(2 * len(self._classes) + 2)(
            self._draw_examples
        )

    def at(self, positions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The examples at some positions, and how often each was shown before.

        Args:
            positions: ``(k,)``, 0 or more.
            seed: the seed of the run.

        Returns:
            The numbers of the examples ``(k,)``, and for each the number of earlier
            positions with the same example.
        """
        count = len(self._classes)
        examples, turns = np.empty_like(positions), np.empty_like(positions)
        for i, position in enumerate(positions.tolist()):
            block, within = divmod(position, count)
            chunk, row = divmod(block, _BLOCKS)
            which = int(self._of_blocks(seed, chunk)[row, within])
            turn, place = divmod(block, len(self._members[which]))
            examples[i], turns[i] = self._of_class(seed, which, turn)[place], turn
        return examples, turns

    def _draw_classes(self, seed: int, chunk: int) -> np.ndarray:
        """The order of the classes in each block of a chunk ``(blocks, classes)``."""
        count = len(self._classes)
        seeds = np.random.SeedSequence((seed, _CLASSES, chunk))
        bits = np.random.Philox(seeds).random_raw(_BLOCKS * count)
        return np.argsort(bits.reshape(_BLOCKS, count), axis=1, kind="stable")

    def _draw_examples(self, seed: int, which: int, turn: int) -> np.ndarray:
        """The order of a class's examples when they are shown the ``turn``-th time."""
        members = self._members[which]
        number = int(self._classes[which])
        return members[permutation(len(members), seed, _EXAMPLES, number, turn)]
