"""The most bytes that a data set may promise to hold in memory."""

from cnnjax.errors import DataError

MAX_BYTES = 8 * 2**30
"""Eight GiB: an array that promises more is refused before memory is taken."""


def check_size(name: str, num_bytes: int) -> None:
    """Refuses an array that is larger than ``MAX_BYTES``.

    Args:
      name: what the array is, for the message.
      num_bytes: size that its header promises.

    Raises:
      DataError: if the size is above the limit.
    """
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"{name} promises {num_bytes:,} bytes, more than the {MAX_BYTES:,} that"
            " are read into memory: its header is damaged, or the data set has to be"
            " streamed (data.streaming), split or made smaller"
        )
