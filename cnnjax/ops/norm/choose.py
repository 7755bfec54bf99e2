"""Which implementation computes batch normalization in training, and why: the table.

* ``native``: one operation whose maps are C++ loops over rows of channels.
* ``xla_fused``: the same operation, its maps left to XLA. It stands in for ``native``
  on platforms other than a CPU, in a program that was traced once for all of them.
* ``xla_fused_by_g``: the same for a GPU, where XLA fuses less: the sums over positions
  take two steps, and after the addition of a z in half precision, the sum of g is read
  from the g in memory.
* ``xla``: moments, normalization, addition and ReLU one after the other.

Every other normalization has one implementation, that of ``xla``: by given moments, by
those of several devices or of a mask, and layer and group normalization.
"""

from cnnjax.native import norm as native
from cnnjax.ops.backend import refuse
from cnnjax.ops.choice import Choice
from cnnjax.ops.norm.problem import BatchNormProblem


def choose(problem: BatchNormProblem, platform: str, obstacle: str = "") -> Choice:
    """The implementation of all maps: ``"native"``, ``"xla"``, ...

    Args:
        problem: what to compute.
        platform: ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"tpu"``, ...
        obstacle: why these arrays cannot go to the kernels (``explicit.refusal``).

    Raises:
        BackendError: the backend is ``"native"``, which cannot compute this.
    """
    if problem.backend == "xla":
        return Choice("xla", "the backend is 'xla'")
    if reason := obstacle or native.refusal(problem.dtype):
        if problem.backend == "native":
            refuse(f"batch normalization of {problem.dtype} x {problem.shape}", reason)
        return Choice("xla", reason)
    if problem.dtype != problem.result_dtype:
        dtypes = f"x is {problem.dtype} and y {problem.result_dtype}"
        return Choice("xla", f"{dtypes}, but the kernels use one dtype for both")
    channels = problem.shape[-1]
    if problem.backend == "auto" and channels < native.FEWEST_CHANNELS:
        few = f"{channels} channels do not fill a vector of {native.FEWEST_CHANNELS}"
        return Choice("xla", few)
    if platform == "tpu":
        return Choice("xla_fused", "the kernels are for CPUs only")
    if platform != "cpu":
        return Choice("xla_fused_by_g", "the kernels are for CPUs only")
    if problem.backend == "native":
        return Choice("native", "the backend is 'native'")
    return Choice("native", "all steps in one pass over the memory")


def explain(problem: BatchNormProblem, platform: str = "cpu") -> dict[str, Choice]:
    """Which implementation computes batch normalization and its gradient, and why.

    Args:
        problem: from ``cnnjax.ops.norm.make_problem``.
        platform: as in ``choose``.

    Returns:
        A choice for ``"forward"`` and for ``"input_gradient"``, which computes the
        gradients of the scale and the bias, too.

    Raises:
        BackendError: the backend is ``"native"``, which cannot compute this.

    Example:
        >>> x = jax.ShapeDtypeStruct((8, 28, 28, 4), jnp.float32)
        >>> norm.explain(norm.make_problem(x))["forward"]
        Choice(implementation='xla', reason='4 channels do not fill a vector of 8')
    """
    choice = choose(problem, platform)
    return {"forward": choice, "input_gradient": choice}
