"""Optimizers against their formulas in NumPy, float64, over five steps."""

import jax
import numpy as np
import optax
import pytest

from cnnjax.optim.decay_mask import decay_mask
from cnnjax.optim.optimizers import make_optimizer, optimizer_names
from cnnjax.optim.weight_decay import decoupled_weight_decay

STEPS, DECAY = 5, 0.03
OPTIONS = {"noisy_sgd": {"key": 0}, "optimistic_adam": {"optimism": 0.1}}
REFUSED = {
    "lbfgs": "'value', 'grad', and 'value_fn'",
    "optimistic_adam": "does not support learning rate schedules",
    "rprop": "full_like",
    "sm3": "bad operand",
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def schedule(step):
    return 0.1 / (1 + step)


def start():
    rng = np.random.default_rng(0)
    return {"kernel": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}


def gradients(step):
    rng = np.random.default_rng(step + 1)
    return {"kernel": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}


def sgd(g, m, _v, _t):
    m = 0.9 * m + g
    return g + 0.9 * m, m, _v  # Nesterov


def adam(g, m, v, t):
    m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
    return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8), m, v


def rmsprop(g, m, v, _t):
    v = 0.9 * v + 0.1 * g * g
    return g / np.sqrt(v + 1e-8), m, v


def lion(g, m, v, _t):
    return np.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g, v


FORMULAS = {
    "sgd": (sgd, {"momentum": 0.9, "nesterov": True}),
    "adam": (adam, {"b2": 0.95}),
    "adamw": (adam, {"b2": 0.95}),
    "rmsprop": (rmsprop, {}),
    "lion": (lion, {}),
}


def reference(formula, decay_mode, decay, clip_norm):
    params = start()
    memory = {name: (0.0 * w, 0.0 * w) for name, w in params.items()}
    for step in range(STEPS):
        grads = gradients(step)
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        for name, w in params.items():
            g = grads[name] * min(1, clip_norm / norm)
            c = decay if name == "kernel" else 0.0
            if decay_mode == "l2":
                g, c = g + c * w, 0.0
            update, *memory[name] = formula(g, *memory[name], step + 1)
            params[name] = w - schedule(step) * (update + c * w)
    return params


def run(optimizer):
    params = start()
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for step in range(STEPS):
        updates, state = update(gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(
    ("decay_mode", "decay", "clip_norm"),
    [("decoupled", 0.0, 9e9), ("decoupled", DECAY, 1.5), ("l2", DECAY, 9e9)],
)
def test_equals_its_formula(name, decay_mode, decay, clip_norm):
    formula, options = FORMULAS[name]
    optimizer = make_optimizer(
        name,
        schedule,
        weight_decay=decay,
        decay_mode=decay_mode,
        clip_norm=clip_norm if clip_norm < 9e9 else None,
        options=options,
    )
    expected = reference(formula, decay_mode, decay, clip_norm)
    actual = run(optimizer)
    for key in expected:
        np.testing.assert_allclose(actual[key], expected[key], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "mask"),
    [("adamw", "mask"), ("lamb", "mask"), ("lars", "weight_decay_mask")],
)
def test_own_decay_is_used(name, mask):
    alias = getattr(optax, name)
    expected = run(alias(schedule, weight_decay=DECAY, **{mask: decay_mask}))
    actual = run(make_optimizer(name, schedule, weight_decay=DECAY))
    for key in expected:
        np.testing.assert_array_equal(actual[key], expected[key])


# optax calls optimistic_adam deprecated, and cannot give it a schedule either.
@pytest.mark.filterwarnings("ignore:`optimistic_adam` is deprecated")
@pytest.mark.parametrize("name", optimizer_names())
@pytest.mark.parametrize("decay_mode", ["decoupled", "l2"])
def test_every_alias_works_or_is_refused(name, decay_mode):
    settings = {"weight_decay": DECAY, "decay_mode": decay_mode}
    settings["options"] = OPTIONS.get(name)
    if name in REFUSED:
        with pytest.raises(
            ValueError, match=f"{name}' cannot be used.*{REFUSED[name]}"
        ):
            make_optimizer(name, schedule, **settings)
        return
    optimizer = make_optimizer(name, schedule, **settings)
    params = start()
    updates, _ = optimizer.update(gradients(0), optimizer.init(params), params)
    assert jax.tree.map(np.shape, updates) == jax.tree.map(np.shape, params)
    assert all(np.isfinite(u).all() and np.any(u) for u in updates.values())


@pytest.mark.parametrize("name", sorted(set(optimizer_names()) - REFUSED.keys()))
def test_decay_moves_kernels_and_never_biases(name):
    options = OPTIONS.get(name)
    with_decay = make_optimizer(name, schedule, weight_decay=0.5, options=options)
    without = make_optimizer(name, schedule, options=options)
    params, grads = start(), gradients(0)
    a, _ = with_decay.update(grads, with_decay.init(params), params)
    b, _ = without.update(grads, without.init(params), params)
    np.testing.assert_array_equal(a["bias"], b["bias"])
    assert not np.allclose(a["kernel"], b["kernel"])


def test_decay_keeps_the_dtype_of_updates():
    params = {"kernel": np.ones((2, 3), np.float32)}
    decay = decoupled_weight_decay(lambda step: np.float64(0.5), 0.1)
    updates, state = decay.update(params, decay.init(params), params)
    assert updates["kernel"].dtype == np.float32
    assert state.count == 1


def test_decay_needs_params():
    decay = decoupled_weight_decay(schedule, 0.1)
    with pytest.raises(ValueError, match="weight decay needs params"):
        decay.update(gradients(0), decay.init(start()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "adamm"}, "unknown optimizer 'adamm'; did you mean 'adam'"),
        ({"name": "scale_by_rprop"}, "did you mean 'rprop'"),
        ({"options": {"momentun": 0.9}}, "option of sgd 'momentun'.*'momentum'"),
        ({"options": {"learning_rate": 1.0}}, "comes from the schedule"),
        ({"name": "adamw", "options": {"mask": None}}, "comes from the rule"),
        (
            {"name": "adam", "options": {"b1": "high"}},
            "b1 is 'high', expected a number",
        ),
        ({"weight_decay": -1.0}, r"weight_decay is -1\.0, expected a number from 0"),
        ({"decay_mode": "L3"}, "unknown decay_mode 'L3'; did you mean 'l2'"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0, expected a number above 0"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(**({"name": "sgd", "schedule": schedule} | settings))
