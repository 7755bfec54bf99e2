"""The limit on the size of an array that is read into memory."""

from cnnjax.errors import DataError

MAX_BYTES = 8 * 2**30
"""Eight GiB: a larger array is rejected before any memory is allocated."""


def check_size(name: str, num_bytes: int) -> None:
    """Rejects an array that is larger than ``MAX_BYTES``.

    Args:
      name: what the array is, for the message.
      num_bytes: size according to its header.

    Raises:
      DataError: if the size is above the limit.
    """
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"{name} declares {num_bytes:,} bytes, more than the {MAX_BYTES:,} that"
            " may be read into memory: its header is damaged, or the data set must be"
            " streamed (data.streaming), split or made smaller"
        )
