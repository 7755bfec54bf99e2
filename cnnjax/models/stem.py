"""The first layers of ImageNet networks: for large images or for small ones."""

STEMS = ("cifar", "imagenet")


def is_small(stem: str) -> bool:
    """Whether ``stem`` is the one for small images, which keeps their size.

    Raises:
        ValueError: an unknown stem.
    """
    if stem not in STEMS:
        raise ValueError(f"stem is {stem!r}, expected one of {', '.join(STEMS)}")
    return stem == "cifar"
