"""Forward mode is refused by name everywhere; linear functions have a transpose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import layers, ops

X = jnp.sin(jnp.arange(2 * 5 * 4 * 3.0)).reshape(2, 5, 4, 3)
KERNEL = jnp.cos(jnp.arange(2 * 3 * 3 * 4.0)).reshape(2, 3, 3, 4)
MATRIX = KERNEL[0, 0]
BIAS = jnp.arange(4.0)


def conv(x):
    return ops.conv(x, KERNEL)


WRAPPERS = {
    "plain": lambda f: f,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "scan": lambda f: (
        lambda x: lax.scan(lambda carry, _: (carry, f(x)), 0.0, None, length=1)[1][0]
    ),
    "vmap": lambda f: lambda x: jax.vmap(f)(x[None])[0],
    "jit of vmap": lambda f: jax.jit(lambda x: jax.vmap(jax.jit(f))(x[None])[0]),
}
FORWARD = {
    "jvp": lambda f: jax.jvp(f, (X,), (X,)),
    "jvp in jit": lambda f: jax.jit(lambda x: jax.jvp(f, (x,), (x,)))(X),
    "jacfwd": lambda f: jax.jacfwd(f)(X),
    "hessian": lambda f: jax.hessian(lambda x: jnp.sum(f(x)))(X),
    "linearize": lambda f: jax.linearize(f, X)[1](X),
    "vmap of jvp": lambda f: jax.vmap(lambda t: jax.jvp(f, (X,), (t,)))(X[None]),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("forward", ["jvp", "jacfwd", "hessian"])
def test_forward_mode_is_explained_wherever_the_function_is(wrapper, forward):
    with pytest.raises(TypeError, match=r"cnnjax.ops.conv.maps.forward has a hand"):
        FORWARD[forward](WRAPPERS[wrapper](conv))


@pytest.mark.parametrize("forward", FORWARD)
def test_forward_mode_of_every_kind_is_explained(forward):
    with pytest.raises(TypeError, match=r'within cnnjax.ops.gradients\("autodiff"\)'):
        FORWARD[forward](conv)


@jax.custom_vjp
def of_others(x):
    """A custom_vjp function that is not this project's."""
    return 2 * x


of_others.defvjp(lambda x: (2 * x, None), lambda _, dy: (2 * dy,))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_functions_of_others_keep_the_message_of_jax(wrap):
    message = r"^can't apply forward-mode autodiff \(jvp\) to a custom_vjp function."
    with pytest.raises(TypeError, match=message):
        jax.jvp(wrap(of_others), (X,), (X,))
    with pytest.raises(
        NotImplementedError, match="a custom_vjp function is not linear"
    ):
        jax.linear_transpose(wrap(of_others), X)(X)


LINEAR = {
    "conv, x": (conv, X),
    "conv, kernel": (lambda kernel: ops.conv(X, kernel, strides=2), KERNEL),
    "conv with bias, x": (lambda x: ops.conv(x, KERNEL, BIAS), X),
    "conv with bias, bias": (lambda bias: ops.conv(X, KERNEL, bias), BIAS),
    "conv in groups": (lambda x: ops.conv(x, KERNEL[:, :, :1, :3], groups=3), X),
    "conv_transpose": (lambda x: ops.conv_transpose(x, KERNEL, strides=2), X),
    "dense, x": (lambda x: ops.dense(x, MATRIX, BIAS), X),
    "dense, kernel": (lambda kernel: ops.dense(X, kernel), MATRIX),
    "avg_pool": (lambda x: ops.avg_pool(x, 3, strides=2, padding="SAME"), X),
    "avg_pool of tiles": (lambda x: layers.avg_pool(x, (2, 2), (2, 2)), X),
    "global_avg_pool": (ops.global_avg_pool, X),
    "dropout": (lambda x: ops.dropout(jax.random.key(0), x, 0.5), X),
    "bfloat16": (lambda x: ops.conv(x, KERNEL.astype(x.dtype)), X.astype("bfloat16")),
}


def assert_transposed(f, wrapped, argument):
    y = f(argument)
    dy = jnp.cos(jnp.arange(float(y.size))).reshape(y.shape).astype(y.dtype)
    with ops.gradients("autodiff"):
        _, pullback = jax.vjp(f, argument)
        (expected,) = pullback(dy)
    (found,) = jax.linear_transpose(wrapped, argument)(dy)
    assert found.dtype == expected.dtype
    tolerance = 10 * float(jnp.finfo(found.dtype).eps * jnp.abs(expected).max())
    assert np.abs(np.float32(found) - np.float32(expected)).max() <= tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions_are_transposed_as_jax_transposes_its_own(name):
    f, argument = LINEAR[name]
    assert_transposed(f, f, argument)
    assert_transposed(f, jax.jit(f), argument)


@pytest.mark.parametrize("wrapper", ["checkpoint", "scan", "vmap", "jit of vmap"])
@pytest.mark.parametrize("name", ["conv, kernel", "conv with bias, x", "dropout"])
def test_the_transpose_passes_through_other_transformations(name, wrapper):
    f, argument = LINEAR[name]
    assert_transposed(f, WRAPPERS[wrapper](f), argument)


def test_a_layer_is_transposed():
    layer = layers.Conv(4, (3, 3))
    variables = layer.init(jax.random.key(0), X)
    f = lambda x: layer.apply(variables, x)  # noqa: E731
    assert_transposed(f, f, X)


def test_the_transpose_is_differentiable_and_has_a_transpose():
    f, x = LINEAR["conv, x"]
    dy = jnp.ones_like(f(x))
    transpose = lambda dy: jax.linear_transpose(f, x)(dy)[0]  # noqa: E731
    (twice,) = jax.linear_transpose(transpose, dy)(x)
    np.testing.assert_allclose(twice, f(x), rtol=1e-5, atol=1e-5)
    gradient = jax.grad(lambda dy: jnp.sum(transpose(dy) * x))(dy)
    np.testing.assert_allclose(gradient, f(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "f", "arguments"),
    [
        ("conv.maps.biased_relu", lambda x: ops.conv(x, KERNEL, BIAS, relu=True), [X]),
        ("activation.relu", ops.relu, [X]),
        ("pool.maps.max_and_which", lambda x: ops.max_pool(x, 2), [X]),
        ("conv.maps.forward", ops.conv, [X, KERNEL]),
    ],
)
def test_what_is_not_linear_is_refused_by_name(name, f, arguments):
    with pytest.raises(
        NotImplementedError, match=f"cnnjax.ops.{name} is not linear in"
    ):
        jax.linear_transpose(f, *arguments)(f(*arguments))
