"""Networks of the catalog with few blocks, for what does not depend on the depth."""

from cnnjax.models import MODELS


def shallow(name):
    """Options for at most two blocks a stage, the first and another.

    The published depths are those of ``tests/models/test_catalog.py``.
    """
    blocks = getattr(MODELS[name], "blocks", None)
    return {} if blocks is None else {"blocks": tuple(min(2, n) for n in blocks)}
