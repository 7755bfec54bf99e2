"""Which implementation computes a map of a convolution on a platform, and why.

``choose`` is the one place that decides. It is a table: each row is a condition, an
implementation and a reason, and the first row that holds wins. ``explain`` is the same
table for people. Everything depends on shapes, so the choice is made while tracing.

On a CPU, the compiled library (``native``) is almost always fastest. XLA's own
convolution (``xla``) is a matrix product at full speed in 1-D and 2-D, for the forward
map and for the input gradient without strides. Elsewhere on a CPU it is slow:

* a 1x1 kernel with strides needs fewer rows, and in dx the other rows are zero, which
  oneDNN does not know either: ``pointwise``;
* a depthwise convolution goes from group to group: ``depthwise``, a loop over taps;
* so do other groups, and their kernel gradient is no matrix product at all: ``grouped``
  and ``im2col``;
* in 3-D there is no matrix product either: ``im2col``;
* the input gradient with strides multiplies zeros: ``polyphase``, once x is large;
* the kernel gradient slides a window as large as the image, which is slow once x and dy
  exceed the cache: ``im2col``.

``scripts/benchmark_ops.py`` measured the limits below.
"""

import enum
import math

from cnnjax.native import conv as native_conv
from cnnjax.ops.backend import Backend, refuse
from cnnjax.ops.choice import Choice
from cnnjax.ops.conv import depthwise, im2col, input_dilation, pointwise, polyphase
from cnnjax.ops.conv.problem import ConvProblem, Map

CACHE_BYTES = 2**22
"""Up to this size, x and dy stay in the cache, where XLA's kernel gradient is fast."""

FEWEST_POSITIONS = 32
"""With fewer outputs per image, the window of the kernel gradient, dy, suits XLA."""

NARROWEST = 32
"""If a side of the matrix product is shorter, each copied value is used too rarely."""

FEW_GROUPS = 8
"""Up to this many groups, one matrix product each beats XLA's loop."""

FEW_PLACES = 16
"""Up to this many outputs per image, XLA's product for a 1x1 kernel is faster."""

FEW_INPUTS, FEW_OUTPUTS = 4, 16
"""Up to these channels, oneDNN's gradient of an image wastes more than XLA's."""


class Implementation(enum.StrEnum):
    """The implementations of a convolution, one module each."""

    NATIVE = "native"
    NATIVE_INPUT_DILATION = "native, input dilation"
    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    GROUPED = "grouped"
    IM2COL = "im2col"
    POLYPHASE = "polyphase"
    XLA = "xla"
    XLA_BY_AXES = "xla, by axes"


def explain(
    problem: ConvProblem,
    which: str,
    platform: str = "cpu",
    backend: Backend = "auto",
) -> Choice:
    """Which implementation computes a map of a convolution, and why.

    Args:
        problem: shapes, dtype and geometry.
        which: ``"forward"``, ``"input_gradient"`` or ``"kernel_gradient"``.
        platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
        backend: as in ``cnnjax.ops.backend``.

    Returns:
        The implementation (a member of ``Implementation``, which is its name too) and
        the reason, a short phrase for people.

    Raises:
        BackendError: ``backend`` is ``"native"`` and cannot compute this.
    """
    return choose(problem, Map(which), platform, backend)


def choose(
    problem: ConvProblem,
    which: Map,
    platform: str,
    backend: Backend,
    refusal: str = "",
) -> Choice:
    """The table behind ``explain``.

    Args:
        problem: as in ``explain``.
        which: the map.
        platform: as in ``explain``.
        backend: as in ``explain``.
        refusal: why only XLA can take these arrays (see ``cnnjax.ops.explicit``).
    """
    use = Implementation
    if platform != "cpu" and backend != "native":
        # A matrix product for 1x1 kernels would need copies in other layouts.
        if which is Map.INPUT_GRADIENT:
            reason = "not a CPU: XLA's own convolution, no copy of the kernel"
            return Choice(use.XLA_BY_AXES, reason)
        return Choice(use.XLA, "not a CPU: XLA's own convolution")
    if refusal:
        if backend == "native":
            refuse(f"{which} of x {problem.x}", refusal)
        return Choice(use.XLA, refusal)

    strided = max(problem.strides) > 1
    if max(problem.input_dilation) > 1:
        native, found = use.NATIVE_INPUT_DILATION, input_dilation.find(which, problem)
    else:
        native = use.NATIVE
        found = native_conv.find(
            which, problem.x, problem.kernel, problem.window(), problem.dtype
        )
    if backend == "native":
        if found.reason:
            refuse(f"{which} of {problem}", found.reason)
        return Choice(native, f"backend is 'native': {found.name}")
    if backend == "auto" and is_fastest(found, problem, which):
        return Choice(native, f"fastest here: {found.name}")

    if pointwise.suits(problem):
        fewer = " with strides: fewer rows in the" if strided else ": one"
        return Choice(use.POINTWISE, f"1x1 kernel{fewer} matrix product")
    if depthwise.suits(problem):
        return Choice(use.DEPTHWISE, "depthwise: a loop over taps")
    if max(problem.input_dilation) > 1:
        return Choice(use.XLA, "input dilation: only XLA's own convolution has it")
    if problem.x[0] == 0:
        return Choice(use.XLA, "a batch without images")
    if which is Map.KERNEL_GRADIENT:
        return _choose_kernel_gradient(problem)
    if problem.groups > 1:
        if problem.groups <= FEW_GROUPS:
            return Choice(use.GROUPED, "few groups: one convolution each")
        return Choice(use.XLA, "many groups: XLA's own convolution")
    volume = len(problem.x) == 5
    if which is Map.FORWARD:
        if volume and im2col.suits(problem.x, problem.y, problem.taps):
            return Choice(use.IM2COL, "3-D: a matrix product of patches")
        return Choice(use.XLA, "XLA's own convolution is fast here")
    bounded = not volume or im2col.suits(problem.y, problem.x, problem.taps)
    if strided:
        large = volume or 4 * math.prod(problem.x) >= 2 * CACHE_BYTES
        if large and polyphase.suits(problem) and bounded:
            return Choice(use.POLYPHASE, "strides: no products with zeros")
        return Choice(use.XLA, "small, or few channels: XLA's own convolution")
    if volume and bounded:
        return Choice(use.IM2COL, "3-D: a matrix product of patches")
    return Choice(use.XLA, "XLA's own convolution is fast here")


def is_fastest(found: native_conv.Found, problem: ConvProblem, which: Map) -> bool:
    """Whether what the compiled library has is faster on a CPU than all of XLA's.

    Args:
        found: the library's answer.
        problem: as in ``explain``.
        which: the map.
    """
    if depthwise.suits(problem):
        return found.implementation is native_conv.Implementation.JIT_DEPTHWISE
    if pointwise.suits(problem):
        if which is Map.INPUT_GRADIENT and max(problem.strides) > 1:
            return False
        return found.is_fast and math.prod(problem.y[1:-1]) > FEW_PLACES
    *taps, inputs, outputs = problem.kernel
    if which is Map.INPUT_GRADIENT and inputs <= FEW_INPUTS and problem.groups == 1:
        pairs = zip(taps, problem.strides, strict=True)
        dense = all(k >= 3 * s for k, s in pairs)
        return found.is_fast and dense and outputs <= FEW_OUTPUTS
    return found.is_fast


def _choose_kernel_gradient(problem):
    use, x, y = Implementation, problem.x, problem.y
    *taps, inputs, outputs = problem.kernel
    if not im2col.suits(x, y, problem.taps):
        return Choice(use.XLA, "the patches of one image would be too large")
    if problem.groups > 1:
        return Choice(use.IM2COL, "groups: a matrix product of patches for each")
    if len(taps) == 3:
        return Choice(use.IM2COL, "3-D: a matrix product of patches")
    large = 4 * (math.prod(x) + math.prod(y)) >= CACHE_BYTES
    positions = math.prod(y[1:-1]) >= FEWEST_POSITIONS
    sides = math.prod(taps) * inputs, outputs
    used = min(sides) >= NARROWEST and (inputs <= 4 * outputs or math.prod(taps) == 1)
    if len(taps) == 2 and large and positions and used:
        return Choice(use.IM2COL, "x and dy exceed the cache: a matrix product")
    return Choice(use.XLA, "XLA's own convolution is fast here")
