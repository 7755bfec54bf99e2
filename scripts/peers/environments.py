"""A virtual environment for each framework, made when it is first needed."""

import subprocess
import sys
from pathlib import Path

from peers.roster import PACKAGES, Peer


class InstallationError(RuntimeError):
    """A framework that cannot be installed; the message says what pip said."""


def interpreter(peer: Peer, folder: Path) -> str:
    """The Python that runs a peer's worker; its packages are installed if need be.

    Args:
        peer: whose worker it is.
        folder: holds the environments.

    Raises:
        InstallationError: pip failed.
    """
    if peer.environment is None:
        return sys.executable
    place = folder / peer.environment
    python = place / "bin" / "python"
    if not python.exists() or (place / "unfinished").exists():
        _install(place, PACKAGES[peer.environment])
    return str(python.absolute())


def _install(place: Path, packages: list) -> None:
    print(f"installing {' and '.join(packages)} into {place}", file=sys.stderr)
    place.mkdir(parents=True, exist_ok=True)
    mark = place / "unfinished"
    mark.touch()
    python = str(place / "bin" / "python")
    _run(sys.executable, "-m", "venv", str(place))
    _run(python, "-m", "pip", "install", "-q", *packages)
    mark.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise InstallationError(f"{' '.join(command)} failed: {' '.join(last)}")
