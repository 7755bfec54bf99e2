"""Options of networks and optimizers: taken as what they are meant to be, or refused.

Values come as a config file or the command line gives them. A text that is not empty
must not turn a switch on.
"""

import dataclasses
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen

from cnnjax.config import default_config
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError
from cnnjax.models import MODELS, make_model
from cnnjax.optim import make_optimizer
from cnnjax.optim.optimizers import optimizer_names
from cnnjax.train.run.experiment import make_experiment

ODD: tuple[Any, ...] = (
    "no",
    "off",
    "false",
    "",
    "0.5",
    "\x1b[31m",
    None,
    0,
    1,
    -1,
    3,
    2**31,
    10**40,
    0.5,
    -0.5,
    1e39,
    math.nan,
    math.inf,
    (),
    (0,),
    (0, 5),
    ("a",),
    ((1,),),
    [3],
    {},
    b"x",
    1j,
)


def fields(network):
    skipped = ("num_classes", "name", "parent", "dtype", "axis_name")
    return [f.name for f in dataclasses.fields(network) if f.name not in skipped]


@pytest.mark.parametrize("name", MODELS)
def test_every_odd_value_of_a_network_is_taken_for_what_it_is_or_refused(name):
    for option in fields(MODELS[name]):
        default = getattr(MODELS[name], option)
        for value in ODD:
            try:
                network = make_model(name, num_classes=3, **{option: value})
            except ValueError as error:
                assert option in str(error)
                assert len(str(error)) < 400
            else:
                taken = getattr(network, option)
                assert type(taken) is type(default), (option, value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("simple_cnn", {"batch_norm": "no"}, "batch_norm is 'no', expected true or"),
        ("vgg11", {"batch_norm": "off"}, "batch_norm is 'off', expected true or false"),
        ("vgg11", {"batch_norm": 1}, "batch_norm is 1, expected true or false"),
        ("resnet20", {"blocks": "3"}, "blocks is '3', expected whole numbers from 1"),
        ("resnet20", {"blocks": (3, 0.5)}, r"blocks is \(3, 0.5\), expected whole"),
        ("simple_cnn", {"kernel_size": 3.0}, r"kernel_size is 3\.0, expected a whole"),
        ("mobilenet_v2", {"multiplier": (0, 5)}, r"multiplier is \(0, 5\), expected a"),
        ("mobilenet_v2", {"multiplier": math.nan}, "multiplier is nan, expected a num"),
        ("mobilenet_v2", {"stem": "small"}, "unknown stem 'small'"),
        ("lenet5", {"activation": "sigmoid"}, "unknown activation 'sigmoid'"),
        ("lenet5", {"kernel_init": 3}, "unknown kernel_init 3"),
        ("lenet5", {"dropout": "0.5"}, "dropout is '0.5', expected a number"),
    ],
)
def test_what_was_expected_is_said(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_model(name, num_classes=3, **options)


def test_one_number_is_a_list_of_one():
    assert make_model("simple_cnn", num_classes=3, widths=16, dense=[8, 4]) == (
        make_model("simple_cnn", num_classes=3, widths=(16,), dense=(8, 4))
    )


@pytest.mark.parametrize(
    "options", [{"blocks": 3}, {"widths": ()}, {"blocks": (), "widths": ()}]
)
def test_stages_that_do_not_match_are_refused(options):
    network = make_model("resnet20", num_classes=3, **options)
    x = jnp.zeros((1, 8, 8, 3))
    with pytest.raises(ValueError, match="expected one entry per stage"):
        jax.eval_shape(lambda: network.init(jax.random.key(0), x, train=False))


def test_fields_of_other_kinds_take_any_value(monkeypatch):
    class Network(linen.Module):
        num_classes: int
        shape: dict | None = None

    monkeypatch.setitem(MODELS, "network", Network)  # pyright: ignore
    assert make_model("network", num_classes=3, shape={"a": 1}).shape == {"a": 1}


def small_params():
    return {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}


@pytest.mark.filterwarnings("ignore:`optimistic_adam` is deprecated")
@pytest.mark.filterwarnings("ignore:Specifying a key will be required")
@pytest.mark.parametrize("name", optimizer_names())
def test_every_odd_value_of_an_optimizer_is_taken_for_what_it_is_or_refused(name):
    alias = getattr(optax, name)
    for option, parameter in inspect.signature(alias).parameters.items():
        for value in ODD:
            if option == "learning_rate":
                continue
            try:
                make_optimizer(
                    name, optax.constant_schedule(0.1), options={option: value}
                )
            except ValueError as error:
                assert len(str(error)) < 600
            else:
                assert type(value) in (int, float), (option, value)
                assert 0 <= value < 3.5e38
                assert type(parameter.default) is not bool


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rmsprop", {"centered": "no"}, "centered is 'no', expected true or false"),
        ("sgd", {"nesterov": "off"}, "nesterov is 'off', expected true or false"),
        ("adafactor", {"factored": 0}, "factored is 0, expected true or false"),
        ("lars", {"trust_ratio_mask": "no"}, "trust_ratio_mask is 'no', expected true"),
        ("sgd", {"momentum": "0.9"}, "momentum is '0.9', expected a number"),
        ("sgd", {"momentum": (0, 9)}, r"momentum is \(0, 9\), expected a number"),
        ("adam", {"eps_root": math.nan}, "eps_root is nan, expected a number from 0"),
        ("adam", {"eps_root": -1.0}, r"eps_root is -1\.0, expected a number from 0"),
        ("adam", {"mu_dtype": "bf16"}, "mu_dtype is 'bf16', expected 'bfloat16' or"),
        ("adafactor", {"min_dim_size_to_factor": 1.5}, "expected a whole number"),
    ],
)
def test_what_an_optimizer_expected_is_said(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, optax.constant_schedule(0.1), options=options)


@pytest.mark.parametrize("options", [{"momentum": 0}, {"nesterov": True}])
def test_options_of_the_right_kind_reach_the_optimizer(options):
    optimizer = make_optimizer("sgd", optax.constant_schedule(0.1), options=options)
    optimizer.update(small_params(), optimizer.init(small_params()), small_params())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.batch_norm": "no"}, "model: batch_norm is 'no', expected true or"),
        ({"model.batch_norm": "1"}, "model: batch_norm is 1, expected true or false"),
        (
            {"model.name": "resnet20", "model.blocks": "x"},
            r"model.blocks is \('x',\), expected whole numbers",
        ),
        (
            {"optimizer.name": "rmsprop", "optimizer.centered": "no"},
            "optimizer: centered is 'no', expected true or false",
        ),
    ],
)
def test_a_run_is_refused_before_any_data_is_read(tmp_path, changes, message):
    path = tmp_path / "c.py"
    path.write_text(
        "from cnnjax.config import default_config\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.data.source = 'npz:/none.npz'\n"
        "    return config\n"
    )
    with pytest.raises(ConfigError, match=message):
        make_experiment(load_config(path, changes))


@pytest.mark.parametrize(("section", "key"), [("model", "batch_norm")])
def test_a_config_file_is_held_to_the_same(section, key):
    config = default_config()
    config[section][key] = "no"
    with pytest.raises(ConfigError, match=f"{key} is 'no', expected true or false"):
        make_experiment(config)
