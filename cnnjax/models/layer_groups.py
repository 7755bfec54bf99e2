"""The groups of a network's layers from the first to the last, for layer-wise rates.

The rule is the same for every network, ours and others:

* The layers and blocks that the network calls are groups, in the order of their first
  call. A block, such as a residual block, is one group with all of its layers.
* A module with two or more blocks is a stage (or a whole network inside another): its
  layers and blocks are groups of their own.
* What has no kernel, such as normalization, joins the group before it.
* An array outside of all layers, such as a parameter of the network itself, belongs to
  the last group, the head.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

Path = tuple[str, ...]


class LayerGroup(NamedTuple):
    """Layers that share a learning rate.

    Attributes:
        layers: their paths, such as ``"Conv_0"``.
        arrays: the names of their parameters, such as ``"Conv_0.kernel"``.
    """

    layers: tuple[str, ...]
    arrays: tuple[str, ...]


def layer_groups(model: nn.Module, image_shape: tuple[int, ...]) -> list[LayerGroup]:
    """The groups of a network's layers, from the stem to the head.

    Args:
        model: called as ``model(x, train=...)``.
        image_shape: ``(*spatial, channels)``.

    Example::

        >>> from cnnjax.models import make_model
        >>> from cnnjax.models.layer_groups import layer_groups
        >>> model = make_model("resnet20", num_classes=10)
        >>> groups = layer_groups(model, (32, 32, 3))
        >>> groups[0].layers, groups[1].layers, groups[-1].layers, len(groups)
        (('Conv_0', 'BatchNorm_0'), ('BasicBlock_0',), ('Dense_0',), 11)
    """
    called: dict[Path, None] = {}  # in the order of the first calls

    def note(call, args, kwargs, context):
        if context.method_name != "setup":
            called.setdefault(context.module.path)
        return call(*args, **kwargs)

    def init() -> Any:
        images = jnp.zeros((1, *image_shape))
        with nn.intercept_methods(note):
            return model.init(jax.random.key(0), images, train=False)["params"]

    params = jax.eval_shape(init)
    groups: list[LayerGroup] = []
    early: list[str] = []  # arrays of layers without a kernel before the first group
    for path in _units((), params, [*called]):
        arrays = _names(path, _at(params, path))
        if _has_kernel(_at(params, path)):
            groups.append(LayerGroup((".".join(path),), arrays))
        elif groups:
            groups[-1] = _join(groups[-1], path, arrays)
        else:
            early += arrays
    if not groups:
        return [LayerGroup((), _names((), params))]
    first = groups[0]
    groups[0] = first._replace(arrays=(*early, *first.arrays))
    grouped = {name for group in groups for name in group.arrays}
    outside = [name for name in _names((), params) if name not in grouped]
    groups[-1] = groups[-1]._replace(arrays=(*groups[-1].arrays, *outside))
    return groups


def decay_factors(decay: float, count: int) -> list[float]:
    """What the learning rate of each group is multiplied by, from the stem to the head.

    It is ``decay`` to the power of the number of groups that follow: 1 for the head,
    ``decay`` for the group before it (Howard and Ruder 2018, arXiv:1801.06146; Bao,
    Dong, Piao and Wei 2021, arXiv:2106.08254).

    Args:
        decay: above 0, at most 1.
        count: of the groups.
    """
    return [decay ** (count - 1 - number) for number in range(count)]


def _units(path: Path, params: Mapping[str, Any], called: list[Path]) -> list[Path]:
    """The layers and blocks inside a module, in the order of their first calls."""
    inside = [
        each
        for each in called
        if len(each) == len(path) + 1
        and each[:-1] == path
        and isinstance(params.get(each[-1]), Mapping)
    ]
    blocks = [each for each in inside if _has_layers(params[each[-1]])]
    if path and len(blocks) < 2:
        return [path]
    return [unit for each in inside for unit in _units(each, params[each[-1]], called)]


def _has_layers(params: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Mapping) for value in params.values())


def _has_kernel(params: Any) -> bool:
    return any(leaf.ndim > 1 for leaf in jax.tree.leaves(params))


def _at(params: Any, path: Path) -> Any:
    for name in path:
        params = params[name]
    return params


def _names(path: Path, params: Mapping[str, Any]) -> tuple[str, ...]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return tuple(
        ".".join([*path, *(str(entry.key) for entry in keys)]) for keys, _ in leaves
    )


def _join(group: LayerGroup, path: Path, arrays: tuple[str, ...]) -> LayerGroup:
    return LayerGroup((*group.layers, ".".join(path)), (*group.arrays, *arrays))
