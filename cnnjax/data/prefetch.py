"""Batches that are loaded ahead of time, in order."""

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

MOST_BATCHES = 4
"""The most batches that are kept in memory ahead of time."""

MOST_BYTES = 2**28
"""The most bytes of their images, 256 MiB; a single batch may be larger."""

Item = TypeVar("Item", covariant=True)


class RandomAccess(Protocol[Item]):
    """Items by number, such as batches."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Item: ...


class Prefetch(Iterator[Item], Generic[Item]):
    """Iterates over items while threads load the next ones.

    The threads start immediately and end with the iterator. An error in loading an item
    is raised in its place and ends the iteration.

    Args:
        items: the items to load; several threads may ask for them at the same time.
        item_bytes: the size of one item. Up to ``MOST_BATCHES`` items, or one per
            thread if that is more, are loaded ahead, but at most ``MOST_BYTES`` in
            total, and at least one item.
        threads: number of threads.
        chosen: the indices to load, in this order; ``None`` for all.
    """

    def __init__(
        self,
        items: RandomAccess[Item],
        item_bytes: int,
        threads: int = 1,
        chosen: Iterable[Any] | None = None,
    ):
        self._items = items
        self._pool = ThreadPoolExecutor(threads, "cnnjax batches")
        self._end = weakref.finalize(
            self, self._pool.shutdown, wait=False, cancel_futures=True
        )
        self._pending: deque[Future[Item]] = deque()
        self._chosen = iter(range(len(items)) if chosen is None else chosen)
        ahead = MOST_BYTES // max(1, item_bytes)
        for _ in range(max(1, min(max(MOST_BATCHES, threads), ahead))):
            self._submit()

    def _submit(self) -> None:
        index = next(self._chosen, None)
        if index is not None:
            self._pending.append(self._pool.submit(self._items.__getitem__, index))

    def is_ready(self) -> bool:
        """Whether the next item is ready, so that ``next`` returns immediately."""
        return not self._pending or self._pending[0].done()

    def __next__(self) -> Item:
        if not self._pending:
            raise StopIteration
        try:
            item = self._pending.popleft().result()
        except BaseException:
            self._chosen = iter(())
            self._pending.clear()
            self._end()
            raise
        self._submit()
        return item
