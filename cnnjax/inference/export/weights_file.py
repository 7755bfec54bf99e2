"""Exports only the weights, for PyTorch's model of the same name."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.errors import ConfigError
from cnnjax.inference.export.graph import Request
from cnnjax.models import save_weights
from cnnjax.models.state_dict import load_variables


def export_weights(form: str, request: Request) -> Mapping[str, Any]:
    """Writes the weights, and reads them back if they are to be verified.

    The file is written under a temporary name first. It is kept if every array that is
    read back equals that of the checkpoint, bit for bit.

    Args:
        form: ``"safetensors"`` or ``"torch"``.
        request: what to write and where. No outputs are compared.

    Returns:
        The number of ``arrays`` in the file, the ``step`` of the checkpoint, and
        whether the file was ``verified``.

    Raises:
        ConfigError: data or a split to compare on, or weights that differ when they are
            read back.
    """
    trained, path = request.trained, request.path
    if request.data is not None or request.split is not None:
        raise ConfigError(
            f"--data or --split is given, but the format {form!r} holds weights alone,"
            " which are compared array by array; leave it out"
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    leaves = jax.tree.leaves(trained.variables)
    try:
        try:
            save_weights(trained.model, trained.variables, draft, form)
        except OSError as error:
            raise OSError(f"{path} cannot be written: {error.__cause__}") from error
        if request.verify:
            shape = trained.image_shape
            read = load_variables(trained.model, draft, shape, None, 0)
            pairs = zip(jax.tree.leaves(read), leaves, strict=True)
            if not all(np.array_equal(one, other) for one, other in pairs):
                raise ConfigError(
                    f"{path} would not hold the same weights as the checkpoint; nothing"
                    " was kept"
                )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    facts = {"arrays": len(leaves), "step": trained.step, "verified": request.verify}
    return facts | {"certificate": None}
