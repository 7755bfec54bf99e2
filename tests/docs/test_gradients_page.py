"""docs/gradients.md against the code: its numbers, examples, names and conventions.

The page is read, not repeated: its blocks and tables hold the numbers.
"""

import ast
import math
import re
from fractions import Fraction
from pathlib import Path

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests.support.ops.closeness import values_and_gradients

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gradients.md").read_text()
EXACTLY = {"rtol": 1e-12, "atol": 1e-12}
PRINTED = {"rtol": 0, "atol": 1e-4}  # four decimals, computed from four decimals
NAN = float("nan")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def read_arrays():
    """Each ``name =`` with rows of numbers below it, or numbers beside it."""
    found = {}
    for text in blocks("text"):
        pattern = r"^(\S+) =((?:\n +[-\d ]+)+|[-\d. ]+)$"
        for name, rows in re.findall(pattern, text, re.M):
            assert name not in found, f"two values of {name}"
            lines = [line.split() for line in rows.strip().splitlines()]
            found[name] = np.array(lines if "\n" in rows else lines[0], float)
    return found


ARRAYS = read_arrays()
SUMS = re.findall(r"^(\S+)_\((\d),(\d)\) = ([-+*() \d]+) = (-?\d+)$", PAGE, re.M)


def correlate(x, w):
    """``y_o = sum_k x_(o+k) w_k`` as loops over both."""
    y = np.zeros([n - k + 1 for n, k in zip(x.shape, w.shape, strict=True)])
    for o in np.ndindex(*y.shape):
        for k in np.ndindex(*w.shape):
            y[o] += x[tuple(np.add(o, k))] * w[k]
    return y


def test_worked_convolution(x64):
    x, w, b, dy = (ARRAYS[name] for name in ("x", "w", "b", "dL/dy"))
    turned, padded = ARRAYS["rot180(w)"], ARRAYS["padded(dL/dy)"]
    np.testing.assert_array_equal(turned, w[::-1, ::-1])
    np.testing.assert_array_equal(padded, np.pad(dy, 2))

    def layer(x, w, b):
        image = x[None, :, :, None]
        return ops.conv(image, w[:, :, None, None], b, padding="VALID")[0, :, :, 0]

    [by_ops] = values_and_gradients([layer], dy, x, w, b)
    dx = correlate(padded, turned)
    by_loops = correlate(x, w) + b, dx, correlate(x, dy), [dy.sum()]
    names = "y", "dL/dx", "dL/dw", "dL/db"
    for name, a, b in zip(names, by_ops, by_loops, strict=True):
        np.testing.assert_array_equal(ARRAYS[name], a, name)
        np.testing.assert_array_equal(ARRAYS[name], b, name)
    assert {name for name, *_ in SUMS} == {"y", "dL/dw", "dL/dx"}
    wrong = int(re.search(r"not been rotated, there would be a (\d+)", PAGE)[1])
    assert correlate(padded, w)[1, 2] == wrong != dx[1, 2]


@pytest.mark.parametrize(("name", "row", "column", "terms", "total"), SUMS)
def test_sums_that_are_written_out(name, row, column, terms, total):
    r, c = int(row), int(column)
    assert eval(terms) == int(total) == ARRAYS[name][r, c]
    x, w, dy = (ARRAYS[name] for name in ("x", "w", "dL/dy"))
    factors = {
        "y": (x[r : r + 3, c : c + 3], w),
        "dL/dw": (dy, x[r : r + 2, c : c + 2]),
        "dL/dx": (dy, w[r::-1, c::-1][:2, :2]),
    }[name]
    written = re.findall(r"(-?\d+)\)?\*\(?(-?\d+)", terms)
    np.testing.assert_array_equal(np.ravel(factors), np.array(written, int).T.ravel())


def test_worked_relu_and_max_pool(x64):
    z, r, dq = (ARRAYS[name] for name in ("z", "r", "dL/dq"))
    np.testing.assert_array_equal(r, np.where(z > 0, z, 0))

    q, dr = np.zeros(dq.shape), np.zeros(r.shape)
    for o in np.ndindex(*q.shape):
        places = [(2 * o[0] + i, 2 * o[1] + j) for i in (0, 1) for j in (0, 1)]
        winner = max(places, key=lambda place: r[place])  # the first of equals
        q[o] = r[winner]
        dr[winner] += dq[o]

    def pool(r):
        return ops.max_pool(r[None, :, :, None], 2, strides=2)[0, :, :, 0]

    [by_ops] = values_and_gradients([pool], dq, r)
    for name, a, b in zip(("q", "dL/dr"), by_ops, (q, dr), strict=True):
        np.testing.assert_array_equal(ARRAYS[name], a, name)
        np.testing.assert_array_equal(ARRAYS[name], b, name)

    dz = ARRAYS["dL/dz"]
    np.testing.assert_array_equal(dz, np.where(z > 0, dr, 0))
    [by_ops] = values_and_gradients([ops.relu], dr, z)
    np.testing.assert_array_equal(by_ops, (r, dz))


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (ops.softmax_cross_entropy, "logits targets probabilities loss dL/dlogits"),
        (ops.sigmoid_binary_cross_entropy, "logit target probability bce dL/dlogit"),
    ],
)
def test_worked_cross_entropy(loss, names, x64):
    z, t, *printed = (ARRAYS[name] for name in names.split())
    weights = [math.exp(logit) for logit in z]
    p = np.array(weights) / (sum(weights) if len(z) > 1 else 1 + weights[0])
    [(value, dz)] = values_and_gradients([lambda z: loss(z, t).sum()], 1.0, z)
    by_loops = p, [-math.log(p[t.argmax()])], p - t
    computed = *by_loops, [value], dz
    for numbers, again in zip(printed + printed[1:], computed, strict=True):
        np.testing.assert_allclose(numbers, again, **PRINTED)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("turned", [True, False])
def test_transposed_convolution_adds_kernels(stride, turned, x64):
    rng, taps, d, p = np.random.default_rng(0), 3, 2, 1
    size = 3 * stride + (taps - 1) * d + 1 - 2 * p
    x, w, dy = (rng.standard_normal(n) for n in (4, taps, size))

    def layer(x, w):
        options = {"strides": stride, "dilation": d, "transpose_kernel": turned}
        options["padding"] = (taps - 1) * d - p
        x, w = x.reshape(1, -1, 1), w.reshape(-1, 1, 1)
        return ops.conv_transpose(x, w, **options).reshape(-1)

    y, dx, dw = map(np.zeros, (size, 4, taps))
    for o, k in np.ndindex(4, taps):
        i, tap = stride * o + d * k - p, k if turned else taps - 1 - k
        if 0 <= i < size:
            y[i] += x[o] * w[tap]
            dx[o] += dy[i] * w[tap]
            dw[tap] += dy[i] * x[o]
    [by_ops] = values_and_gradients([layer], dy, x, w)
    for a, b in zip(by_ops, (y, dx, dw), strict=True):
        np.testing.assert_allclose(a, b, **EXACTLY)


def test_global_average_spreads_evenly(x64):
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    [(y, dx)] = values_and_gradients([ops.global_avg_pool], x[:, 0, 0], x)
    np.testing.assert_allclose(y, x.mean((1, 2)), **EXACTLY)
    np.testing.assert_allclose(dx, 0 * x + x[:, :1, :1] / 15, **EXACTLY)


X = np.linspace(-6, 6, 25)
SIGMOID = 1 / (1 + np.exp(-X))
HARD = np.clip(X / 6 + 0.5, 0, 1)
NORMAL = np.array([math.erfc(-x / math.sqrt(2)) / 2 for x in X])
DENSITY = np.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)
T = np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3))
DU = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * X**2)


@pytest.mark.parametrize(
    ("function", "y", "slope"),
    [
        (ops.silu, X * SIGMOID, SIGMOID * (1 + X * (1 - SIGMOID))),
        (ops.hard_sigmoid, HARD, np.where(abs(X) < 3, 1 / 6, 0)),
        (ops.hard_swish, X * HARD, HARD + np.where(abs(X) < 3, X / 6, 0)),
        (ops.gelu, X * (1 + T) / 2, (1 + T) / 2 + X * (1 - T**2) * DU / 2),
        (lambda x: ops.gelu(x, False), X * NORMAL, NORMAL + X * DENSITY),
    ],
    ids=["silu", "hard sigmoid", "hard swish", "gelu", "exact gelu"],
)
def test_slopes_of_smooth_and_hard_activations(function, y, slope, x64):
    [found] = values_and_gradients([function], np.ones_like(X), X)
    np.testing.assert_allclose(found, (y, slope), **EXACTLY)


@pytest.mark.parametrize(
    ("name", "options", "parts", "axes"),
    [
        ("batch_norm", {}, 1, (0, 1, 2)),
        ("layer_norm", {}, 1, (3, 4)),
        ("group_norm", {"groups": 2}, 2, (1, 2, 4)),
    ],
)
def test_normalizations_have_the_closed_form(name, options, parts, axes, x64):
    rng = np.random.default_rng(0)
    x, dy, s, b = (rng.standard_normal(n) for n in [(2, 3, 5, 6)] * 2 + [6] * 2)

    def layer(*args):
        return jax.tree.leaves(getattr(ops, name)(*args, epsilon=0.1, **options))[0]

    def mean(a):
        split = a.reshape(2, 3, 5, parts, -1)
        return (split.mean(axes, keepdims=True) + 0 * split).reshape(a.shape)

    centered, sdy = x - mean(x), s * dy
    r = (mean(centered**2) + 0.1) ** -0.5
    xhat = r * centered
    y, dx = s * xhat + b, r * (sdy - mean(sdy) - xhat * mean(xhat * sdy))
    ds, db = (xhat * dy).sum((0, 1, 2)), dy.sum((0, 1, 2))
    [by_ops] = values_and_gradients([layer], dy, x, s, b)
    for found, formula in zip(by_ops, (y, dx, ds, db), strict=True):
        np.testing.assert_allclose(found, formula, **EXACTLY)


NUMBERS = r"(?:NaN|\d+)(?: (?:NaN|\d+))*"


def read_numbers(text):
    return [NAN if n == "NaN" else float(Fraction(n)) for n in text.split()]


def read_tables():
    """Each row with code of ours or of JAX: its heading, code, inputs and numbers."""
    chapter = PAGE.split("## Conventions\n")[1].split("\n## ")[0]
    for section in chapter.split("\n### ")[1:]:
        heading, *parts = section.split("\n\n")
        given = {}
        for part in parts:
            text = " ".join(part.split())
            given |= dict(re.findall(rf"\b(dL/dy|x|w) = ({NUMBERS})", text))
            for code, cells in re.findall(r"^\| `(.*?)` \| (.*) \|$", part, re.M):
                if code.startswith(("ops.", "jax.", "jnp.", "flax.")):
                    cells = [c for c in cells.split(" | ") if "," not in c]
                    numbers = read_numbers(" ".join(cells))
                    yield pytest.param(heading, code, dict(given), numbers, id=code)


@pytest.mark.parametrize(("heading", "code", "given", "numbers"), list(read_tables()))
def test_conventions(heading, code, given, numbers, x64):
    given = {name: np.array(read_numbers(text)) for name, text in given.items()}
    x = given["x"].reshape((1, 2, 2, 1) if "Ties" in heading else (1, -1, 1))
    names = {"ops": ops, "jax": jax, "jnp": jnp, "flax": flax}
    names["w"] = given.get("w", x).reshape(-1, 1, 1)
    code = code.replace("...", "dimension_numbers=('NWC', 'WIO', 'NWC')")

    def run(x):
        return eval(code, names | {"x": x})

    dy = given.get("dL/dy", np.ones(1)).reshape(1, -1, 1)
    dy = np.broadcast_to(dy, run(x).shape)
    [(y, dx)] = values_and_gradients([run], dy, x)
    found = {"ReLU at zero": dx, "Ties in max-pool": dx}
    found["NaN in max-pool"] = np.append(y, dx)
    found = np.ravel(found.get(heading, y))
    np.testing.assert_allclose(found, numbers, **PRINTED)


@pytest.mark.parametrize("example", blocks("python"))
def test_example_runs(example):
    exec(compile(example, "docs/gradients.md", "exec"), {})


def defined_in(path):
    """The functions and classes at the top of a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if hasattr(node, "name")}


CODE = set(re.findall(r"`(ops/[\w/]+\.py)(?:: (\w+))?`", PAGE))
TESTS = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE))


def test_code_and_tests_that_are_named_exist():
    for path, name in {(f"cnnjax/{path}", name) for path, name in CODE} | TESTS:
        assert (ROOT / path).is_file(), f"there is no {path}"
        assert name in defined_in(path) or not name, f"{path} has no {name}"
    assert PAGE.count(".py: ") == len(re.findall(r"`ops/[\w/]+\.py: \w+`", PAGE))
    assert PAGE.count(".py::") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE))


def test_every_operation_and_every_handwritten_gradient_is_named():
    named = {name for _, name in CODE}
    assert set(ops.__all__) <= named
    for path in (ROOT / "cnnjax/ops").rglob("*.py"):
        for name in re.findall(r"^(\w+)\.defvjp\(", path.read_text(), re.M):
            file = path.relative_to(ROOT / "cnnjax").as_posix()
            assert (file, name) in CODE, f"the page lacks {file}: {name}"


def test_links_lead_to_headings():
    headings = re.findall(r"^#+ (.*)$", PAGE, re.M)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors
