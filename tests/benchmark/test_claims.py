"""What ``--layers`` claims against what ran: XLA's program and oneDNN's own log."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cnnjax.native import library

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "support" / "benchmark" / "one_step.py"
SMALL = {"model.widths": "(16, 32)", "model.dense": "(16,)", "batch_size": "24"}

PROPAGATION = {  # oneDNN's words
    "forward": "forward_training",
    "input_gradient": "backward_data",
    "kernel_gradient": "backward_weights",
}
TARGETS = {  # the custom calls of each map, by the kind of layer
    ("max pool", "forward"): ["cnnjax_max_pool_v1"],
    ("max pool", "input_gradient"): ["cnnjax_max_pool_place_v1"],
    ("batch norm", "forward"): ["cnnjax_batch_moments_v1", "cnnjax_batch_norm_v1"],
    ("batch norm", "input_gradient"): ["cnnjax_batch_norm_gradient_v1"],
    ("batch norm", "kernel_gradient"): ["cnnjax_batch_norm_sums_v1"],
}


def take_step(**changes):
    """What ran in one step: the claims, the custom calls, and oneDNN's log."""
    settings = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    words = [str(ROOT / "configs" / "digits.py"), json.dumps(settings)]
    environment = {**os.environ, "ONEDNN_VERBOSE": "1"}
    environment.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)  # it keeps what is unused
    done = subprocess.run(
        [sys.executable, str(WORKER), *words],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = json.loads(next(line for line in lines if line.startswith('{"claims"')))
    found["primitives"] = Counter(
        (fields[5], fields[4])
        for fields in (line.split(",") for line in lines)
        if fields[:4] == ["onednn_verbose", "exec", "cpu", "convolution"]
        and any(field.startswith("mb24_") for field in fields)
    )
    return found


def differences(claims, ran):
    """How the claims differ from what ran; empty where they do not."""
    calls, primitives = Counter(), Counter()
    products = {"convolution": 0, "dot": 0}
    for name, title, implementation, reason in claims:
        kind = title.partition(",")[0].rstrip(" 0123456789x")
        kind = "batch norm" if title.startswith("batch norm") else kind
        if title.startswith("conv "):
            if implementation == "native":
                calls[f"cnnjax_conv_{name}_v1"] += 1
                kernel = reason.removeprefix("fastest here: ").removeprefix("oneDNN ")
                if ":" in kernel:  # oneDNN's; ours have plain names
                    primitives[PROPAGATION[name], kernel] += 1
            products["convolution"] += implementation == "xla"
        elif title == "dense":
            products["dot"] += implementation == "xla"
        elif implementation == "native":
            calls.update(TARGETS[kind, name])
    expected = {"calls": calls, "primitives": primitives, "products": products}
    return {
        key: (value, ran[key]) for key, value in expected.items() if value != ran[key]
    }


@pytest.mark.slow
@pytest.mark.skipif(library.status().library is None, reason="no compiled kernels")
@pytest.mark.parametrize("batch_norm", [False, True])
def test_native_maps_are_those_that_ran(batch_norm):
    ran = take_step(model__batch_norm=str(batch_norm))
    claims = ran["claims"]
    assert differences(claims, ran) == {}
    assert {"native", "xla"} <= {implementation for _, _, implementation, _ in claims}
    assert ran["primitives"]
    for number, (name, title, implementation, reason) in enumerate(claims):
        other = "xla" if implementation == "native" else "native"
        wrong = [*claims]
        wrong[number] = (name, title, other, reason)
        assert differences(wrong, ran), f"{name} of {title} may claim anything"


@pytest.mark.slow
def test_with_xla_nothing_else_runs():
    ran = take_step(backend="xla")
    assert differences(ran["claims"], ran) == {}
    assert not ran["calls"]
    assert not ran["primitives"]
    assert ran["products"]["convolution"] > 0
