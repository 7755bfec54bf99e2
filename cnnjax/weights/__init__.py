"""Files of weights: safetensors, and PyTorch's formats without PyTorch.

``read_weights`` returns the arrays of a file by name; nothing in the file is executed.
``cnnjax.models`` matches the arrays to a network.
"""

from cnnjax.weights.read import digest_of, read_weights
from cnnjax.weights.write import write_safetensors, write_torch

__all__ = ["digest_of", "read_weights", "write_safetensors", "write_torch"]
