"""The command ``cnnjax compare`` on the configs, and what it writes."""

import json
from pathlib import Path

import pytest

from cnnjax import cli
from cnnjax.compare.gradients import Row
from cnnjax.compare.model import compare_problem, make_problem
from cnnjax.compare.page import page
from cnnjax.config.files import load_config
from cnnjax.report import Reporters
from cnnjax.train.run.loop import train

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = ["--config.model.widths=(4, 8)", "--config.batch_size=16"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "mnist1d", "fashion_mnist"])
def test_the_gradients_of_each_config_are_right(name):
    config = load_config(CONFIGS / f"{name}.py", {"batch_size": "16"})
    rows = compare_problem(make_problem(config)).rows
    assert [row.failures for row in rows] == [()] * len(rows)
    names = [row.name for row in rows]
    assert names[0] == "input"
    assert "params.Conv_0.kernel" in names


@pytest.mark.slow
def test_mnist_by_lenet_is_right():
    """Its data is not on every machine, so random images stand in for it."""
    changes = {"data.source": "synthetic:28x28x1,10,200", "batch_size": "16"}
    problem = make_problem(load_config(CONFIGS / "mnist_tfds.py", changes))
    assert compare_problem(problem).ok


@pytest.mark.slow
def test_what_it_prints_and_writes(tmp_path, capsys):
    digits = CONFIGS / "digits.py"
    words = ["compare", f"--config={digits}", *SMALL, "--timing"]
    words += [f"--json={tmp_path / 'a.json'}", f"--html={tmp_path / 'a.html'}"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "gradients are right" in out
    assert "times as fast" in out
    tree = json.loads((tmp_path / "a.json").read_text())
    assert tree["ok"] is True
    assert tree["timing"]["ratio"] > 0
    assert {row["section"] for row in tree["rows"]} >= {"operations"}
    html = (tmp_path / "a.html").read_text()
    assert "params.Conv_0.kernel" in html
    assert "times as fast" in html


@pytest.mark.slow
def test_trained_parameters_are_taken_from_a_run(tmp_path):
    settings = {"model.widths": "(4, 8)", "duration": "3 steps", "batch_size": "16"}
    config = load_config(CONFIGS / "digits.py", settings)
    result = train(config, tmp_path / "run", Reporters())
    problem = make_problem(config, str(tmp_path / "run"))
    kernel = problem.params["Dense_0"]["kernel"]
    assert (kernel == result.state.params["Dense_0"]["kernel"]).all()
    start = make_problem(config).params["Dense_0"]["kernel"]
    assert (kernel != start).any()
    assert compare_problem(problem).ok


def test_a_missing_run_is_refused(tmp_path, capsys):
    words = ["compare", f"--config={CONFIGS / 'digits.py'}", f"--checkpoint={tmp_path}"]
    assert cli.main(words) == 2
    assert f"there is no {tmp_path / 'config.json'}" in capsys.readouterr().err


def test_the_page_escapes_names():
    row = Row("<script>", (2,), 0, 0, 0, 0, 0, None, 0, ("off & out",))
    html = page("t", [("<b>", [row])], None)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "off &amp; out" in html


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "own"),
    [({"precision": "bfloat16"}, 2**-7), ({"backend": "xla"}, 2**-23)],
)
def test_precision_and_backend_leave_the_float64_run_alone(changes, own):
    small = {"model.widths": "(4, 8)", "model.dense": "(16,)", "batch_size": "16"}
    config = load_config(CONFIGS / "digits.py", small | changes)
    rows = compare_problem(make_problem(config)).rows
    assert [row.failures for row in rows] == [()] * len(rows)
    assert max(row.float64 for row in rows) < 1e-12
    assert own / 100 < max(row.max_rel for row in rows) < 8 * own
