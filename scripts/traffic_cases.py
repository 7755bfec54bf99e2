"""The operations that ``compare_traffic.py`` compiles: a function and its arrays each.

Images are ``(128, 32, 32, 64)`` in bfloat16 unless a name says otherwise.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax import ops

HALF, SINGLE = jnp.bfloat16, jnp.float32


class Case(NamedTuple):
    """An operation to compile.

    Attributes:
        function: of the arrays.
        arrays: what it is differentiated with respect to.
        constants: further arguments, such as labels.
    """

    function: Callable[..., Any]
    arrays: tuple[jax.ShapeDtypeStruct, ...]
    constants: tuple[jax.ShapeDtypeStruct, ...] = ()


def _array(*shape, dtype: Any = HALF):
    return jax.ShapeDtypeStruct(shape, dtype)


IMAGE = (128, 32, 32, 64)
SIGNAL = (128, 1024, 64)
VOLUME = (16, 16, 16, 16, 64)
SHAPES = {1: SIGNAL, 2: IMAGE, 3: VOLUME}


def _pool(name, window, strides, padding="VALID", shape=IMAGE, dtype=HALF, **options):
    function = partial(
        getattr(ops, f"{name}_pool"),
        window=window,
        strides=strides,
        padding=padding,
        **options,
    )
    return Case(function, (_array(*shape, dtype=dtype),))


def _poolings():
    for name in ("max", "avg"):
        for rank, window, strides, padding in (
            (2, 2, 2, "VALID"),
            (2, 3, 2, "SAME"),
            (2, 3, 2, "VALID"),
            (2, 3, 1, "SAME"),
            (2, (2, 3), (2, 1), "SAME"),
            (2, 7, 4, "SAME"),
            (1, 2, 2, "VALID"),
            (1, 3, 2, "SAME"),
            (3, 2, 2, "VALID"),
            (3, 3, 2, "SAME"),
        ):
            label = f"{name}-pool {rank}-D {window} stride {strides} {padding}"
            shape = SHAPES[rank]
            yield label, _pool(name, window, strides, padding, shape)
        for window, strides, padding in ((2, 2, "VALID"), (3, 2, "SAME")):
            label = f"{name}-pool 2-D {window} stride {strides} {padding} float32"
            yield label, _pool(name, window, strides, padding, dtype=SINGLE)
    label = "avg-pool 2-D 3 stride 2 SAME without padding in the mean"
    yield label, _pool("avg", 3, 2, "SAME", count_include_pad=False)
    yield (
        "max-pool 2-D 5 stride 1 SAME 13x13x512",
        _pool(*("max", 5, 1, "SAME"), shape=(32, 13, 13, 512)),
    )
    yield "global average pool", Case(ops.global_avg_pool, (_array(*IMAGE),))


def _conv(taps, inputs, outputs, shape=None, dtype=HALF, bias=False, **options):
    image = shape or (*SHAPES[len(taps)][:-1], inputs)
    groups = options.get("groups", 1)
    arrays = [
        _array(*image, dtype=dtype),
        _array(*taps, inputs // groups, outputs, dtype=dtype),
    ]
    if bias:
        arrays.append(_array(outputs, dtype=dtype))
    return Case(partial(ops.conv, **options), tuple(arrays))


def _convolutions():
    options: dict[str, Any]
    for taps, inputs, outputs, options in (
        ((1, 1), 64, 256, {}),
        ((1, 1), 256, 64, {}),
        ((1, 1), 64, 128, {"strides": 2}),
        ((3, 3), 64, 64, {}),
        ((3, 3), 64, 128, {"strides": 2}),
        ((3, 3), 64, 64, {"dilation": 2}),
        ((3, 3), 64, 64, {"padding": "VALID"}),
        ((3, 3), 64, 64, {"groups": 4}),
        ((3, 3), 64, 64, {"groups": 64}),
        ((3, 3), 64, 64, {"groups": 64, "strides": 2}),
        ((5, 5), 64, 64, {}),
        ((5, 5), 64, 64, {"groups": 64}),
        ((2, 2), 64, 128, {"strides": 2}),
        ((3, 3), 64, 64, {"flip_kernel": True}),
        ((3,), 64, 64, {}),
        ((3,), 64, 128, {"strides": 2}),
        ((7,), 64, 64, {"padding": "CAUSAL", "dilation": 2}),
        ((3, 3, 3), 64, 64, {}),
        ((3, 3, 3), 64, 64, {"strides": 2}),
    ):
        size, words = "x".join(map(str, taps)), dict(options)
        if words.get("groups") == inputs:
            words = {"depthwise": "", **words}
            del words["groups"]
        rest = "".join(f" {key} {value}".rstrip() for key, value in words.items())
        yield (
            f"conv {size} {inputs}->{outputs}{rest}",
            _conv(taps, inputs, outputs, **options),
        )
    labeled: dict[str, dict[str, Any]] = {
        "bias": {"bias": True},
        "bias relu": {"bias": True, "relu": True},
        "relu": {"relu": True},
        "float32": {"dtype": SINGLE},
    }
    for label, options in labeled.items():
        yield f"conv 3x3 64->64 {label}", _conv((3, 3), 64, 64, **options)
    yield "conv 1x1 64->256 bias relu", _conv((1, 1), 64, 256, bias=True, relu=True)
    stem = (32, 224, 224, 3)
    yield "conv 7x7 3->64 strides 2 224x224x3", _conv((7, 7), 3, 64, stem, strides=2)
    patches = {"strides": 4, "padding": "VALID"}
    yield "conv 4x4 3->96 strides 4 224x224x3", _conv((4, 4), 3, 96, stem, **patches)
    for taps, strides in (((2, 2), 2), ((3, 3), 2), ((3, 3), 1)):
        kernel = _array(*taps, 64, 32)
        label = f"transposed conv {taps[0]}x{taps[1]} 64->32 strides {strides}"
        run = partial(ops.conv_transpose, strides=strides)
        yield label, Case(run, (_array(*IMAGE), kernel))


def _dense():
    for rows, inputs, outputs, bias in (
        ((128,), 2048, 1000, True),
        ((128, 196), 384, 1536, True),
        ((128, 196), 384, 1536, False),
    ):
        arrays = [_array(*rows, inputs), _array(inputs, outputs)]
        arrays += [_array(outputs)] * bias
        label = f"dense {'x'.join(map(str, rows))} {inputs}->{outputs}"
        yield label + " bias" * bias, Case(ops.dense, tuple(arrays))


def _batch_norm(x, scale, bias, add=None, **options):
    return ops.batch_norm(x, scale, bias, add=add, **options)[0]


def _norms():
    row = _array(64, dtype=SINGLE)
    for dtype in (HALF, SINGLE):
        x = _array(*IMAGE, dtype=dtype)
        suffix = " float32" if dtype is SINGLE else ""
        for label, adds, relu in (
            ("batch norm", False, False),
            ("batch norm + ReLU", False, True),
            ("batch norm + add + ReLU", True, True),
            ("batch norm + ReLU6", False, 6.0),
        ):
            run = partial(_batch_norm, relu=relu)
            yield label + suffix, Case(run, (x, row, row, *[x] * adds))
        yield f"layer norm{suffix}", Case(ops.layer_norm, (x, row, row))
        grouped = partial(ops.group_norm, groups=8)
        yield f"group norm{suffix}", Case(grouped, (x, row, row))
    slow = partial(_batch_norm, use_fast_variance=False)
    yield "batch norm, two-pass variance", Case(slow, (_array(*IMAGE), row, row))
    moments = _array(64, dtype=SINGLE)
    arrays = (_array(*IMAGE), moments, moments, row, row)
    yield "batch norm by given moments", Case(ops.batch_norm_inference, arrays)


def _pointwise():
    for name in (
        *("relu", "relu6", "sigmoid", "tanh", "gelu", "silu"),
        *("hard_sigmoid", "hard_swish", "softmax", "log_softmax"),
    ):
        yield name.replace("_", " "), Case(getattr(ops, name), (_array(*IMAGE),))
    exact = partial(ops.gelu, approximate=False)
    yield "gelu exact", Case(exact, (_array(*IMAGE),))
    scaled = (_array(*IMAGE), _array(128, 1, 1, 64))
    yield "scale per example and channel", Case(ops.scale, scaled)
    yield "scale per channel", Case(ops.scale, (_array(*IMAGE), _array(64)))
    key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))

    def dropped(x, key):
        return ops.dropout(jax.random.wrap_key_data(key), x, 0.5)

    yield "dropout", Case(dropped, (_array(*IMAGE),), (key,))


def _losses():
    for dtype in (SINGLE, HALF):
        logits = _array(1024, 1000, dtype=dtype)
        numbers = _array(1024, dtype=jnp.int32)
        suffix = " bfloat16" if dtype is HALF else ""
        for label, function, constants in (
            ("softmax CE integer labels", ops.softmax_cross_entropy, numbers),
            ("softmax CE dense labels", ops.softmax_cross_entropy, logits),
            (
                "softmax CE smoothed labels",
                partial(ops.softmax_cross_entropy, label_smoothing=0.1),
                numbers,
            ),
            ("sigmoid CE", ops.sigmoid_binary_cross_entropy, logits),
            ("softmax focal", ops.softmax_focal_loss, numbers),
            ("sigmoid focal", ops.sigmoid_focal_loss, logits),
            ("squared error", ops.squared_error, logits),
            ("Huber", ops.huber_loss, logits),
        ):
            yield label + suffix, Case(function, (logits,), (constants,))


def cases() -> dict[str, Case]:
    """Every operation by its name."""
    makers = _poolings, _convolutions, _dense, _norms, _pointwise, _losses
    return {label: case for maker in makers for label, case in maker()}
