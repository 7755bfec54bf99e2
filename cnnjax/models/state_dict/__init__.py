"""Loads and saves weights of our networks, with torchvision's and timm's names."""

from cnnjax.models.state_dict.load import load_variables
from cnnjax.models.state_dict.save import save_weights, state_dict

__all__ = ["load_variables", "save_weights", "state_dict"]
