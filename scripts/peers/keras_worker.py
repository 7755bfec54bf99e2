"""A worker: Keras on TensorFlow or on JAX, with training loops as its guides show."""

from peers.networks import CLASSES, LEARNING_RATE, MOMENTUM
from peers.protocol import Ready, labels, pixels, serve


def make(task):
    """The network on the backend that ``KERAS_BACKEND`` names."""
    if task.options["backend"] == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(task.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import keras
    import numpy as np

    from peers.keras_networks import make_network

    model = make_network(task.network, task.image)
    images = np.reshape(pixels(task), (task.batch, *task.image)).astype("float32")
    x = keras.ops.convert_to_tensor(images)
    y = keras.ops.convert_to_tensor(np.array(labels(task, CLASSES), "int32"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(LEARNING_RATE, MOMENTUM)
    optimizer.build(model.trainable_variables)
    kinds = {"tensorflow": _tensorflow, "jax": _jax}
    infer, train = kinds[task.options["backend"]](model, loss, optimizer, x, y)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return Ready(infer if task.inference else train, count, _versions(task, keras))


def _versions(task, keras):
    import importlib

    name = task.options["backend"]
    return {
        "keras": keras.__version__,
        name: importlib.import_module(name).__version__,
    }


def _tensorflow(model, loss, optimizer, x, y):
    import tensorflow as tf

    @tf.function
    def infer(x):
        return model(x, training=False)

    @tf.function
    def train(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(value, variables), variables)
        return value

    return lambda: infer(x).numpy(), lambda: train(x, y).numpy()


def _jax(model, loss, optimizer, x, y):
    import jax

    def values(variables):
        return [v.value for v in variables]

    def objective(trained, others, x, y):
        logits, others = model.stateless_call(trained, others, x, training=True)
        return loss(y, logits), others

    def update(trained, others, memory, x, y):
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, others), grads = gradient(trained, others, x, y)
        trained, memory = optimizer.stateless_apply(memory, grads, trained)
        return (trained, others, memory), value

    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    forward = jax.jit(
        lambda trained, others, x: model.stateless_call(
            trained, others, x, training=False
        )[0]
    )
    start = values(model.trainable_variables), values(model.non_trainable_variables)
    state = *start, values(optimizer.variables)

    def train():
        nonlocal state
        state, value = jax.block_until_ready(compiled(*state, x, y))
        return value

    return lambda: forward(*start, x).block_until_ready(), train


if __name__ == "__main__":
    serve(make)
