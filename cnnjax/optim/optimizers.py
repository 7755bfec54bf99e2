"""Optimizers by name: every Optax alias, plus clipping and weight decay."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from cnnjax.config.import_path import is_import_path
from cnnjax.config.values import fit, fit_finite
from cnnjax.errors import unknown_name, wrong_value
from cnnjax.optim.decay_mask import decay_mask
from cnnjax.optim.groups import Groups, in_groups
from cnnjax.optim.own import own_optimizer
from cnnjax.optim.plain_keys import holds_keys, with_plain_keys
from cnnjax.optim.weight_decay import decoupled_weight_decay

OPTIMIZER, DECAY = "optimizer", "decay"  # the links whose states have arrays
GROUPS = "groups"  # the link that holds both of them for each group of parameters

# These come from other settings; as options they would bypass the decay mask.
_RESERVED = {
    "learning_rate": "the schedule",
    "weight_decay": "weight_decay",
    "weight_decay_rate": "weight_decay",
    "mask": "the rule of decay_mask",
    "weight_decay_mask": "the rule of decay_mask",
}

_DTYPES = ("bfloat16", "float16", "float32")
_WHOLE = ("decay_offset", "key", "seed")  # integers, though annotated otherwise


def make_optimizer(
    name: str,
    schedule: optax.Schedule,
    *,
    weight_decay: float = 0.0,
    decay_mode: Literal["decoupled", "l2"] = "decoupled",
    clip_norm: float | None = None,
    options: Mapping[str, Any] | None = None,
    groups: Groups | None = None,
) -> optax.GradientTransformation:
    """The chain from gradients to updates: clip, L2, the optimizer, weight decay.

    The state maps the name of each link to its state. Clipping and L2 have no state,
    and the decay always has a counter, so each of these settings can change while the
    structure of the state stays the same.

    With gradient g, parameter w, learning rate eta_t and weight decay c:

    1. ``g <- g * min(1, clip_norm / |g|)``, |g| over all parameters together;
    2. if ``decay_mode`` is ``"l2"``: ``g <- g + c w``;
    3. ``w <- w + optimizer(g)``;
    4. if ``decay_mode`` is ``"decoupled"``: ``w <- w - eta_t c w``.

    Optimizers with weight decay of their own (adamw, lion, lamb, lars, ...) do the
    fourth step inside the third, with this ``weight_decay`` instead of their own
    default. Decay excludes biases and normalization; see ``decay_mask``.

    Args:
        name: one of ``optimizer_names()``, or an import path of your own.
        schedule: the learning rate of each step, counted from 0.
        weight_decay: c, zero or more.
        decay_mode: where the decay is applied.
        clip_norm: the maximum norm of the gradient, or None for no limit.
        options: the optimizer's further arguments, such as ``{"momentum": 0.9}``.
        groups: of parameters that are trained from different steps on, or never; by
            default, all are trained. Steps 2 to 4 then happen for each group.

    Raises:
        ValueError: for an unknown name or option, a number out of range, or an
            optimizer that needs more than gradients, state and parameters.
    """
    options = dict(options or {})
    is_own = is_import_path(name)
    if not is_own and name not in optimizer_names():
        raise unknown_name("optimizer", name, optimizer_names())
    _check_numbers(weight_decay, decay_mode, clip_norm)
    alias = own_optimizer(name) if is_own else getattr(optax, name)
    options = _check_options(name, alias, options)
    decoupled = weight_decay if decay_mode == "decoupled" else 0.0
    mask_option = _mask_option(name, alias)
    if mask_option:
        options |= {"weight_decay": decoupled, mask_option: decay_mask}
    links = []
    if decay_mode == "l2" and weight_decay:
        links.append(("l2", optax.add_decayed_weights(weight_decay, mask=decay_mask)))
    make = functools.partial(alias, schedule, **options)
    links.append((OPTIMIZER, _try_out(name, make)))
    rest = 0.0 if mask_option else decoupled
    links.append((DECAY, decoupled_weight_decay(schedule, rest)))
    if groups is not None:
        links = [(GROUPS, in_groups(optax.named_chain(*links), groups))]
    if clip_norm is not None:
        links.insert(0, ("clip", optax.clip_by_global_norm(clip_norm)))
    return optax.named_chain(*links)


@functools.cache
def optimizer_names() -> tuple[str, ...]:
    """The names of Optax's aliases: its public functions of a learning rate."""
    return tuple(
        name
        for name, value in sorted(vars(optax).items())
        if inspect.isfunction(value)
        and not name.startswith(("_", "scale_by_"))
        and "learning_rate" in inspect.signature(value).parameters
    )


def _mask_option(name: str, alias: Callable[..., Any]) -> str | None:
    """The alias's argument for the mask of its decoupled decay, or None."""
    if name == "lars":
        return "weight_decay_mask"
    # adadelta's weight_decay_mask belongs to an L2 term, which stays at its default, 0.
    taken = inspect.signature(alias).parameters
    return "mask" if {"weight_decay", "mask"} <= taken.keys() else None


def _try_out(
    name: str, make: Callable[[], optax.GradientTransformation]
) -> optax.GradientTransformation:
    """Makes the optimizer, and traces an update of two small parameters with it."""
    params = {
        "kernel": jax.ShapeDtypeStruct((2, 3), jnp.float32),
        "bias": jax.ShapeDtypeStruct((3,), jnp.float32),
    }
    try:
        optimizer = make()
        if holds_keys(jax.eval_shape(optimizer.init, params)):
            optimizer = with_plain_keys(optimizer)
        jax.eval_shape(lambda x: optimizer.update(x, optimizer.init(x), x), params)
    except Exception as error:  # third-party code with user options may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"optimizer {name!r} cannot be used here: it must work with a schedule, "
            "these options, and update(gradients, state, params), but a trial update "
            f"failed with: {reason}"
        ) from error
    return optimizer


def _check_options(
    name: str, alias: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options as the alias expects them, checked against its defaults."""
    taken = inspect.signature(alias).parameters
    valid = [option for option in taken if option not in _RESERVED]
    for option in options:
        if option in taken and option in _RESERVED:
            raise ValueError(
                f"option {option!r} of {name} cannot be set among its options: "
                f"it comes from {_RESERVED[option]}"
            )
        if option not in valid:
            raise unknown_name(f"option of {name}", option, valid)
    return {
        option: _check_option(option, value, taken[option])
        for option, value in options.items()
    }


def _check_option(option: str, value: Any, taken: inspect.Parameter) -> Any:
    """A valid value of an option; Optax itself would accept any string as true."""
    if type(taken.default) is bool:
        return fit(option, value, bool)
    if "dtype" in option:
        if value not in [*_DTYPES]:
            raise wrong_value(option, value, " or ".join(map(repr, _DTYPES)))
        return value
    if option in _WHOLE or taken.annotation is int:
        if type(value) is not int or not 0 <= value < 2**31:
            raise wrong_value(option, value, "a whole number from 0 to 2147483647")
        return value
    return fit_finite(option, value)


def _check_numbers(
    weight_decay: float, decay_mode: str, clip_norm: float | None
) -> None:
    fit_finite("weight_decay", weight_decay)
    if decay_mode not in ("decoupled", "l2"):
        raise unknown_name("decay_mode", decay_mode, ("decoupled", "l2"))
    if clip_norm is not None and not fit_finite("clip_norm", clip_norm) > 0:
        raise wrong_value("clip_norm", clip_norm, "a number above 0, or None")
