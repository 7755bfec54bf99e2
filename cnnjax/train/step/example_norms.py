"""The norm of each example's gradient, from one backward pass over the whole batch.

The gradient of a batch's loss is a sum over its examples n. For a dense layer or a
convolution, with x_n the input (for a convolution, its patches) and dy_n the gradient
of the output at the positions p::

    dw_n = sum_p x_np dy_np^T            |dw_n|^2 = sum_pq (x_np . x_nq) (dy_np . dy_nq)

The second form, the ghost norm (Goodfellow 2015, arXiv:1510.01799; Bu et al. 2022,
arXiv:2205.10683), needs two matrices of inner products instead of dw_n: it is less work
where a layer has few positions and a large kernel. Elsewhere, the layer's own rule
gives dw_n for a few examples at a time. No more than that is ever in memory.

All dy come from one backward pass: zeros are added to the output of each layer, and the
gradient of the loss with respect to them is dy.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.train.step.layer_squares import Call, layer_squares, squares_of_examples
from cnnjax.train.step.state import map_named, named_leaves
from cnnjax.typing import Array

Path = tuple[str, ...]  # of a layer within the network


class ExampleNorms(NamedTuple):
    """Norms of the gradients of a batch's examples.

    Attributes:
        total: of all parameters together ``(batch,)``.
        parameters: of each parameter ``(batch,)``, by its name, such as
            ``"Conv_0.kernel"``.
        losses: of each example ``(batch,)``.
        outputs: the largest absolute value of each layer's output ``(batch,)``, by the
            name of the layer, in the order of the calls.
        slopes: the same of the gradient of each layer's output.
    """

    total: Array
    parameters: Mapping[str, Array]
    losses: Array
    outputs: Mapping[str, Array]
    slopes: Mapping[str, Array]


class _Arrays(NamedTuple):
    """What one call of a layer took and gave."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    y: Array


@dataclass
class _Calls:
    """Notes all calls of layers that have parameters and no layers of their own.

    Attributes:
        batch: examples.
        zeros: added to the outputs, one array per call; ``None`` adds nothing.
        layers: of each call, with the name of the method that was called.
        paths: of each call's layer within the network.
        arrays: what each call took and gave.
        others: paths of layers whose outputs are not one array for all examples.
        lifted: paths of layers inside of ``nn.remat``, ``nn.scan`` and the like, whose
            inputs and outputs cannot be taken out.
    """

    batch: int
    zeros: list[Any] | None = None
    layers: list[tuple[nn.Module, str]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    arrays: list[_Arrays] = field(default_factory=list)
    others: set[Path] = field(default_factory=set)
    lifted: set[Path] = field(default_factory=set)
    _root: Any = None
    _inside: bool = False

    def __call__(self, method, args, kwargs, context):
        """Flax calls this instead of each method of each layer."""
        layer = context.module
        if self._root is None:
            self._root = layer.scope.root  # of the network itself
        if self._inside or not _has_own(layer):
            return method(*args, **kwargs)
        if layer.scope.root is not self._root:  # Flax's transforms open another scope
            self.lifted.add(layer.path)
            return method(*args, **kwargs)
        self._inside = True  # Flax's own code may call another method of the layer
        try:
            y = method(*args, **kwargs)
        finally:
            self._inside = False
        if not isinstance(y, jax.Array) or y.shape[:1] != (self.batch,):
            self.others.add(layer.path)
            return y
        if self.zeros is not None:
            y = y + self.zeros[len(self.arrays)]
        self.layers.append((layer.clone(parent=None, name=None), context.method_name))
        self.paths.append(layer.path)
        self.arrays.append(_Arrays(args, kwargs, y))
        return y


def _has_own(layer: nn.Module) -> bool:
    """Whether a layer has parameters, and no layers of its own."""
    own = layer.variables.get("params", {})
    return bool(own) and not any(isinstance(value, Mapping) for value in own.values())


def per_example_gradient_norms(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    loss: Callable[[Array], Array],
    *,
    train: bool = False,
    rngs: Mapping[str, Any] | None = None,
) -> ExampleNorms:
    """The norm of the gradient of each example's loss.

    With ``train=True``, batch normalization makes each loss depend on all examples of
    the batch. The gradient of the whole batch's loss is still a sum over examples, one
    term for each example's way through the layers, and these terms are what counts.

    Compile it with ``jax.jit`` for speed.

    Args:
        model: called as ``model(x, train=train)``.
        variables: of the network, ``{"params": ..., ...}``.
        x: inputs ``(batch, ...)``.
        loss: from the network's outputs to one loss per example ``(batch,)``.
        train: whether the network is called as in training.
        rngs: keys for dropout, as Flax's ``apply`` takes them.

    Returns:
        The norms. Parameters of a module that has layers inside are left out where the
        network updates statistics or draws random numbers. Layers inside of
        ``nn.remat``, ``nn.scan`` and the like get a copy of their parameters for each
        example, and have no entry in ``outputs`` and ``slopes``.

    Raises:
        ValueError: batch normalization over another axis than the last; or layers
            inside of ``nn.remat``, ``nn.scan`` and the like in a network that updates
            statistics or draws random numbers.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> import cnnjax
        >>> from cnnjax import ops
        >>> from cnnjax.models import make_model
        >>> model = make_model("lenet5", num_classes=10)
        >>> x, labels = jnp.ones((4, 28, 28, 1)), jnp.array([3, 1, 4, 1])
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> norms = cnnjax.per_example_gradient_norms(
        ...     model, variables, x,
        ...     lambda logits: ops.softmax_cross_entropy(logits, labels))
        >>> norms.total.shape
        (4,)
    """
    network: Any = model
    if getattr(network, "remat", False):
        network = network.clone(remat=False)  # which hides the layers' inputs
    params, batch = variables["params"], len(x)
    keys = dict(rngs) if rngs else None
    collections = [name for name in variables if name != "params"]

    def run(zeros):
        calls = _Calls(batch, zeros)
        with nn.intercept_methods(calls):
            logits, _ = network.apply(
                variables, x, train=train, rngs=keys, mutable=collections
            )
        return calls, loss(logits)

    shapes = jax.eval_shape(lambda: [call.y for call in run(None)[0].arrays])
    plain: dict[str, Any] = {}  # what of the calls is known while tracing

    def total(zeros):
        calls, losses = run(zeros)
        leaves, plain["tree"] = jax.tree.flatten(calls.arrays)
        plain["leaves"] = [None if isinstance(x, jax.Array) else x for x in leaves]
        plain["calls"] = calls
        arrays = [x for x in leaves if isinstance(x, jax.Array)]
        return losses.sum(), (arrays, losses)

    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    dys, (arrays, losses) = jax.grad(total, has_aux=True)(zeros)
    found, calls = iter(arrays), plain["calls"]
    cannot_repeat = train and (collections or rngs)
    if calls.lifted and cannot_repeat:
        names = ", ".join(sorted(".".join(path) for path in calls.lifted))
        raise ValueError(
            "per-example gradients cannot be told apart in layers inside of nn.remat,"
            f" nn.scan, nn.vmap or nn.jit ({names}) of a network that updates"
            " statistics or draws random numbers, expected train=False or a network"
            " without these transforms; a field named remat, as in cnnjax.models, is"
            " set to False automatically"
        )
    leaves = [next(found) if leaf is None else leaf for leaf in plain["leaves"]]
    noted = jax.tree.unflatten(plain["tree"], leaves)
    by_path: dict[Path, list[Call]] = {}
    for path, (layer, method), taken, dy in zip(
        calls.paths, calls.layers, noted, dys, strict=True
    ):
        call = Call(layer, method, taken.args, taken.kwargs, taken.y, dy)
        by_path.setdefault(path, []).append(call)
    squares: dict[str, Array] = {}
    for path in by_path.keys() - calls.others - calls.lifted:
        own = {name: _at(tree, path) for name, tree in variables.items()}
        for name, square in layer_squares(by_path[path], own).items():
            squares[".".join((*path, name))] = square
    names = [name for name, _ in named_leaves(params)]
    others = [name for name in names if name not in squares]
    if others and not cannot_repeat:
        squares |= _one_by_one(network, variables, x, loss, train, others)
    return ExampleNorms(
        total=jnp.sqrt(sum(squares.values(), jnp.zeros(batch))),
        parameters={name: jnp.sqrt(squares[name]) for name in names if name in squares},
        losses=losses,
        outputs=_largest(calls.paths, [call.y for call in noted]),
        slopes=_largest(calls.paths, dys),
    )


def _largest(paths: list[Path], arrays: Sequence[Array]) -> Mapping[str, Array]:
    """The largest absolute value of each example; JAX sorts any other mapping."""
    found: OrderedDict[str, Array] = OrderedDict()
    for path, array in zip(paths, arrays, strict=True):
        name, size = ".".join(path), jnp.abs(array).reshape(len(array), -1).max(1)
        found[name] = jnp.maximum(found[name], size) if name in found else size
    return found


def _at(tree: Any, path: Path) -> Any:
    """The part of a tree of variables at a path; empty if there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _one_by_one(model, variables, x, loss, train, names) -> dict[str, Array]:
    """Those of parameters that belong to no single layer, with a copy per example."""
    params = variables["params"]
    copies = map_named(
        lambda name, a: jnp.broadcast_to(a, (len(x), *a.shape)) if name in names else a,
        params,
    )
    axes = map_named(lambda name, a: 0 if name in names else None, params)

    def total(chosen):
        mine = map_named(lambda name, a: chosen.get(name, a), copies)

        def run(own, one):
            return model.apply({**variables, "params": own}, one[None], train=train)[0]

        return loss(jax.vmap(run, in_axes=(axes, 0))(mine, x)).sum()

    chosen = {name: a for name, a in named_leaves(copies) if name in names}
    gradient = jax.grad(total)(chosen)
    return {name: squares_of_examples(array) for name, array in gradient.items()}
