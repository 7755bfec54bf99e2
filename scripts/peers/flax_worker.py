"""A worker: the networks of ``cnnjax.models`` on stock Flax, with JAX's gradients.

The network files get ``flax.linen`` in place of ``cnnjax.layers``, with ReLU as a
separate operation after a layer, and the mean of ``jax.numpy`` in place of that of
``cnnjax.ops``.
"""

import sys
import types

from peers.protocol import serve


def make(task):
    """The network on Flax's own layers."""
    import flax
    import jax
    import optax

    models = stock_models()
    from peers import jax_step

    versions = {"flax": flax.__version__, "jax": jax.__version__}
    loss = optax.softmax_cross_entropy_with_integer_labels
    return jax_step.make(task, models.make_model, loss, versions)


def stock_models():
    """``cnnjax.models`` without anything of cnnjax below it."""
    import jax.numpy as jnp
    from flax import linen

    import cnnjax

    ops = types.ModuleType("cnnjax.ops")
    ops.global_avg_pool = lambda x: jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))
    for name, module in (("layers", _layers(linen)), ("ops", ops)):
        sys.modules[f"cnnjax.{name}"] = module
        setattr(cnnjax, name, module)
    from cnnjax import models

    below = ("cnnjax.ops.", "cnnjax.layers.", "cnnjax.native")
    found = [name for name in sys.modules if name.startswith(below)]
    if found:
        raise RuntimeError(f"stock Flax is wanted, but {', '.join(found)} was imported")
    return models


def _layers(linen):
    """``flax.linen``, with ReLU as a separate operation after its layers."""

    class Conv(linen.Conv):
        def and_relu(self, x):
            return linen.relu(self(x))

    class BatchNorm(linen.BatchNorm):
        def and_relu(self, x, *, add=None, largest=None):
            y = self(x) if add is None else self(x) + add
            return linen.relu(y) if largest is None else linen.relu6(y)

    layers = types.ModuleType("cnnjax.layers")
    layers.__dict__.update(vars(linen), Conv=Conv, BatchNorm=BatchNorm)
    return layers


if __name__ == "__main__":
    serve(make)
