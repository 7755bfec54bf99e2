"""Batches that are loaded ahead of time, in order."""

import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

MOST_BATCHES = 4
"""The most batches that wait in memory to be used."""

MOST_BYTES = 2**28
"""The most bytes of images among them, 256 MiB; a single batch may be larger."""

Item = TypeVar("Item", covariant=True)


class RandomAccess(Protocol[Item]):
    """Items by number, such as batches."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item: ...


class Prefetch(Iterator[Item], Generic[Item]):
    """Iterates over items while threads load those that follow.

    The threads begin at once and end with the iterator. An error of an item is raised
    in its place and ends the iteration.

    Args:
        items: what is loaded; as many threads ask for them.
        item_bytes: the size of one; decides how many are loaded ahead: at most
            ``MOST_BATCHES``, or one per thread, of together ``MOST_BYTES``, and at
            least one.
        threads: how many load at the same time.
    """

    def __init__(self, items: RandomAccess[Item], item_bytes: int, threads: int = 1):
        self._items = items
        self._pool = ThreadPoolExecutor(threads, "cnnjax batches")
        self._end = weakref.finalize(
            self, self._pool.shutdown, wait=False, cancel_futures=True
        )
        self._pending: deque[Future[Item]] = deque()
        self._numbers = iter(range(len(items)))
        ahead = MOST_BYTES // max(1, item_bytes)
        for _ in range(max(1, min(max(MOST_BATCHES, threads), ahead))):
            self._submit()

    def _submit(self) -> None:
        number = next(self._numbers, None)
        if number is not None:
            self._pending.append(self._pool.submit(self._items.__getitem__, number))

    def is_ready(self) -> bool:
        """Whether the next item is there, so that ``next`` returns at once."""
        return not self._pending or self._pending[0].done()

    def __next__(self) -> Item:
        if not self._pending:
            raise StopIteration
        try:
            item = self._pending.popleft().result()
        except BaseException:
            self._numbers = iter(())
            self._pending.clear()
            self._end()
            raise
        self._submit()
        return item
