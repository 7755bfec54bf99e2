"""What JAX does with a hand-written gradient in forward mode and in transposition.

Forward mode cannot use a rule for reverse mode. JAX notices this late (under
``jax.jit``, only when it lowers the program), but the error names the function. The
transpose of a linear function is its gradient.
"""

from typing import Any

import jax
from jax.extend.core import primitives
from jax.interpreters import ad, batching, mlir

functions: dict[str, Any] = {}  # each ``CustomVJP`` by its name


def _function_of(rule):
    """The function that a backward rule belongs to; ``None`` if it is not ours."""
    return functions.get(rule.debug_info.func_name)


def _refuse_forward_mode(*_, bwd, **__):
    """What JAX runs, or lowers within ``jax.jit``, where a tangent reaches a rule."""
    function = _function_of(bwd)
    if function is None:
        raise TypeError(
            "can't apply forward-mode autodiff (jvp) to a custom_vjp function."
        )
    raise TypeError(
        f"{function.name} has a hand-written gradient for reverse mode (jax.grad,"
        " jax.vjp, jax.jacrev), and forward mode (jax.jvp, jax.jacfwd, jax.hessian)"
        " does not pass through it; trace the function within"
        ' cnnjax.ops.gradients("autodiff"), or use jax.jacrev(jax.grad(f)) for second'
        " derivatives"
    )


def _transpose(cotangents, *args, **params):
    """What ``jax.linear_transpose`` runs: the gradient of a linear map, taken at 0.

    The last of ``args`` are the function's arrays; undefined are those to be
    transposed.
    """
    function = _function_of(params["bwd"])
    unknown = [i for i, arg in enumerate(args) if ad.is_undefined_primal(arg)]
    first = params.get("num_consts", 0)
    wanted = {i - first for i in unknown}
    if function is None or not any(wanted <= together for together in function.linear):
        name = function.name if function else "a custom_vjp function"
        raise NotImplementedError(
            f"{name} is not linear in its arrays {sorted(wanted)}, counted from 0: it"
            " has no transpose"
        )

    def residuals():
        # JAX loses count of them where the function has constants.
        output, tree, places = params["out_trees"]()
        kept = iter(function.kept)
        places = [None if p is None else first + next(kept) for p in places]
        return output, tree, places

    primitive = primitives.custom_vjp_call_p
    bound = primitive.get_bind_params({**params, "out_trees": residuals})

    def linear(*values):
        given = dict(zip(unknown, values, strict=True))
        every = [given.get(i, arg) for i, arg in enumerate(args)]
        return primitive.bind(*every, **bound)

    zeros = [ad.instantiate_zeros(ad.Zero(args[i].aval)) for i in unknown]
    _, pullback = jax.vjp(linear, *zeros)
    gradients = iter(pullback([ad.instantiate_zeros(ct) for ct in cotangents]))
    return [next(gradients) if i in unknown else None for i in range(len(args))]


primitives.custom_lin_p.def_impl(_refuse_forward_mode)
batching.primitive_batchers[primitives.custom_lin_p] = _refuse_forward_mode
mlir.register_lowering(primitives.custom_lin_p, _refuse_forward_mode, cacheable=False)
ad.primitive_transposes[primitives.custom_vjp_call_p] = _transpose
