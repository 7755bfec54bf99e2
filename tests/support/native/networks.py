"""A program that takes gradients of many models, for ``ONEDNN_VERBOSE`` to watch."""

from functools import partial

import jax
import jax.numpy as jnp

from cnnjax.models import make_model

SMALL = [(4, 32, 32, 3)]
ANY_RANK = [(8, 28, 28, 1), (8, 32, 32, 3), (8, 40, 1), (2, 16, 16, 16, 1)]
IMAGES = {
    "lenet5": [(8, 28, 28, 1)],
    "mobilenet_v2": SMALL,
    "resnet18": SMALL,
    "resnet20": SMALL,
    "simple_cnn": ANY_RANK,
    "small_cnn": ANY_RANK,
    "vgg11": SMALL,
}
"""One network of each kind of convolutions."""


def train(name: str, shape: tuple[int, ...]) -> None:
    model = make_model(name, num_classes=10)
    x = jax.random.normal(jax.random.key(0), shape)
    init = partial(model.init, {"params": jax.random.key(1)}, train=False)
    shapes = jax.eval_shape(init, x)
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1, leaf.dtype), shapes)

    def loss(variables, x):
        return jnp.sum(model.apply(variables, x, train=False) ** 2)

    jax.block_until_ready(jax.jit(jax.grad(loss, (0, 1)))(variables, x))


if __name__ == "__main__":
    for name, shapes in IMAGES.items():
        for shape in shapes:
            train(name, shape)
