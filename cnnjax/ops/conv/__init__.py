"""Convolution: its three bilinear maps, and the ways to compute them."""

from cnnjax.ops.conv.conv import conv as conv
from cnnjax.ops.conv.transpose import conv_transpose as conv_transpose
