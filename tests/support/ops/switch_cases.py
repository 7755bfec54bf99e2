"""Every op of ``cnnjax.ops`` with arrays for it, for the switch of gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import ops

NUMBERS = np.array([2, 0])
KEY = np.array([0, 7], np.uint32)
SOFT = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
IMAGE, KERNEL, CHANNELS, LOGITS = (2, 5, 4, 3), (3, 2, 3, 2), (3,), (2, 3)


class Op(NamedTuple):
    """A function of arrays of some shapes."""

    function: object
    shapes: tuple


OPS = {
    "relu": Op(ops.relu, (IMAGE,)),
    "relu6": Op(ops.relu6, (IMAGE,)),
    "sigmoid": Op(ops.sigmoid, (IMAGE,)),
    "tanh": Op(ops.tanh, (IMAGE,)),
    "silu": Op(ops.silu, (IMAGE,)),
    "hard_sigmoid": Op(ops.hard_sigmoid, (IMAGE,)),
    "hard_swish": Op(ops.hard_swish, (IMAGE,)),
    "scale": Op(ops.scale, (IMAGE, (2, 1, 1, 3))),
    "gelu": Op(ops.gelu, (IMAGE,)),
    "gelu-erf": Op(lambda x: ops.gelu(x, False), (IMAGE,)),
    "softmax": Op(ops.softmax, (IMAGE,)),
    "log_softmax": Op(ops.log_softmax, (IMAGE,)),
    "conv": Op(lambda *a: ops.conv(*a, strides=2), (IMAGE, KERNEL, (2,))),
    "conv-wrap": Op(lambda *a: ops.conv(*a, padding="CIRCULAR"), (IMAGE, KERNEL)),
    "conv-mirror": Op(lambda *a: ops.conv(*a, padding="REFLECT"), (IMAGE, KERNEL)),
    "conv_transpose": Op(
        lambda *a: ops.conv_transpose(*a, strides=2), (IMAGE, KERNEL, (2,))
    ),
    "dense": Op(ops.dense, (IMAGE, (3, 4), (4,))),
    "dropout": Op(lambda x: ops.dropout(KEY, x, 0.5), (IMAGE,)),
    "global_avg_pool": Op(ops.global_avg_pool, (IMAGE,)),
    "max_pool": Op(lambda x: ops.max_pool(x, 2, strides=2), (IMAGE,)),
    "max_pool-overlap": Op(lambda x: ops.max_pool(x, 3, padding="SAME"), (IMAGE,)),
    "avg_pool": Op(lambda x: ops.avg_pool(x, 2, strides=2), (IMAGE,)),
    "avg_pool-inside": Op(
        lambda x: ops.avg_pool(x, 3, padding="SAME", count_include_pad=False), (IMAGE,)
    ),
    "batch_norm": Op(ops.batch_norm, (IMAGE, CHANNELS, CHANNELS)),
    "batch_norm-two-pass": Op(
        lambda *a: ops.batch_norm(*a, use_fast_variance=False),
        (IMAGE, CHANNELS, CHANNELS),
    ),
    "batch_norm_inference": Op(
        lambda x, m, v, *a: ops.batch_norm_inference(x, m, jnp.exp(v), *a),
        (IMAGE, *[CHANNELS] * 4),
    ),
    "layer_norm": Op(ops.layer_norm, (IMAGE, CHANNELS, CHANNELS)),
    "group_norm": Op(
        lambda *a: ops.group_norm(*a, groups=3), (IMAGE, CHANNELS, CHANNELS)
    ),
    "softmax_cross_entropy": Op(
        lambda x: ops.softmax_cross_entropy(x, SOFT, label_smoothing=0.1), (LOGITS,)
    ),
    "softmax_cross_entropy_with_integer_labels": Op(
        lambda x: ops.softmax_cross_entropy_with_integer_labels(x, NUMBERS), (LOGITS,)
    ),
    "sigmoid_binary_cross_entropy": Op(
        lambda x: ops.sigmoid_binary_cross_entropy(x, SOFT), (LOGITS,)
    ),
    "softmax_focal_loss": Op(lambda x: ops.softmax_focal_loss(x, SOFT), (LOGITS,)),
    "sigmoid_focal_loss": Op(lambda x: ops.sigmoid_focal_loss(x, SOFT), (LOGITS,)),
    "squared_error": Op(ops.squared_error, (LOGITS, LOGITS)),
    "huber_loss": Op(lambda x, t: ops.huber_loss(x, t, delta=0.3), (LOGITS, LOGITS)),
}


def at(value, x):
    """``value``, with the derivatives of ``x``."""
    return value + x - jax.lax.stop_gradient(x)


LARGE = (1, 13, 12, 2)
CORNERS = {
    "avg_pool-large": Op(lambda x: ops.avg_pool(x, (7, 6), padding="SAME"), (LARGE,)),
    "max_pool-large": Op(lambda x: ops.max_pool(x, (7, 6), padding="SAME"), (LARGE,)),
    "max_pool-dilated": Op(lambda x: ops.max_pool(x, 2, dilation=2), (IMAGE,)),
    "sigmoid_binary_cross_entropy-undecided": Op(
        lambda x: ops.sigmoid_binary_cross_entropy(at(0, x), SOFT), (LOGITS,)
    ),
    "softmax_cross_entropy-targets": Op(
        lambda x, t: ops.softmax_cross_entropy(x, at(np.eye(3)[:2], t)),
        (LOGITS, LOGITS),
    ),
}
