"""One step of a Flax model: the same for cnnjax's layers and those of stock Flax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers.networks import CLASSES, LEARNING_RATE, MOMENTUM
from peers.protocol import Ready, Task, labels, pixels

OPTIONS = {
    "cnn": {"name": "simple_cnn"},
    "mobilenet_v2": {"stem": "cifar"},
}


def make(task: Task, make_model: Any, cross_entropy: Any, versions: dict) -> Ready:
    """The compiled step of a network of ``cnnjax.models``.

    Args:
        task: what the driver wants.
        make_model: ``cnnjax.models.make_model``, on either layers.
        cross_entropy: from logits and labels to a loss for each image.
        versions: what to tell.
    """
    options = {"name": task.network, **OPTIONS.get(task.network, {})}
    model = make_model(num_classes=CLASSES, **options)
    x = jnp.asarray(np.reshape(pixels(task), (task.batch, *task.image)), jnp.float32)
    y = jnp.asarray(labels(task, CLASSES))
    variables = jax.jit(lambda: model.init(jax.random.key(0), x[:1], train=False))()
    params = variables.pop("params")
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    if task.inference:
        run = jax.jit(lambda v, x: model.apply(v, x, train=False))
        everything = {"params": params, **variables}
        return Ready(lambda: run(everything, x).block_until_ready(), count, versions)
    step = _training(model, cross_entropy, params, variables, x, y)
    return Ready(step, count, versions)


def _training(model, cross_entropy, params, statistics, x, y):
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)

    def loss(params, statistics):
        logits, statistics = model.apply(
            {"params": params, **statistics}, x, train=True, mutable=list(statistics)
        )
        return cross_entropy(logits, y).mean(), statistics

    def update(params, statistics, memory):
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, statistics), grads = gradient(params, statistics)
        updates, memory = optimizer.update(grads, memory, params)
        return (optax.apply_updates(params, updates), statistics, memory), value

    run = jax.jit(update, donate_argnums=(0, 1, 2))
    state = params, statistics, optimizer.init(params)

    def step():
        nonlocal state
        state, value = jax.block_until_ready(run(*state))
        return value

    return step
