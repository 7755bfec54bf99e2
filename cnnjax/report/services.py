"""A training run in Weights & Biases or in MLflow, if they are installed."""

import importlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.json_file import read_json
from cnnjax.report.tracker import Tracker

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Service(Tracker):
    """A reporter to a service; once a run has begun, its failures do not end it.

    A file in the working directory holds the name of the run there, so that a resumed
    run continues it. The service then has the repeated steps twice, with the same
    values.

    Args:
        name: ``"wandb"`` or ``"mlflow"``.
        workdir: the run's working directory.
        settings: of the run by dotted names.
        tell: called with a sentence for people if the service fails.

    Raises:
        ConfigError: its package is not installed.
    """

    def __init__(
        self,
        name: str,
        workdir: Path,
        settings: Mapping[str, Any],
        tell: Callable[[str], None],
    ):
        self._name, self._workdir, self._tell = name, workdir, tell
        self._settings = {key: _plain(value) for key, value in settings.items()}
        self._failed = self._is_open = False
        try:
            self._module: Any = importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"report names {name!r}, which is not installed ({error}); run"
                f" pip install {name}"
            ) from error

    def start(self, info: Mapping[str, Any]) -> None:
        """Begin a run there, or continue the one that was begun.

        Raises:
            ConfigError: the service refuses it.
        """
        path = self._workdir / f"{self._name}.json"
        try:
            known = _read_id(path)
            started = self.begin(known)
            self._is_open = True
            if known is None:
                write_whole(path, json.dumps({"id": started}) + "\n")
        except Exception as error:  # of a package that is not ours
            raise ConfigError(f"report: {self._name} cannot start: {error}") from error

    def begin(self, known: str | None) -> str:
        """Begin or continue a run, and return its name."""
        raise NotImplementedError

    def finish(self, *, succeeded: bool) -> None:
        """End the run there."""
        raise NotImplementedError

    def end(self, info: Mapping[str, Any]) -> None:
        """End the run there, unless a signal stopped it."""
        self._finish(succeeded=not info["reason"].startswith("SIG"))

    def close(self) -> None:
        """End the run there as failed, unless it has ended."""
        self._finish(succeeded=False)

    def _finish(self, *, succeeded: bool) -> None:
        if self._is_open:
            self._is_open = False
            self.attempt(self.finish, succeeded=succeeded)

    def attempt(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call the service; the first failure is told."""
        try:
            function(*args, **kwargs)
        except Exception as error:  # of a package that is not ours
            if not self._failed:
                self._tell(f"{self._name} failed: {error}; training continues")
            self._failed = True


class WandB(Service):
    """A reporter to Weights & Biases; its environment variables choose where."""

    def begin(self, known: str | None) -> str:
        """Begin or continue a run."""
        self._run = self._module.init(
            project=os.environ.get("WANDB_PROJECT", "cnnjax"),
            name=self._workdir.name,
            dir=str(self._workdir),
            id=known,
            resume="allow" if known else None,
            config=self._settings,
        )
        self._run.define_metric("*", step_metric="step")
        return self._run.id

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log numbers."""
        self.attempt(self._run.log, {"step": step, **scalars})

    def write_picture(self, name: str, step: int, picture: Image.Image) -> None:
        """Log a picture."""
        image = self._module.Image(picture)
        self.attempt(self._run.log, {"step": step, name: image})

    def finish(self, *, succeeded: bool) -> None:
        """End the run there."""
        self._run.finish(exit_code=0 if succeeded else 1)


class MLflow(Service):
    """A reporter to MLflow; its environment variables choose where."""

    def begin(self, known: str | None) -> str:
        """Begin or continue a run."""
        run = self._module.start_run(run_id=known, run_name=self._workdir.name)
        if known is None:
            self.attempt(self._module.log_params, self._settings)
        return run.info.run_id

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log numbers; MLflow allows few characters in a name."""
        allowed = {re.sub(r"[^\w./ -]", "_", k): v for k, v in scalars.items()}
        self.attempt(self._module.log_metrics, allowed, step=step)

    def write_picture(self, name: str, step: int, picture: Image.Image) -> None:
        """Log a picture as a file."""
        file = f"{name}_{step:08d}.png"
        self.attempt(self._module.log_image, picture, artifact_file=file)

    def finish(self, *, succeeded: bool) -> None:
        """End the run there."""
        self._module.end_run("FINISHED" if succeeded else "KILLED")


SERVICES = {"wandb": WandB, "mlflow": MLflow}
"""The reporters to services by their names."""


def _read_id(path: Path) -> str | None:
    """The name of the run at the service; ``None`` if none was begun."""
    if not os.path.lexists(path):
        return None
    content = read_json(path)
    name = content.get("id") if isinstance(content, dict) else None
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError(
            f"{path} does not hold the name of a run; remove it to start a new run"
        )
    return name


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
