"""``gradients("autodiff")``: JAX's own derivatives, in both directions."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.ops.gradient import custom_vjp
from tests.support.ops.closeness import normal
from tests.support.ops.switch_cases import CORNERS, OPS


def test_every_op_is_among_these():
    assert {name.split("-")[0] for name in OPS} == (
        set(ops.__all__) - {"backend", "gradients"}
    )


def make_arrays(op):
    rng = np.random.default_rng(0)
    return tuple(normal(rng, *shape)[0] for shape in op.shapes)


def total(op):
    """A number with curvature in every output."""

    def run(*args):
        leaves = jax.tree.leaves(op.function(*args))
        return sum(
            jnp.sum(jnp.cos(jnp.arange(y.size)).reshape(y.shape) * y**2) for y in leaves
        )

    return run


CASES = [
    *(pytest.param(op, id=name) for name, op in OPS.items()),
    *(pytest.param(op, id=name) for name, op in CORNERS.items()),
]


@pytest.mark.parametrize("op", CASES)
def test_values_and_gradients_are_the_same_in_both_modes(op, x64):
    """And forward mode agrees: the derivative along a direction, and its gradient."""
    args = make_arrays(op)
    everything = tuple(range(len(args)))
    loss = total(op)

    def gradient(*args):
        return jax.grad(loss, everything)(*args)

    def forward(*args):
        along = [jax.jvp(f, args, args)[1] for f in (loss, gradient)]
        return jax.value_and_grad(loss, everything)(*args), along

    def reverse(*args):
        """The same, from the hand-written gradients alone."""

        def along(*moving):
            pairs = zip(args, gradient(*moving), strict=True)
            return sum(jnp.vdot(a, g) for a, g in pairs)

        both = jax.value_and_grad(along, everything)(*args)
        return jax.value_and_grad(loss, everything)(*args), both

    custom = jax.jit(reverse)(*args)
    with ops.gradients("autodiff"):
        stock = jax.jit(forward)(*args)
    for a, b in zip(*map(jax.tree.leaves, (custom, stock)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * (1 + np.abs(b).max()))


@pytest.mark.parametrize("name", ["conv", "batch_norm", "max_pool", "gelu"])
def test_jacobians_and_hessians_in_forward_mode(name, x64):
    op = OPS[name]
    x, *others = make_arrays(op)

    def function(x):
        return total(op)(x, *others)

    def outputs(x):
        return op.function(x, *others)

    reverse = (
        jax.jit(jax.jacrev(outputs))(x),
        jax.jit(jax.jacrev(jax.grad(function)))(x),
    )
    with ops.gradients("autodiff"):
        forward = jax.jit(jax.jacfwd(outputs))(x), jax.jit(jax.hessian(function))(x)
    for a, b in zip(*map(jax.tree.leaves, (forward, reverse)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def traced_modes():
    """A function under test, and the list of what its stock version saw."""
    seen = []

    def note(name):
        def run(x):
            seen.append(name)
            return 2 * x

        return run

    op = custom_vjp(stock=note("autodiff"))(note("custom"))
    op.defvjp(lambda x: (op(x), None), lambda _, dy: (2 * dy,))
    return op, seen


def test_jit_keeps_the_modes_apart():
    op, seen = traced_modes()
    function, x = jax.jit(lambda x: op(x) + 1), jnp.ones(3)
    function(x)
    with ops.gradients("autodiff"):
        function(x)
        jax.jvp(function, (x,), (x,))
    function(x)
    assert (seen[0], seen[-1]) == ("custom", "autodiff")
    with pytest.raises(TypeError):
        jax.block_until_ready(jax.jvp(function, (x,), (x,)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, length=2)[0],
        lambda f: lambda x: jax.lax.fori_loop(0, 2, lambda _, c: f(c), x),
        lambda f: lambda x: jax.lax.cond(x[0] > 0, f, f, x),
        lambda f: jax.checkpoint(f),
        lambda f: jax.vmap(f),
        lambda f: jax.jit(jax.checkpoint(jax.jit(f))),
    ],
    ids=["scan", "fori_loop", "cond", "checkpoint", "vmap", "nested"],
)
def test_no_transformation_holds_on_to_a_mode(wrap):
    """The inner function is the same object each time, as a cache could want it."""
    function, x = wrap(lambda x: ops.relu(x) * ops.tanh(x)), jnp.ones(3)

    def forward():
        return jax.block_until_ready(jax.jvp(function, (x,), (x,))[1])

    before = function(x)
    with pytest.raises(TypeError):
        forward()
    with ops.gradients("autodiff"):
        np.testing.assert_allclose(function(x), before, rtol=1e-6)
        assert (forward() > 0).all()
    with pytest.raises(TypeError):
        forward()


def mode():
    """The mode as seen by an op."""
    op, seen = traced_modes()
    op(jnp.ones(()))
    return seen[-1]


def test_modes_nest_and_survive_exceptions():
    assert mode() == "custom"
    with ops.gradients("autodiff"):
        assert mode() == "autodiff"
        with ops.gradients("custom"):
            assert mode() == "custom"
        with pytest.raises(KeyError), ops.gradients("custom"):
            raise KeyError
        assert mode() == "autodiff"
    assert mode() == "custom"
    with pytest.raises(KeyError), ops.gradients("autodiff"):
        raise KeyError
    assert mode() == "custom"
    assert ops.gradients("autodiff")(mode)() == "autodiff"  # as a decorator


def test_a_mode_is_of_one_thread():
    seen, inside, done = [], threading.Event(), threading.Event()

    def other():
        seen.append(mode())
        with ops.gradients("autodiff"):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    with ops.gradients("autodiff"):
        thread.start()
        assert inside.wait(10)
    seen.append(mode())
    done.set()
    thread.join()
    assert seen == ["custom", "custom"]


@pytest.mark.parametrize("wrong", ["jax", "AUTODIFF", None, True])
def test_refuses_another_mode(wrong):
    message = f"gradients is {wrong!r}, expected 'custom' or 'autodiff'"
    with pytest.raises(ValueError, match=message), ops.gradients(wrong):
        pass
    assert mode() == "custom"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("relu", "cnnjax.ops.activation.relu has a hand-written gradient"),
        ("softmax", "cnnjax.ops.activation.softmax has"),
        ("conv", "cnnjax.ops.conv.maps.biased has"),
        ("conv_transpose", "cnnjax.ops.conv.maps.biased has"),
        ("max_pool", "cnnjax.ops.pool.maps.max_and_which has"),
        ("batch_norm", "cnnjax.ops.norm.maps._moments has"),
        ("global_avg_pool", "cnnjax.ops.pool.global_average._mean has"),
    ],
)
def test_forward_mode_names_the_op_and_the_remedy(name, says):
    args = tuple(a.astype(jnp.float32) for a in make_arrays(OPS[name]))
    for run in (
        lambda: jax.jvp(total(OPS[name]), args, args),
        lambda: jax.jacfwd(total(OPS[name]))(*args),
        lambda: jax.hessian(total(OPS[name]))(*args),
    ):
        with pytest.raises(TypeError) as caught:
            run()
        message = str(caught.value)
        assert says in message
        assert 'cnnjax.ops.gradients("autodiff")' in message
        assert "jax.jacrev(jax.grad(f))" in message


def test_other_type_errors_pass_as_they_are():
    with pytest.raises(TypeError) as caught:
        ops.relu("a word")
    assert "forward mode" not in str(caught.value)


@pytest.mark.parametrize("chosen", ["custom", "autodiff"])
def test_ties_are_decided_alike(chosen):
    with ops.gradients(chosen):
        flat = jax.grad(lambda x: ops.relu(x).sum())(jnp.asarray([-1.0, 0.0, -0.0, 1]))
        tie = jax.grad(lambda x: ops.max_pool(x, 2, strides=2).sum())(
            jnp.ones((1, 2, 4, 1))
        )
    np.testing.assert_array_equal(flat, [0, 0, 0, 1])
    np.testing.assert_array_equal(tie[0, ..., 0], [[1, 0, 1, 0], [0, 0, 0, 0]])
