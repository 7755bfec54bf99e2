"""A virtual environment for each framework, created when first needed."""

import subprocess
import sys
from pathlib import Path

from peers.roster import PACKAGES, Peer


class InstallationError(RuntimeError):
    """A framework cannot be installed; the message is pip's."""


def interpreter(peer: Peer, folder: Path) -> str:
    """The Python interpreter of a peer's worker; installs its packages if needed.

    Args:
        peer: the framework.
        folder: the folder of the environments.

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
