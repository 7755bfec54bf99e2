"""Batches: which examples a step sees, and their arrays, prepared ahead of time."""

import functools
import operator
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, SupportsIndex

import numpy as np

from cnnjax.data.dataset import Split
from cnnjax.data.permutation import permutation
from cnnjax.errors import DataError
from cnnjax.typing import Array, Images

_THREADS = 1
_PREFETCH_BATCHES = 4


class Batch(NamedTuple):
    """Images ``(b, *spatial, channels)`` with labels and weights ``(b,)``.

    Labels are int32. Weights are float32: 1 for an example, 0 for padding.
    """

    images: Images
    labels: Array
    weights: Array


class Part(NamedTuple):
    """One of ``count`` equal shares of each batch, that of process ``index``."""

    index: int = 0
    count: int = 1

    def rows(self, batch_size: int) -> slice:
        """Its rows of a batch, whose size ``count`` has to divide."""
        size = batch_size // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


def train_indices(n: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Returns the examples ``(batch_size,)`` of one step, a function of seed and step.

    Training is a stream without gaps. Position ``p = step * batch_size + i`` belongs to
    epoch ``p // n`` and shows entry ``p % n`` of that epoch's random order, so each
    example comes exactly once an epoch, and a batch may span two epochs.

    Args:
      n: examples of the training split.
      batch_size: examples a step, at most n.
      seed: whole number, 0 or above.
      step: whole number, from 0 on.

    Raises:
      DataError: if a number is out of range.
    """
    if not 1 <= batch_size <= n:
        raise DataError(
            f"batch_size is {batch_size}, but the training split has {n} examples:"
            f" expected 1 to {n}"
        )
    if seed < 0 or step < 0:
        raise DataError(f"seed is {seed} and step {step}: expected 0 or above")
    epoch, start = divmod(step * batch_size, n)
    head = _epoch_order(n, seed, epoch)[start : start + batch_size]
    if len(head) == batch_size:
        return head
    tail = _epoch_order(n, seed, epoch + 1)[: batch_size - len(head)]
    return np.concatenate([head, tail])


# Two epochs meet in a batch, and a training split and a copy of it may alternate.
@functools.lru_cache(maxsize=4)
def _epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    order = permutation(n, seed, epoch)
    order.flags.writeable = False
    return order


@dataclass(frozen=True, eq=False)
class TrainBatches:
    """The batches of training by random access: entry i is step ``start_step + i``."""

    split: Split
    batch_size: int
    seed: int
    start_step: int
    num_steps: int
    part: Part = WHOLE

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, index: SupportsIndex) -> Batch:
        images, labels = self.split
        step = self.start_step + operator.index(index)
        chosen = train_indices(len(labels), self.batch_size, self.seed, step)
        chosen = chosen[self.part.rows(self.batch_size)]
        weights = np.ones(len(chosen), np.float32)
        return Batch(images[chosen], labels[chosen], weights)


def train_batches(
    split: Split,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_steps: int | None = None,
    part: Part = WHOLE,
) -> Iterator[Batch]:
    """Iterates over the batches of training, prepared ahead of time in a thread.

    Started at step s, it goes on exactly as one started at 0 does after s batches.

    Args:
      split: the training split.
      batch_size: examples a step, at most those of the split.
      seed: decides the order.
      start_step: the first step.
      num_steps: how many steps; None for no end.
      part: the share of each batch that is made; all of it by default.

    Raises:
      DataError: if a number is out of range, or the batch does not divide into parts.
    """
    if num_steps is None:
        num_steps = sys.maxsize - start_step
    if num_steps < 0:
        raise DataError(f"num_steps is {num_steps}: expected 0 or above, or None")
    # Also checks the numbers, here and not in a thread later on.
    train_indices(len(split.labels), batch_size, seed, start_step)
    _check_part(batch_size, part)
    batches = TrainBatches(split, batch_size, seed, start_step, num_steps, part)
    return _prefetch(batches)


def _prefetch(batches: TrainBatches) -> Iterator[Batch]:
    # Imported here because it takes most of a second. Threads, unlike worker processes,
    # need no absl flags, and pass on what the source raises.
    import grain

    options = grain.ReadOptions(
        num_threads=_THREADS, prefetch_buffer_size=_PREFETCH_BATCHES
    )
    # After an error Grain's iterator would go on with the next batch; a generator ends.
    yield from grain.MapDataset.source(batches).to_iter_dataset(options)


def eval_batches(split: Split, batch_size: int, part: Part = WHOLE) -> Iterator[Batch]:
    """Iterates over a split in order, each example exactly once.

    The last batch is filled up with zeros of weight 0, so that all have one shape.

    Args:
      split: images and labels.
      batch_size: examples a batch; may be more than the split has.
      part: the share of each batch that is made; all of it by default.

    Raises:
      DataError: if the batch size is not above 0, or does not divide into parts.
    """
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}: expected 1 or more")
    _check_part(batch_size, part)
    rows = part.rows(batch_size)
    starts = range(0, len(split.labels), batch_size)
    return (
        _eval_batch(split, start + rows.start, start + rows.stop) for start in starts
    )


def _check_part(batch_size: int, part: Part) -> None:
    if batch_size % part.count:
        raise DataError(
            f"batch_size is {batch_size}, which does not divide into {part.count} parts"
        )


def _eval_batch(split: Split, start: int, stop: int) -> Batch:
    images, labels = (x[start:stop] for x in split)
    batch = Batch(images, labels, np.ones(len(labels), np.float32))
    missing = stop - start - len(labels)
    if not missing:
        return batch
    return Batch(*(np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) for x in batch))
