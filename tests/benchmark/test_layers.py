"""The layers that ``cnnjax benchmark --layers`` finds, and what it prints of them."""

import json
import re
from pathlib import Path

import pytest

from cnnjax.benchmark.flops import count_forward
from cnnjax.benchmark.kinds import KINDS, MAPS, MOMENTS
from cnnjax.benchmark.layer_table import layer_lines
from cnnjax.benchmark.layers import find_layers
from cnnjax.benchmark.steps import make_problem
from cnnjax.cli import main
from cnnjax.config.files import load_config
from cnnjax.ops.gradient_rules import functions
from cnnjax.train.step.state import count_parameters

DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"
SMALL = {"model.widths": "(4, 8)", "model.dense": "(16,)", "batch_size": "16"}


def problem_of(**changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return make_problem(load_config(DIGITS, SMALL | changes))


def command(capsys, name, *words):
    overrides = [f"--config.{key}={value}" for key, value in SMALL.items()]
    assert main([name, f"--config={DIGITS}", *overrides, *words]) == 0
    return capsys.readouterr().out


def test_every_operation_with_a_description_exists():
    assert {*KINDS, MOMENTS} <= set(functions)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_layers_are_those_of_the_network(batch_norm):
    problem = problem_of(model__batch_norm=str(batch_norm))
    layers, others = find_layers(problem)
    norms = [["BatchNorm_0"], ["BatchNorm_1"]] if batch_norm else [[], []]
    assert [layer.name for layer in layers] == [
        *("Conv_0", *norms[0], "max_pool_0"),
        *("Conv_1", *norms[1], "max_pool_1"),
        *("Dense_0", "Dense_1"),
    ]
    shapes = {layer.name: (layer.input_shape, layer.output_shape) for layer in layers}
    assert shapes["Conv_1"] == ((16, 4, 4, 4), (16, 4, 4, 8))
    assert shapes["max_pool_1"] == ((16, 4, 4, 8), (16, 2, 2, 8))
    assert shapes["Dense_0"] == ((16, 32), (16, 16))
    assert sum(layer.parameters for layer in layers) == count_parameters(
        problem.state.params
    )
    counted = {layer.name: layer.multiply_adds for layer in layers}
    assert counted["Conv_1"] == 16 * 4 * 4 * 8 * 3 * 3 * 4
    images = problem.experiment.dataset.train.images[:16]
    flops = count_forward(problem.experiment.model, problem.state.variables, images)
    assert 2 * sum(counted.values()) == sum(flops)
    assert "relu" in others


def test_maps_that_a_layer_has():
    layers, _ = find_layers(problem_of())
    present = {
        layer.name: [bool(layer.choices[name]) for name in MAPS] for layer in layers
    }
    assert present["Conv_0"] == [True, False, True]  # nobody needs that of the images
    assert present["max_pool_0"] == [True, True, False]
    assert present["Conv_1"] == present["Dense_1"] == [True, True, True]


def test_a_part_of_an_accumulated_batch_in_its_precision():
    problem = problem_of(accumulate_steps="2", precision="bfloat16", backend="xla")
    layers, _ = find_layers(problem)
    assert [layer.input_shape[0] for layer in layers] == [8] * 6
    assert layers[0].calls[0].arrays["x"].dtype == "bfloat16"
    assert {c.implementation for c in layers[2].choices.values()} == {"xla"}


def test_gradients_of_jax_are_named():
    layers, _ = find_layers(problem_of(gradients="autodiff"))
    choices = [choice for layer in layers for choice in layer.choices.values()]
    assert {c.implementation for c in choices if c} == {"xla"}
    assert all("autodiff" in c.reason for c in choices if c)


def test_what_it_measures_and_prints(capsys):
    values = json.loads(command(capsys, "benchmark", "--layers", "--steps=1", "--json"))
    assert values["timed_calls"] == 1
    for layer in values["layers"]:
        maps = [row for row in layer["maps"].values() if row]
        assert len(maps) >= 2
        for row in maps:
            assert row["implementation"]
            assert row["reason"]
            assert row["milliseconds"] > 0
    for width in (80, 120):
        text = layer_lines(values, width)
        assert max(map(len, text.split("\n"))) <= width
        assert "Conv_1: conv 3x3 + bias" in text
        assert text.count("kernel gradient") == 4 + 1  # in the sum
        assert len(re.findall(r" \d+\.\d{3} ms  ", text)) == 3 * 6 - 1 - 2


def test_info_shows_the_same_without_measuring(capsys):
    text = command(capsys, "info")
    assert "Conv_1: conv 3x3 + bias" in text
    assert "16x4x4x4 to 16x4x4x8, 296 parameters, 73,728 multiply-adds" in text
    assert " ms" not in text


def test_names_are_shown_without_control_characters():
    row = {"implementation": "\x1b[31m", "reason": "a\nb", "milliseconds": None}
    layer = {
        "name": "\x1b[31m",
        "kind": "a\rb",
        "input_shape": [1],
        "output_shape": [2],
        "parameters": 3,
        "multiply_adds": 4,
        "maps": {"forward": row, "input_gradient": row, "kernel_gradient": None},
    }
    values = {
        "image_shape": (2, 2, 1),
        "devices": 1,
        "model": "m",
        "parameters": 1,
        "batch_size": 1,
        "device": "cpu",
        "cores": 1,
        "backend": "auto",
        "cpu_kernels": "none",
        "accumulate_steps": 2,
        "timed_calls": None,
        "layers": [layer],
        "element_wise": {"relu": 2},
        "learning_rates": [],
    }
    text = layer_lines(values, 80)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\\x1b[31m: a\\rb" in text


def test_too_few_steps_are_refused(capsys):
    words = ["benchmark", f"--config={DIGITS}", "--layers", "--steps=0"]
    assert main(words) == 2
    assert "steps is 0, expected 1 or more" in capsys.readouterr().err
