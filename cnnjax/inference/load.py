"""Loads a trained model from the working directory of its run."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.config.files import check_config
from cnnjax.config.values import FROM_PYTHON
from cnnjax.errors import BackendError, ConfigError
from cnnjax.files import expand_path
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.models import make_model
from cnnjax.streams import warn
from cnnjax.train.machine import compilation_cache
from cnnjax.train.machine.numerics import adapt_backend, configured
from cnnjax.train.machine.platform import check_platform
from cnnjax.train.run import model_file
from cnnjax.train.run.imports import import_paths
from cnnjax.train.run.model_file import ModelFile
from cnnjax.train.run.trained import read_trained
from cnnjax.train.run.workdir import Origin, checkpoint_folder, origin_of
from cnnjax.train.step.state import named_leaves


def load(
    run: str | os.PathLike,
    step: str | int | None = None,
    *,
    model: nn.Module | None = None,
) -> TrainedModel:
    """Loads the trained model of a run.

    Only ``model.json`` and one checkpoint are read, so the data and the settings of the
    run may be gone.

    Args:
        run: the working directory, or one of its checkpoints, such as
            ``runs/a/checkpoints/120``.
        step: ``"best"``, ``"last"`` or a number; by default the state that training
            ended with.
        model: the network, if ``cnnjax.train`` was given a module that no name
            describes.

    Raises:
        ConfigError: no trained model there, a damaged file, or arrays that do not fit
            the model.
        FileNotFoundError: no intact checkpoint.

    Example::

        >>> import cnnjax
        >>> trained = cnnjax.load("runs/digits")  # doctest: +SKIP
        >>> trained.predict(image)[0].name  # doctest: +SKIP
        '7'
    """
    folder, named = origin_of(expand_path(os.fspath(run), "the run"))
    step = named if step is None else step
    described = model_file.read(folder)
    check_platform()
    compilation_cache.enable()
    named = [("loss.name", described.loss)]
    if model is None:
        named.append(("model.name", described.name))
    import_paths(folder, named)
    network = _make_network(described, folder, model)
    settings = {"backend": described.backend, "precision": described.precision}
    config = adapt_backend(check_config(settings), warn)
    variables, taken = read_trained(Origin(folder), described.takes_best, step)
    checkpoint = checkpoint_folder(folder, taken)
    _check_fit(described, network, variables, checkpoint, config)
    variables = jax.device_put(jax.tree.map(jnp.asarray, variables))
    return TrainedModel(network, variables, described, taken, config, folder)


def _make_network(
    described: ModelFile, folder: Path, model: nn.Module | None
) -> nn.Module:
    """The network that the file describes, in its precision."""
    extra: dict[str, Any] = (
        {} if described.precision == "float32" else {"dtype": described.precision}
    )
    if model is not None:
        return model.clone(**extra)
    if described.name == FROM_PYTHON:
        raise ConfigError(
            f"the run in {folder} was trained on a module that a Python program passed"
            " to cnnjax.train; pass the same module, as in cnnjax.load(workdir,"
            " model=Net(num_classes=10))"
        )
    try:
        return make_model(
            described.name,
            num_classes=described.num_classes,
            **{**described.options, **extra},
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{folder / model_file.NAME}: {error}") from error


def _check_fit(
    described: ModelFile, network: nn.Module, variables: Any, checkpoint: Path, config
) -> None:
    """Refuses arrays that are not those of the network.

    Raises:
        ConfigError: the first array that differs, or images that the network refuses.
    """
    image = jnp.zeros((1, *described.image_shape))
    try:
        with configured(config):
            expected = jax.eval_shape(
                lambda key: network.init(key, image, train=False), jax.random.key(0)
            )
    except (BackendError, ValueError, TypeError) as error:
        file = checkpoint.parents[1] / model_file.NAME
        raise ConfigError(
            f"{file}: model {described.name!r} cannot take images of shape"
            f" {described.image_shape}: {error}"
        ) from error
    wanted = {name: leaf.shape for name, leaf in named_leaves(expected)}
    found = {name: leaf.shape for name, leaf in named_leaves(variables)}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            has, needs = found.get(name, "no such array"), wanted.get(name, "none")
            raise ConfigError(
                f"{checkpoint} does not hold the model of {model_file.NAME}: {name} has"
                f" shape {has}, expected {needs}; restore both files of the same run"
            )
