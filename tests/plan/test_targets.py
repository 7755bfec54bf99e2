"""The names of devices, and what their compilers need."""

import importlib.util

import pytest

from cnnjax.errors import ConfigError
from cnnjax.plan import targets
from cnnjax.plan.targets import CHIPS, compiler_problem, parse_target, prepare


@pytest.mark.parametrize(
    "text, kind, shape",
    [
        ("h100", "h100", (1,)),
        ("a100:8", "a100", (8,)),
        ("v5e:2x4", "v5e", (2, 4)),
        ("v4:2x2x1", "v4", (2, 2, 1)),
        ("cpu", "cpu", (1,)),
    ],
)
def test_names(text, kind, shape):
    found = parse_target(text)
    assert (found.kind, found.shape, found.chip) == (kind, shape, CHIPS[kind])


@pytest.mark.parametrize(
    "text, part",
    [
        ("h200", "unknown device 'h200'; did you mean 'h100'?"),
        ("v5e", "expected such as v5e:2x2"),
        ("v5e:2x2x1", "expected such as v5e:2x2"),
        ("v4:2x2", "expected such as v4:2x2x1"),
        ("h100:9", "expected h100 or h100:8, at most 8 devices"),
        ("h100:0", "at most 8 devices"),
        ("h100:", "expected h100 or h100:8"),
        ("v5e:axb", "expected such as v5e:2x2"),
    ],
)
def test_other_names_are_refused(text, part):
    with pytest.raises(ConfigError) as error:
        parse_target(text)
    assert part in str(error.value)


@pytest.mark.parametrize(
    "name, package", [("v5e:2x2", "jax[tpu]"), ("h100", "jax-cuda12-plugin==")]
)
def test_a_missing_compiler_is_named_with_its_package(name, package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as error:
        prepare(parse_target(name), {})
    assert package in str(error.value)


def test_the_environment_of_a_cpu_keeps_other_flags():
    environment = {"XLA_FLAGS": "--a=1 --xla_force_host_platform_device_count=2"}
    prepare(parse_target("cpu:3"), environment)
    flags = "--a=1 --xla_force_host_platform_device_count=3"
    assert environment == {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def test_the_environment_of_a_gpu_turns_autotuning_off(monkeypatch):
    monkeypatch.setattr(targets, "is_installed", lambda platform: True)
    environment = {}
    prepare(parse_target("h100"), environment)
    assert environment["XLA_FLAGS"] == "--xla_gpu_autotune_level=0"


def test_a_compiler_without_libdevice_is_told_what_to_install():
    text = compiler_problem(parse_target("h100"), "INTERNAL: libdevice not found at .")
    assert "nvidia-cuda-nvcc-cu12" in text


@pytest.mark.parametrize("kind", [k for k, c in CHIPS.items() if c.platform == "cuda"])
def test_each_gpu_is_described(kind):
    text = targets.files("cnnjax.plan").joinpath("gpus", f"{kind}.txtpb").read_text()
    assert kind.upper() in text
    memory = int(text.split("device_memory_size: ")[1].split()[0])
    assert memory == CHIPS[kind].memory_bytes
