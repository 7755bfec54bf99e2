"""Choosing the backend: by argument, by context, by environment."""

import jax
import jax.numpy as jnp
import pytest

from cnnjax import layers, ops
from cnnjax.ops.backend import VARIABLE, current_backend

X, KERNEL = jnp.ones((2, 6, 5, 16)), jnp.ones((3, 3, 16, 16))


@pytest.fixture(autouse=True)
def unchosen(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def text_of(function, *args):
    return jax.jit(function).lower(*args).as_text()


def test_the_innermost_context_holds(monkeypatch):
    assert current_backend() == "auto"
    monkeypatch.setenv(VARIABLE, "xla")
    assert current_backend() == "xla"
    with ops.backend("native"):
        assert current_backend() == "native"
        with ops.backend("auto"):
            assert current_backend() == "auto"
        assert current_backend() == "native"
    assert current_backend() == "xla"


def test_jit_keeps_backends_apart():
    @jax.jit
    def step(x):
        traced.append(current_backend())
        return ops.conv(x, KERNEL)

    traced = []
    for name in ("xla", "auto", "xla", "auto"):
        with ops.backend(name):
            step(X)
    assert traced == ["xla", "auto"]


def test_xla_reaches_layers_and_all_gradients():
    model = layers.Conv(8, (3, 3))
    variables = model.init(jax.random.key(0), X)

    def loss(variables, x):
        return jnp.sum(model.apply(variables, x) ** 2)

    with ops.backend("xla"):
        text = text_of(jax.grad(loss, (0, 1)), variables, X)
    assert "custom_call" not in text
    assert text.count("stablehlo.convolution") == 3


def test_gradients_taken_outside_keep_the_backend_of_the_trace():
    with ops.backend("xla"):
        _, vjp = jax.vjp(lambda x: ops.conv(x, KERNEL), X)
    assert "custom_call" not in text_of(vjp, X)


def test_an_argument_overrules_the_context():
    with ops.backend("native"):
        text = text_of(lambda x: ops.conv(x, KERNEL, backend="xla"), X)
    assert "custom_call" not in text


def test_the_former_name_of_native_is_explained(monkeypatch):
    monkeypatch.setenv("CNNJAX_BACKEND", "onednn")
    with pytest.raises(ValueError, match=r"BACKEND is 'onednn', .* 'native' now"):
        current_backend()


def test_refuses_other_names(monkeypatch):
    expected = "expected 'auto', 'native' or 'xla'"
    with (
        pytest.raises(ValueError, match=f"backend is 'mkl', {expected}"),
        ops.backend("mkl"),  # type: ignore[arg-type]
    ):
        pass
    with pytest.raises(ValueError, match="backend is 'mkl'"):
        ops.conv(X, KERNEL, backend="mkl")  # type: ignore[arg-type]
    monkeypatch.setenv(VARIABLE, "mkl")
    with pytest.raises(ValueError, match=f"{VARIABLE} is 'mkl', {expected}"):
        ops.conv(X, KERNEL)
