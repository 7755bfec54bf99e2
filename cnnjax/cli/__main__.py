"""``python -m cnnjax.cli`` is ``cnnjax``."""

from cnnjax.cli import run

run()
