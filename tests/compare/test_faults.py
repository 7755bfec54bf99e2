"""Planted faults: each makes the comparison fail and name the operation."""

import json

import jax.numpy as jnp
import pytest
from jax import lax

from cnnjax import cli
from cnnjax.compare.grid import CASES, compare_case
from cnnjax.compare.model import compare_problem, make_problem
from cnnjax.config.files import load_config
from cnnjax.ops import activation, bias
from cnnjax.ops.conv import xla
from cnnjax.ops.norm import maps as norm
from cnnjax.ops.pool import maps as pool
from cnnjax.ops.taps import scatter_taps, tap_slices

DIGITS = "configs/digits.py"


def wrong_rotation(patch):
    def exchange(kernel, groups):
        return right(lax.rev(kernel, (0,)), groups)

    right = xla.rotate_and_exchange
    patch.setattr(xla, "rotate_and_exchange", exchange)


def missing_stride(patch):
    def kernel_gradient(x, dy, window, taps):
        if set(window.strides) == {1}:
            return right(x, dy, window, taps)
        return right(x, dy, window._replace(strides=(1,) * len(taps)), taps)

    right = xla.kernel_gradient
    patch.setattr(xla, "kernel_gradient", kernel_gradient)


def backward(patch, function, rule):
    """Replaces the backward rule of an operation for one test."""
    custom = function._custom
    patch.setattr(custom, "bwd", rule)


def bias_over_the_wrong_axes(patch):
    def rule(_, dy):
        return dy, jnp.sum(dy[:1].reshape(-1, dy.shape[-1]), axis=0)

    backward(patch, bias.add_bias, rule)


def ties_to_all_maxima(patch):
    def rule(problem, residuals, cotangents):
        x, y = residuals
        dy = cotangents[0]
        slices = tap_slices(x, problem.taps, problem.window, -jnp.inf)
        chosen = (jnp.where(value == y, dy, 0) for value in slices)
        return (scatter_taps(chosen, problem.taps, problem.window, problem.sizes),)

    def forward(x, problem):
        outputs = pool.max_and_which(x, problem)
        return outputs, (x, outputs[0])

    patch.setattr(pool.max_and_which._custom, "fwd", forward)
    backward(patch, pool.max_and_which, rule)


def relu_gradient_1_at_0(patch):
    backward(patch, activation.relu, lambda y, dy: (jnp.where(y >= 0, dy, 0),))


def batch_norm_without_the_mean_term(patch):
    right = norm._moments_bwd

    def rule(axes, fast, residuals, cotangents):
        dmean, dvariance = cotangents
        return right(axes, fast, residuals, (0 * dmean, dvariance))

    backward(patch, norm._moments, rule)


FAULTS = {
    wrong_rotation: "conv",
    missing_stride: "conv",
    bias_over_the_wrong_axes: "conv",
    ties_to_all_maxima: "max_pool",
    relu_gradient_1_at_0: "relu",
    batch_norm_without_the_mean_term: "batch_norm",
}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.op} {c.what}")
def test_every_case_is_right(case):
    rows = compare_case(case).rows
    assert [row.failures for row in rows] == [()] * len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_makes_the_command_fail_and_is_named(
    fault, monkeypatch, capsys, tmp_path
):
    fault(monkeypatch)
    file = tmp_path / "rows.json"
    assert cli.main(["compare", "--ops", FAULTS[fault], f"--json={file}"]) == 1
    summary = capsys.readouterr().out.split("gradients are off:\n")[1]
    assert f"  {FAULTS[fault]} (" in summary
    wrong = [row for row in json.loads(file.read_text())["rows"] if not row["ok"]]
    assert any(row["name"].startswith(f"{FAULTS[fault]} (") for row in wrong)


def test_an_unknown_operation_is_refused(capsys):
    assert cli.main(["compare", "--ops", "max_pol"]) == 2
    assert "did you mean 'max_pool'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fault_is_seen_in_the_network_of_a_config(monkeypatch):
    wrong_rotation(monkeypatch)
    config = load_config(DIGITS, {"model.widths": "(4, 8)", "batch_size": "16"})
    comparison = compare_problem(make_problem(config))
    assert not comparison.ok
    assert any(row.failures for row in comparison.rows)


@pytest.mark.slow
def test_the_command_prints_a_fault_in_the_network(monkeypatch, capsys):
    bias_over_the_wrong_axes(monkeypatch)
    small = ["--config.model.widths=(4, 8)", "--config.batch_size=16"]
    assert cli.main(["compare", f"--config={DIGITS}", *small]) == 1
    out = capsys.readouterr().out
    network = out.split("network simple_cnn on digits")[1].split("operations")[0]
    assert "OFF" in network
