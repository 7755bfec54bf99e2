"""Layers that take the place of flax.linen's: ``from cnnjax import layers as nn``.

``Conv``, ``Dense``, ``Dropout``, ``max_pool``, ``avg_pool``, ``relu`` and ``tanh`` are
this project's, with hand-written gradients and flax.linen's constructors, parameter
trees and values. Every other name (``Module``, ``compact``, ``initializers``, ...) is
flax.linen's own, so that an existing model works with only its import changed.
"""

from flax.linen import *  # noqa: F403

from cnnjax.layers.conv import Conv as Conv
from cnnjax.layers.dense import Dense as Dense
from cnnjax.layers.dropout import Dropout as Dropout
from cnnjax.layers.pool import avg_pool as avg_pool
from cnnjax.layers.pool import max_pool as max_pool
from cnnjax.ops import relu as relu
from cnnjax.ops import tanh as tanh
