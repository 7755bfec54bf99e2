"""Batches: which examples a step sees, and their arrays, loaded ahead of time."""

import functools
import math
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, SupportsIndex

import numpy as np

from cnnjax.data.alternating_flip import are_mirrored, flip_alternately
from cnnjax.data.class_order import ClassOrder
from cnnjax.data.dataset import Split
from cnnjax.data.permutation import permutation
from cnnjax.data.picks import make_picks
from cnnjax.data.prefetch import Prefetch
from cnnjax.data.stream import StreamedImages
from cnnjax.data.tasks import is_known
from cnnjax.errors import DataError
from cnnjax.typing import Array, Images


class Batch(NamedTuple):
    """Images ``(b, *spatial, channels)`` with labels and weights ``(b,)``.

    Labels are int32 class numbers, or one of the other forms in ``data/tasks.py`` with
    more axes. Weights are float32: 1 for an example, 0 for padding and for an example
    of an unknown class, whose number is 0. In label maps, the pixels to ignore keep the
    label -1. Where the devices hold the images, numbers ``(b,)`` (``data/picks.py``).
    """

    images: Images
    labels: Array
    weights: Array


class Part(NamedTuple):
    """One of ``count`` equal shares of each batch, that of process ``index``."""

    index: int = 0
    count: int = 1

    def rows(self, batch_size: int) -> slice:
        """The rows of this part; ``count`` must divide the batch size."""
        size = batch_size // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


def labeled(images: Images, labels: np.ndarray) -> Batch:
    """A batch of examples; those of an unknown class get weight 0."""
    weights = is_known(labels).astype(np.float32)
    if labels.ndim == 1:
        labels = np.maximum(labels, 0)
    return Batch(images, labels, weights)


def train_indices(n: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Returns the indices ``(batch_size,)`` of one step, a function of seed and step.

    Training is one continuous stream of examples. Position
    ``p = step * batch_size + i`` belongs to epoch ``p // n`` and shows entry ``p % n``
    of that epoch's random order. So each example occurs exactly once per epoch, and a
    batch may span two epochs.

    Args:
      n: number of training examples.
      batch_size: examples per step, at most n.
      seed: non-negative integer.
      step: non-negative integer; the first step is 0.

    Raises:
      DataError: if a number is out of range.
    """
    if not 1 <= batch_size <= n:
        raise DataError(
            f"batch_size is {batch_size}, but the training split has {n} examples:"
            f" expected 1 to {n}"
        )
    if seed < 0 or step < 0:
        raise DataError(f"seed is {seed} and step is {step}: expected 0 or more")
    epoch, start = divmod(step * batch_size, n)
    head = _epoch_order(n, seed, epoch)[start : start + batch_size]
    if len(head) == batch_size:
        return head
    tail = _epoch_order(n, seed, epoch + 1)[: batch_size - len(head)]
    return np.concatenate([head, tail])


# A batch may span two epochs, and a training split may alternate with a copy of it.
@functools.lru_cache(maxsize=4)
def _epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    order = permutation(n, seed, epoch)
    order.flags.writeable = False
    return order


@dataclass(frozen=True, eq=False)
class TrainBatches:
    """Training batches with random access: entry i is step ``start_step + i``.

    A slice is a stack of consecutive batches: their arrays have one more axis in front.

    Attributes:
      split: the training split.
      batch_size: examples per step, over all processes.
      seed: determines the order.
      start_step: the step of the first batch.
      num_steps: how many batches there are.
      part: the share of each batch to load.
      classes: the order of examples if all classes shall occur equally often.
      alternates: whether each image is mirrored in every other epoch.
      picks: whether batches hold the numbers of their images instead of the images.
    """

    split: Split
    batch_size: int
    seed: int
    start_step: int
    num_steps: int
    part: Part = WHOLE
    classes: ClassOrder | None = None
    alternates: bool = False
    picks: bool = False

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, index: SupportsIndex | slice) -> Batch:
        if not isinstance(index, slice):
            return self._load(*self.examples(index))
        numbers = range(*index.indices(len(self)))
        examples = [self.examples(number) for number in numbers]
        whole = self._load(*map(np.concatenate, zip(*examples, strict=True)))
        size = self.batch_size // self.part.count
        return Batch(*(x.reshape(-1, size, *x.shape[1:]) for x in whole))

    def _load(self, chosen: np.ndarray, epochs: np.ndarray) -> Batch:
        """The examples with these numbers, as they are in these epochs."""
        images, labels = self.split
        turns, own = {"examples": len(labels), "seed": self.seed}, labels[chosen]
        if self.alternates and own.ndim > 2:  # label maps
            own = flip_alternately(own[..., None], chosen, epochs, **turns)[..., 0]
        if self.picks:
            mirrored = self.alternates and are_mirrored(chosen, epochs, **turns)
            return labeled(make_picks(chosen, mirrored), own)
        is_read = isinstance(images, StreamedImages)
        found = (
            images.at_random(chosen, self.seed, epochs) if is_read else images[chosen]
        )
        if self.alternates:
            found = flip_alternately(found, chosen, epochs, **turns)
        return labeled(found, own)

    def examples(self, index: SupportsIndex) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of a batch's examples within the split, and their epochs."""
        step = self.start_step + operator.index(index)
        rows = self.part.rows(self.batch_size)
        positions = step * self.batch_size + np.arange(rows.start, rows.stop)
        if self.classes is not None:
            return self.classes.at(positions, self.seed)
        n = len(self.split.labels)
        chosen = train_indices(n, self.batch_size, self.seed, step)[rows]
        return chosen, positions // n


def train_batches(
    split: Split,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_steps: int | None = None,
    part: Part = WHOLE,
    *,
    classes: ClassOrder | None = None,
    alternates: bool = False,
    picks: bool = False,
    processes: int = 0,
    end: Callable[[int], int] | None = None,
    longest: int = 1,
) -> Prefetch[Batch]:
    """Iterates over training batches, which are loaded ahead of time.

    An iterator that starts at step s yields exactly what one that starts at 0 yields
    after s batches. Up to 4 batches, or 256 MiB in total, wait in memory.

    Args:
      split: the training split.
      batch_size: examples per step, at most those of the split.
      seed: determines the order.
      start_step: the first step.
      num_steps: number of steps; None for an endless iterator.
      part: the share of each batch to load; default: all of it.
      classes: the order of examples if all classes shall occur equally often.
      alternates: whether each image is mirrored in every other epoch.
      picks: whether batches hold the numbers of their images instead of the images.
      processes: number of worker processes that load streamed images; 0 loads them in
        a thread of this process. The batches are the same.
      end: for stacks of batches: how many steps are over after the stack that begins
        when so many are; ``None`` yields single batches.
      longest: the most batches in a stack.

    Raises:
      DataError: if a number is out of range, the batch does not divide into parts, or
        the images cannot be sent to other processes.
    """
    if num_steps is None:
        num_steps = sys.maxsize - start_step
    if num_steps < 0:
        raise DataError(f"num_steps is {num_steps}: expected 0 or more, or None")
    # Also checks the numbers: here, rather than later in a thread.
    train_indices(len(split.labels), batch_size, seed, start_step)
    _check_part(batch_size, part)
    batches = TrainBatches(
        split, batch_size, seed, start_step, num_steps, part, classes, alternates, picks
    )
    chosen = None if end is None else _stacks(start_step, start_step + num_steps, end)
    size = longest * (0 if picks else _bytes(split, batch_size // part.count))
    if processes and isinstance(split.images, StreamedImages):
        from cnnjax.data.worker_processes import WorkerProcesses  # takes a moment

        return Prefetch(WorkerProcesses(batches, processes), size, processes, chosen)
    return Prefetch(batches, size, chosen=chosen)


def _stacks(first: int, last: int, end: Callable[[int], int]) -> Iterator[slice]:
    """The steps from ``first`` to ``last`` in stacks, counted from ``first``."""
    step = first
    while step < last:
        begin, step = step, min(end(step), last)
        yield slice(begin - first, step - first)


def _bytes(split: Split, examples: int) -> int:
    """The size in bytes of the images of some number of examples."""
    images = split.images
    return examples * math.prod(images.shape[1:]) * images.dtype.itemsize


def eval_batches(split: Split, batch_size: int, part: Part = WHOLE) -> Iterator[Batch]:
    """Iterates over a split in order, each example exactly once.

    The last batch is padded with zeros of weight 0, so that all have the same shape.
    A thread loads images that are on disk ahead of time, as in ``train_batches``.

    Args:
      split: images and labels.
      batch_size: examples per batch; may exceed the size of the split.
      part: the share of each batch to load; default: all of it.

    Raises:
      DataError: if the batch size is not positive, or not divisible by the number of
        parts.
    """
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}: expected 1 or more")
    _check_part(batch_size, part)
    batches = _EvalBatches(split, batch_size, part)
    if isinstance(split.images, StreamedImages):
        return Prefetch(batches, _bytes(split, batch_size // part.count))
    return map(batches.__getitem__, range(len(batches)))


@dataclass(frozen=True, eq=False)
class _EvalBatches:
    """Batches of a split in order, with random access."""

    split: Split
    batch_size: int
    part: Part

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        rows = self.part.rows(self.batch_size)
        start = index * self.batch_size
        return _eval_batch(self.split, start + rows.start, start + rows.stop)


def _check_part(batch_size: int, part: Part) -> None:
    if batch_size % part.count:
        raise DataError(
            f"batch_size is {batch_size}: expected a multiple of {part.count}, the"
            " number of parts"
        )


def _eval_batch(split: Split, start: int, stop: int) -> Batch:
    images, labels = (x[start:stop] for x in split)
    batch = labeled(images, labels)
    missing = stop - start - len(labels)
    if not missing:
        return batch
    return Batch(*(np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) for x in batch))
