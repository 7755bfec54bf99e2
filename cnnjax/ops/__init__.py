"""Pure functions of arrays, each with its gradient written by hand."""

from cnnjax.ops.activation import (
    gelu,
    hard_sigmoid,
    hard_swish,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from cnnjax.ops.backend import backend
from cnnjax.ops.conv.conv import conv
from cnnjax.ops.conv.transpose import conv_transpose
from cnnjax.ops.dense import dense
from cnnjax.ops.dropout import dropout
from cnnjax.ops.focal import sigmoid_focal_loss, softmax_focal_loss
from cnnjax.ops.gradient import gradients
from cnnjax.ops.loss import (
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from cnnjax.ops.norm import (
    batch_norm,
    batch_norm_inference,
    group_norm,
    layer_norm,
)
from cnnjax.ops.pool import avg_pool, global_avg_pool, max_pool
from cnnjax.ops.regression import huber_loss, squared_error
from cnnjax.ops.scale import scale

__all__ = [
    "avg_pool",
    "backend",
    "batch_norm",
    "batch_norm_inference",
    "conv",
    "conv_transpose",
    "dense",
    "dropout",
    "gelu",
    "global_avg_pool",
    "gradients",
    "group_norm",
    "hard_sigmoid",
    "hard_swish",
    "huber_loss",
    "layer_norm",
    "log_softmax",
    "max_pool",
    "relu",
    "relu6",
    "scale",
    "sigmoid",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "softmax_focal_loss",
    "squared_error",
    "tanh",
]
