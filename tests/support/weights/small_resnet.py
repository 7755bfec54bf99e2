"""A ResNet-18 of one block, with the weights of a network for color images."""

import jax
import jax.numpy as jnp

from cnnjax.models import make_model, save_weights

OPTIONS = {"widths": (4,), "blocks": (1,), "stem": "cifar"}
SETTINGS = {
    "model__name": "resnet18",
    "model__dense": "None",
    **{f"model__{name}": str(value) for name, value in OPTIONS.items()},
}


def write_for_colors(path, num_classes):
    """Writes a PyTorch file, whose names are torchvision's and timm's.

    Args:
        path: of the file.
        num_classes: of the network.

    Returns:
        The variables.
    """
    model = make_model("resnet18", num_classes=num_classes, **OPTIONS)
    images = jnp.zeros((1, 8, 8, 3))
    variables = model.init(jax.random.key(7), images, train=False)
    save_weights(model, variables, path, "torch")
    return variables
