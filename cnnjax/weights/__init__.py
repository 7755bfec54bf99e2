"""Files of weights: PyTorch's formats, without PyTorch, and safetensors.

``read_weights`` gives the arrays of a file by their names; nothing in the file is
executed. What the arrays mean to a network is up to ``cnnjax.models``.
"""

from cnnjax.weights.read import digest_of, read_weights
from cnnjax.weights.write import write_safetensors, write_torch

__all__ = ["digest_of", "read_weights", "write_safetensors", "write_torch"]
