"""The devices that a run can be planned for, and the compilers that know them.

A compiler needs no device: libtpu compiles for any TPU, and XLA's CUDA plugin for any
GPU that is described to it. Both must be told before JAX starts; see ``prepare``.
"""

import contextlib
import importlib.util
import math
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from importlib import metadata
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

from cnnjax.errors import ConfigError, show, unknown_name

GIB = 2**30
PACKAGES = {
    "tpu": ("libtpu", 'pip install "jax[tpu]"'),
    "cuda": (
        "jax_plugins.xla_cuda12",
        "pip install --no-deps jax-cuda12-plugin=={jax} jax-cuda12-pjrt=={jax}"
        " nvidia-cuda-nvcc-cu12",
    ),
}
"""For each platform, the module that holds its compiler, and how to install it."""


class Chip(NamedTuple):
    """The published figures of one device.

    Attributes:
        platform: the name of its compiler, ``"tpu"``, ``"cuda"`` or ``"cpu"``.
        memory_bytes: that a program can have; ``None`` if unknown. Of a GPU, JAX takes
            three quarters, unless ``XLA_PYTHON_CLIENT_MEM_FRACTION`` says otherwise.
        flops: peak operations per second by the dtype of the operands, dense.
        memory_bandwidth: bytes per second from and to its memory.
        link_bandwidth: bytes per second that it sends to the other devices while it
            receives as many.
        source: where the figures come from.
        axes: number of axes of its topology; 0 for a single count.
        most: how many devices one name may mean.
    """

    platform: str
    memory_bytes: int | None = None
    flops: Mapping[str, float] = MappingProxyType({})
    memory_bandwidth: float | None = None
    link_bandwidth: float | None = None
    source: str = ""
    axes: int = 0
    most: int = 256


# For float32 operands, both platforms use their matrix units by default: a TPU rounds
# them to bfloat16, a GPU to TF32. Memory of a TPU is what its compiler grants a
# program; the published 16, 32 and 32 GiB include what the system keeps. Links are
# published as the sum of both directions.
CHIPS = {
    "v4": Chip(
        "tpu",
        memory_bytes=int(30.75 * GIB),
        flops={"bfloat16": 275e12, "float32": 275e12},
        memory_bandwidth=1200e9,
        link_bandwidth=300e9 / 2,
        source="cloud.google.com/tpu/docs/v4",
        axes=3,
    ),
    "v5e": Chip(
        "tpu",
        memory_bytes=int(15.75 * GIB),
        flops={"bfloat16": 197e12, "float32": 197e12},
        memory_bandwidth=819e9,
        link_bandwidth=400e9 / 2,
        source="cloud.google.com/tpu/docs/v5e",
        axes=2,
    ),
    "v6e": Chip(
        "tpu",
        memory_bytes=int(31.25 * GIB),
        flops={"bfloat16": 918e12, "float32": 918e12},
        memory_bandwidth=1638e9,
        link_bandwidth=800e9 / 2,
        source="cloud.google.com/tpu/docs/v6e",
        axes=2,
    ),
    "a100": Chip(
        "cuda",
        memory_bytes=80 * GIB,
        flops={"bfloat16": 312e12, "float32": 156e12},
        memory_bandwidth=2039e9,
        link_bandwidth=600e9 / 2,
        source="NVIDIA A100 datasheet, SXM with 80 GB",
        most=8,
    ),
    "h100": Chip(
        "cuda",
        memory_bytes=84_942_979_072,
        flops={"bfloat16": 989e12, "float32": 494.5e12},
        memory_bandwidth=3350e9,
        link_bandwidth=900e9 / 2,
        source="NVIDIA H100 datasheet, SXM with 80 GB",
        most=8,
    ),
    "cpu": Chip("cpu"),
}


class Target(NamedTuple):
    """Devices of one kind that a program is compiled for.

    Attributes:
        name: such as ``"v5e:2x2"``.
        chip: one of them.
        kind: its name in ``CHIPS``.
        shape: of their topology; one number where they are only counted.
    """

    name: str
    chip: Chip
    kind: str
    shape: tuple[int, ...]


def parse_target(text: str) -> Target:
    """Reads such as ``"h100"``, ``"h100:8"``, ``"v5e:2x2"`` or ``"cpu"``.

    Raises:
        ConfigError: an unknown device, or a topology that it does not have.
    """
    kind, colon, topology = text.partition(":")
    if kind not in CHIPS:
        raise ConfigError(str(unknown_name("device", kind, CHIPS)))
    chip = CHIPS[kind]
    numbers = re.fullmatch(r"\d{1,4}(x\d{1,4})*", topology if colon else "1")
    shape = tuple(map(int, numbers[0].split("x"))) if numbers else ()
    form = {0: "", 2: f"{kind}:2x2", 3: f"{kind}:2x2x1"}[chip.axes]
    expected = f"such as {form}" if form else f"{kind} or {kind}:8"
    count = math.prod(shape)
    if len(shape) != (chip.axes or 1) or not 1 <= count <= chip.most:
        raise ConfigError(
            f"--for is {show(text)}, expected {expected}, at most {chip.most} devices"
        )
    return Target(text, chip, kind, shape)


def prepare(target: Target, environment: MutableMapping[str, str]) -> None:
    """Sets what the compiler reads from the environment; call it before JAX starts.

    Raises:
        ConfigError: the compiler is not installed, with the command that installs it.
    """
    environment["JAX_PLATFORMS"] = "cpu"  # nothing else may look for devices
    if target.chip.platform == "cpu":
        count = target.shape[0]
        _add_flag(environment, f"--xla_force_host_platform_device_count={count}")
        return
    if not is_installed(target.chip.platform):
        raise ConfigError(
            f"--for={target.name} needs its compiler,"
            f" {PACKAGES[target.chip.platform][0]}, which is not installed; it works"
            f" without the device, so try: {_install(target)}"
        )
    environment["TPU_SKIP_MDS_QUERY"] = "1"
    environment["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    # Otherwise libtpu complains that it cannot ask a machine with a TPU for these.
    environment.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    environment.setdefault("TPU_ACCELERATOR_TYPE", f"{target.kind}-1")
    environment.setdefault("TPU_STDERR_LOG_LEVEL", "3")
    environment.setdefault("TPU_MIN_LOG_LEVEL", "3")
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if target.chip.platform == "cuda":
        gpu_memory_share(environment)
        # Autotuning runs kernels, for which there is no device.
        _add_flag(environment, "--xla_gpu_autotune_level=0")


def gpu_memory_share(environment: Mapping[str, str]) -> float:
    """The share of a GPU's memory that JAX takes; an error for what is no share."""
    name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    text = environment.get(name) or "0.75"
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise ConfigError(f"{name} is {text!r}, expected a number above 0, at most 1")


def find_devices(target: Target) -> Sequence[Any]:
    """The devices of a target, which only a compiler can use.

    Raises:
        ConfigError: the compiler does not know the topology.
    """
    import jax
    from jax.experimental import topologies

    platform, sizes = target.chip.platform, "x".join(map(str, target.shape))
    if platform == "cpu":
        found, wanted = jax.devices("cpu"), target.shape[0]
        if len(found) < wanted:
            raise ConfigError(
                f"--for is {target.name!r}, but JAX has started with {len(found)} CPU"
                " devices already; plan in a new process"
            )
        return found[:wanted]
    name, options = f"{target.kind}:{sizes}", {}
    if platform == "cuda":
        name, options["topology"] = "", f"1x1x{sizes}"  # slices, hosts, devices
        about = files("cnnjax.plan").joinpath("gpus", f"{target.kind}.txtpb")
        options["target_config"] = about.read_text(encoding="utf-8")
    elif target.kind == "v4":
        options["chip_config_name"] = "megacore"  # two cores are one device
    if platform == "tpu" and target.shape in ((1, 1), (1, 1, 1)):
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        found = topologies.get_topology_desc(
            platform=platform, topology_name=name, **options
        )
    except Exception as error:  # the plugins raise errors of several classes
        reason = str(error).splitlines()[0][:200]
        raise ConfigError(
            f"--for is {target.name!r}, and its compiler cannot be used: {reason}; try"
            " another topology, or see what it printed above"
        ) from error
    return found.devices


def compile_for(
    target: Target,
    function: Callable[..., Any],
    *arguments: Any,
    **options: Any,
) -> Any:
    """A function of arrays, compiled for the first device of a target.

    Args:
        target: whose environment is prepared.
        function: of arrays.
        *arguments: their shapes and dtypes, in any trees.
        **options: of ``jax.jit``.

    Returns:
        What ``jax.jit(function).lower(...).compile()`` gives.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
        >>> compiled = compile_for(parse_target("cpu"), jnp.sin, x)
        >>> compiled.memory_analysis().argument_size_in_bytes
        256
    """
    import jax

    place = jax.sharding.SingleDeviceSharding(find_devices(target)[0])
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments
    )
    traced = jax.jit(function, **options).trace(*placed)
    return traced.lower(lowering_platforms=(target.chip.platform,)).compile()


def compiler_problem(target: Target, message: str) -> str:
    """What to do about a compiler's error.

    Args:
        target: that it compiled for.
        message: of the error.
    """
    reason = message.splitlines()[0][:300]
    if "libdevice" in message:
        return (
            f"the compiler for {target.name} lacks CUDA's libdevice ({reason}):"
            f" {_install(target)}"
        )
    return f"the step cannot be compiled for {target.name}: {reason}"


def is_installed(platform: str) -> bool:
    """Whether the compiler of a platform is installed."""
    if platform not in PACKAGES:
        return True
    try:
        return importlib.util.find_spec(PACKAGES[platform][0]) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _install(target: Target) -> str:
    return PACKAGES[target.chip.platform][1].format(jax=metadata.version("jax"))


def _add_flag(environment: MutableMapping[str, str], flag: str) -> None:
    flags = environment.get("XLA_FLAGS", "").split()
    name = flag.partition("=")[0]
    kept = [each for each in flags if each.partition("=")[0] != name]
    environment["XLA_FLAGS"] = " ".join([*kept, flag])
