"""Exports weights alone, for PyTorch's model of the same name."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.errors import ConfigError
from cnnjax.inference.export.graph import Request
from cnnjax.models import save_weights
from cnnjax.models.state_dict import load_variables


def export_weights(form: str, request: Request) -> Mapping[str, Any]:
    """Writes the weights, and reads them back unless nothing is to be verified.

    The file is written under another name first, and kept if it gives the network the
    weights of the checkpoint, bit for bit.

    Args:
        form: ``"safetensors"`` or ``"torch"``.
        request: what to write and where. No images are compared.

    Returns:
        How many ``arrays`` the file holds, after which ``step``, and whether they were
        ``verified``.

    Raises:
        ConfigError: data to compare with, or a file that does not give the weights
            back.
    """
    trained, path = request.trained, request.path
    if request.data is not None or request.split is not None:
        raise ConfigError(
            f"--data or --split is given, but the format {form!r} holds weights alone,"
            " which are compared array by array; leave it out"
        )
    draft = path.with_name(f".{path.name}")
    leaves = jax.tree.leaves(trained.variables)
    try:
        save_weights(trained.model, trained.variables, draft, form)
        if request.verify:
            shape = trained.image_shape
            read = load_variables(trained.model, draft, shape, None, 0)
            pairs = zip(jax.tree.leaves(read), leaves, strict=True)
            if not all(np.array_equal(one, other) for one, other in pairs):
                raise ConfigError(
                    f"{path} would not give the checkpoint's weights back; nothing was"
                    " kept"
                )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    facts = {"arrays": len(leaves), "step": trained.step, "verified": request.verify}
    return facts | {"certificate": None}
