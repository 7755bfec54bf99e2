"""``python -m cnnjax`` is ``cnnjax``."""

from cnnjax.cli import run

run()
