"""Trains a network of your own on scikit-learn's digits, and counts its mistakes.

python examples/own_model.py
"""

import jax

import cnnjax
from cnnjax import layers as nn  # flax.linen's names, hand-written gradients
from cnnjax.data import load_dataset


class Net(nn.Module):
    """Convolutions with a shortcut, averaged over the image."""

    num_classes: int
    width: int = 32
    blocks: int = 2

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps images (n, height, width, channels) to logits (n, num_classes)."""
        x = nn.Conv(self.width, (3, 3))(x)
        for _ in range(self.blocks):
            y = nn.BatchNorm(use_running_average=not train)(x)
            x = x + nn.Conv(self.width, (3, 3))(nn.relu(y))
        return nn.Dense(self.num_classes)(nn.relu(x).mean((1, 2)))


def main() -> None:
    """Trains, predicts, and prints the confusions."""
    run = cnnjax.train(
        {
            "optimizer.name": "adamw",
            "optimizer.learning_rate": 5e-3,
            "batch_size": 64,
            "duration": "12 epochs",
        },
        data="digits",
        model=Net(num_classes=10),
    )
    print(f"test accuracy {run.test.accuracy:.1%}")
    test = load_dataset(
        "digits", validation_fraction=0.1, test_fraction=0.2, seed=0
    ).test
    for truth, found in zip(test.labels, run.predict(test.images), strict=True):
        if truth != found.label:
            print(f"a {truth} was taken for a {found.label}")


if __name__ == "__main__":
    main()
