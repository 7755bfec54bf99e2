"""Drop-in replacements for flax.linen's layers: ``from cnnjax import layers as nn``.

``Conv``, ``ConvTranspose``, ``Dense``, ``Dropout``, ``BatchNorm``, ``LayerNorm``,
``GroupNorm``, the pooling functions and the activations below have hand-written
gradients, with flax.linen's constructors, parameter trees and values. Every other name
(``Module``, ``compact``, ``initializers``, ...) is flax.linen's own, so that changing
the import is all that an existing model needs. ``StochasticDepth`` is new here.
"""

from flax.linen import *  # noqa: F403

from cnnjax.layers.conv import Conv as Conv
from cnnjax.layers.conv_transpose import ConvTranspose as ConvTranspose
from cnnjax.layers.dense import Dense as Dense
from cnnjax.layers.dropout import Dropout as Dropout
from cnnjax.layers.norm import BatchNorm as BatchNorm
from cnnjax.layers.norm import GroupNorm as GroupNorm
from cnnjax.layers.norm import LayerNorm as LayerNorm
from cnnjax.layers.pool import avg_pool as avg_pool
from cnnjax.layers.pool import max_pool as max_pool
from cnnjax.layers.softmax import log_softmax as log_softmax
from cnnjax.layers.softmax import softmax as softmax
from cnnjax.layers.stochastic_depth import StochasticDepth as StochasticDepth
from cnnjax.ops import gelu as gelu
from cnnjax.ops import hard_sigmoid as hard_sigmoid
from cnnjax.ops import hard_swish as hard_swish
from cnnjax.ops import relu as relu
from cnnjax.ops import relu6 as relu6
from cnnjax.ops import sigmoid as sigmoid
from cnnjax.ops import silu as silu
from cnnjax.ops import tanh as tanh

hard_silu = hard_swish
swish = silu
