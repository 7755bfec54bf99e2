"""Image files that are not decoded yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cnnjax.data.stamps import Stamp


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Image files that are not decoded yet, as a source of such files returns them.

    Attributes:
      names: what messages call each of them, such as its path.
      read: takes the number of a file and returns its content. Threads may call it at
        the same time.
      stamp: takes the number of a file and returns what identifies its content without
        reading it, as ``cnnjax.data.stamps.stamp`` does; ``None`` where nothing does.
    """

    names: Sequence[str]
    read: Callable[[int], bytes]
    stamp: Callable[[int], Stamp | None] = lambda number: None

    def __len__(self) -> int:
        return len(self.names)
