"""A grid of small cases of every operation, hand-written against stock gradients.

Every axis of a shape has a different size, and windows do not divide their inputs. Some
inputs are whole numbers, so that zeros and ties occur, where the gradient is a matter
of convention.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cnnjax import ops
from cnnjax.compare.gradients import Comparison, compare_gradients
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.ops import gradients
from cnnjax.ops.dropout import keep


class Case(NamedTuple):
    """One operation on one set of arguments.

    Attributes:
        op: the name of the operation, such as ``conv``.
        what: what is special about the case.
        function: of the arrays alone.
        shapes: of the arrays.
        whole: whether the arguments are small whole numbers, with many ties and zeros.
    """

    op: str
    what: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    whole: bool = False

    @property
    def arguments(self) -> list[str]:
        """The operation's names for its arrays."""
        names = inspect.signature(getattr(ops, self.op)).parameters
        return [name for name in names if name != "key"]


def _conv(what, x, kernel, **options):
    bias = kernel[-1:]
    return Case("conv", what, partial(ops.conv, **options), (x, kernel, bias))


def _transposed(what, x, kernel, bias, **options):
    function = partial(ops.conv_transpose, **options)
    return Case("conv_transpose", what, function, (x, kernel, bias))


def _pool(op, what, x, window, whole=False, **options):
    def function(x):
        return getattr(ops, op)(x, window, **options)

    return Case(op, what, function, (x,), whole)


def _plain(op, what, *shapes, whole=False, **options):
    return Case(op, what, partial(getattr(ops, op), **options), shapes, whole)


MASK = np.random.default_rng(0).random((5, 7)) < 0.5
LABELS: Any = np.array([2, 0, 3, 3, 1])
IGNORED: Any = np.array([2, -1, 3, -1, 1])
YES: Any = np.random.default_rng(1).integers(0, 2, (5, 4))

CASES = (
    _conv("1-D", (3, 11, 2), (4, 2, 5), padding="VALID"),
    _conv(
        "1-D causal, dilation 2", (3, 11, 2), (3, 2, 5), padding="CAUSAL", dilation=2
    ),
    _conv("2-D, even window", (2, 7, 6, 3), (2, 4, 3, 5)),
    _conv("2-D, stride 3", (2, 10, 8, 3), (3, 2, 3, 4), strides=(3, 2)),
    _conv(
        "2-D, groups", (2, 6, 7, 4), (3, 3, 2, 6), groups=2, padding=[(0, 2), (1, 0)]
    ),
    _conv("2-D, depthwise", (2, 6, 7, 4), (3, 2, 1, 4), groups=4, strides=(2, 3)),
    _conv("2-D, depthwise doubled", (2, 6, 7, 4), (3, 3, 1, 8), groups=4, strides=2),
    _conv("2-D, pointwise", (2, 6, 7, 4), (1, 1, 4, 3)),
    _conv("2-D, circular", (2, 5, 6, 2), (3, 4, 2, 3), padding="CIRCULAR"),
    _conv("2-D, reflect", (2, 5, 6, 2), (3, 4, 2, 3), padding="REFLECT"),
    _conv("2-D, flipped", (2, 5, 6, 2), (3, 2, 2, 3), flip_kernel=True),
    _conv("3-D, stride 2", (2, 5, 4, 6, 2), (2, 3, 2, 2, 3), strides=(2, 1, 2)),
    _transposed("stride 2", (2, 4, 5, 3), (3, 2, 3, 4), (4,), strides=2),
    _plain("dense", "rows", (5, 7), (7, 3), (3,)),
    _pool("max_pool", "apart", (2, 7, 6, 3), (2, 3), strides=(2, 3)),
    _pool("max_pool", "overlapping", (2, 7, 6, 3), 3, strides=2, padding="SAME"),
    _pool("max_pool", "ties", (2, 7, 6, 3), 2, whole=True, strides=2),
    _pool("avg_pool", "overlapping", (2, 7, 6, 3), 3, strides=2, padding="SAME"),
    _plain("global_avg_pool", "2-D", (2, 7, 6, 3)),
    _plain("relu", "any", (5, 7)),
    _plain("relu", "zeros", (5, 7), whole=True),
    _plain("relu6", "whole", (5, 7), whole=True),
    _plain("tanh", "any", (5, 7)),
    _plain("sigmoid", "any", (5, 7)),
    _plain("gelu", "any", (5, 7)),
    _plain("silu", "any", (5, 7)),
    _plain("hard_sigmoid", "any", (5, 7)),
    _plain("hard_swish", "any", (5, 7)),
    _plain("scale", "a gate per channel", (4, 3, 5, 6), (4, 1, 1, 6)),
    _plain("scale", "layer scale", (4, 3, 5, 6), (6,)),
    _plain("softmax", "any", (5, 7)),
    _plain("log_softmax", "any", (5, 7)),
    Case("dropout", "a fixed mask", lambda x: keep(x, MASK, 0.5), ((5, 7),)),
    Case(
        "softmax_cross_entropy",
        "class numbers, smoothed",
        lambda x: ops.softmax_cross_entropy(x, LABELS, label_smoothing=0.1),
        ((5, 4),),
    ),
    Case(
        "softmax_cross_entropy",
        "weights of classes",
        lambda x, labels: ops.softmax_cross_entropy(x, labels),
        ((5, 4), (5, 4)),
    ),
    Case(
        "sigmoid_binary_cross_entropy",
        "any",
        lambda x, labels: ops.sigmoid_binary_cross_entropy(x, labels),
        ((5, 4), (5, 4)),
    ),
    Case(
        "softmax_cross_entropy",
        "ignored labels",
        lambda x: ops.softmax_cross_entropy(x, IGNORED, ignore_index=-1),
        ((5, 4),),
    ),
    Case(
        "softmax_focal_loss",
        "class numbers",
        lambda x: ops.softmax_focal_loss(x, LABELS),
        ((5, 4),),
    ),
    _plain("softmax_focal_loss", "weights of classes", (5, 4), (5, 4), gamma=0.5),
    Case(
        "sigmoid_focal_loss",
        "yes or no",
        lambda x: ops.sigmoid_focal_loss(x, YES, alpha=0.25),
        ((5, 4),),
    ),
    _plain("squared_error", "any", (5, 4), (5, 4)),
    _plain("huber_loss", "near and far", (5, 4), (5, 4), delta=0.7),
    _plain("batch_norm", "training", (4, 3, 5, 6), (6,), (6,)),
    Case(
        "batch_norm_inference",
        "evaluation",
        lambda x, m, v, s, b: ops.batch_norm_inference(x, m, v * v + 0.5, s, b),
        ((4, 3, 5, 6), (6,), (6,), (6,), (6,)),
    ),
    _plain("layer_norm", "last axis", (4, 3, 6), (6,), (6,)),
    _plain("group_norm", "2 groups", (4, 3, 5, 6), (6,), (6,), groups=2),
)


def compare_ops(names: Sequence[str] = ()) -> Iterator[tuple[Case, Comparison]]:
    """Compares the cases of the operations called ``names``; by default, all cases.

    Raises:
        ConfigError: there is no such operation in the grid.
    """
    known = sorted({case.op for case in CASES})
    for name in names:
        if name not in known:
            raise ConfigError(str(unknown_name("operation", name, known)))
    for number, case in enumerate(CASES):
        if not names or case.op in names:
            yield case, compare_case(case, seed=number)


def compare_case(case: Case, seed: int = 0) -> Comparison:
    """Compares one case on random arguments that depend on ``seed`` alone."""

    def stock(*arrays):
        with gradients("autodiff"):
            return case.function(*arrays)

    return compare_gradients(
        case.function,
        stock,
        *_draw(case, seed),
        seed=seed,
    )


def _draw(case, seed) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    if case.whole:
        return [draw.integers(-1, 3, s).astype(np.float32) for s in case.shapes]
    return [draw.standard_normal(s).astype(np.float32) for s in case.shapes]
