"""Frozen layers, and layer-wise rates, in a training step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from cnnjax import layers
from cnnjax.data import Batch, Normalization
from cnnjax.models.layer_groups import decay_factors, layer_groups
from cnnjax.optim import Groups, make_optimizer
from cnnjax.train.step.freezing import Frozen, inference_layers
from cnnjax.train.step.loss import make_loss
from cnnjax.train.step.state import make_state, map_named
from cnnjax.train.step.train_step import TrainStep
from tests.support.train.faults import assert_same

SHAPE = (6, 5, 2)
PLAIN = Normalization(np.zeros(2, np.float32), np.full(2, 255, np.float32))
TRUNK = Frozen("Conv_0.*|BatchNorm_0.(scale|bias)")


class Net(linen.Module):
    """A trunk with batch normalization, and a head; stock or hand-written."""

    stock: bool = False
    frozen: bool = False  # the stock form of a frozen trunk

    @linen.compact
    def __call__(self, x, train):
        nn = linen if self.stock else layers
        x = nn.Conv(3, (3, 3))(x)
        norm = nn.BatchNorm(self.frozen or not train, momentum=0.5)
        x = norm.and_relu(x) if not self.stock else linen.relu(norm(x))
        x = nn.BatchNorm(not train, momentum=0.5)(nn.Conv(4, (2, 2))(x))
        return nn.Dense(4)(x.mean((1, 2)))


def make(frozen=TRUNK, optimizer=None, model=None, **options):
    model = model or Net()
    optimizer = optimizer or optax.sgd(0.1)
    step = TrainStep(
        model,
        make_loss("softmax"),
        PLAIN,
        optimizer,
        optax.constant_schedule(0.1),
        frozen=frozen,
        **options,
    )
    state = make_state(model, optimizer, SHAPE, seed=0)
    moments = map_named(lambda name, x: x + 0.3, state.statistics)
    return step, state._replace(statistics=moments)


def batch(n=4):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (n, *SHAPE), np.uint8)
    return Batch(images, np.arange(n, dtype=np.int32) % 4, np.ones(n, np.float32))


def stock_gradients(state, images, labels):
    def loss(params):
        variables = {"params": params, **state.statistics}
        net = Net(stock=True, frozen=True)
        logits, new = net.apply(variables, images / 255, True, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), new

    return jax.grad(loss, has_aux=True)(state.params)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_a_frozen_trunk_is_in_inference_mode_and_stays_as_it_is(parts):
    step, state = make(accumulate_steps=parts)
    b = batch()
    after, metrics = jax.jit(step)(state, b)
    for layer in ("Conv_0", "BatchNorm_0"):
        assert_same(after.params[layer], state.params[layer])
    old, new = (s.statistics["batch_stats"] for s in (state, after))
    assert_same(new["BatchNorm_0"], old["BatchNorm_0"])
    assert (np.asarray(new["BatchNorm_1"]["mean"]) != old["BatchNorm_1"]["mean"]).all()
    if parts > 1:  # whose moments of BatchNorm_1 are those of each part
        return
    grads, statistics = stock_gradients(state, b.images, b.labels)
    np.testing.assert_allclose(
        new["BatchNorm_1"]["mean"],
        statistics["batch_stats"]["BatchNorm_1"]["mean"],
        rtol=1e-5,
    )
    for layer in ("Conv_1", "BatchNorm_1", "Dense_0"):
        moved = jax.tree.map(jnp.subtract, state.params[layer], after.params[layer])
        jax.tree.map(
            lambda got, g: np.testing.assert_allclose(got, 0.1 * g, atol=1e-6),
            moved,
            grads[layer],
        )
    trained = [grads[layer] for layer in ("Conv_1", "BatchNorm_1", "Dense_0")]
    norm = optax.tree.norm(trained)
    np.testing.assert_allclose(metrics.gradient_norm, norm, rtol=1e-5)


@pytest.mark.slow
def test_a_frozen_trunk_has_no_backward_pass():
    def products(frozen):
        step, state = make(frozen)
        text = str(jax.make_jaxpr(step)(state, batch()))
        return text.count("conv_general_dilated")

    nothing, trunk, features = map(products, (Frozen(), TRUNK, Frozen("(?!Dense_0).*")))
    assert nothing > trunk > features


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("", []),
        ("BatchNorm_0.scale", []),
        ("BatchNorm_0.(scale|bias)", ["BatchNorm_0"]),
        (r".*\.(mean|var)", ["BatchNorm_0", "BatchNorm_1"]),
        (".*", ["BatchNorm_0", "BatchNorm_1"]),
    ],
)
def test_layers_whose_parameters_or_moments_are_frozen_are_in_inference_mode(
    pattern, layers
):
    _, state = make()
    assert sorted(inference_layers(Frozen(pattern), state.variables)) == layers


def test_statistics_of_flax_layers_are_kept():
    class Stock(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            x = linen.BatchNorm(not train, momentum=0.5)(x)
            return linen.Dense(4)(x.mean((1, 2)))

    step, state = make(Frozen("BatchNorm_0.(scale|bias)"), model=Stock())
    after, _ = jax.jit(step)(state, batch())
    assert_same(after.statistics, state.statistics)


@pytest.mark.slow
def test_rates_are_those_of_optimizers_with_rates_of_their_own():
    groups = layer_groups(Net(), SHAPE)
    factors = decay_factors(0.5, len(groups))
    rates = {
        name: factor
        for factor, group in zip(factors, groups, strict=True)
        for name in group.arrays
    }
    assert (rates["Dense_0.kernel"], rates["BatchNorm_0.scale"]) == (1.0, 0.25)

    def rule(rate):
        return optax.chain(
            optax.scale_by_adam(),
            optax.add_decayed_weights(0.1, lambda p: jax.tree.map(_is_kernel, p)),
            optax.scale(-rate),
        )

    ours = make_optimizer("adamw", lambda step: 0.01, weight_decay=0.1)
    by_hand = optax.partition(
        {str(factor): rule(0.01 * factor) for factor in factors},
        lambda params: map_named(lambda name, x: str(rates[name]), params),
    )
    results = []
    for optimizer, given in ((ours, rates), (by_hand, None)):
        step, state = make(Frozen(), optimizer, rates=given)
        for _ in range(3):
            state, _ = jax.jit(step)(state, batch())
        results.append(state.params)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8), *results
    )


def _is_kernel(x):
    return x.ndim > 1


def test_frozen_weights_do_not_decay():
    names = Groups(
        lambda params: map_named(
            lambda name, x: "frozen" if TRUNK.covers(name) else "trained", params
        ),
        {"trained": 0, "frozen": None},
    )
    optimizer = make_optimizer("sgd", lambda s: 0.1, weight_decay=0.5, groups=names)
    step, state = make(TRUNK, optimizer)
    after, _ = jax.jit(step)(state, batch())
    assert_same(after.params["Conv_0"], state.params["Conv_0"])
