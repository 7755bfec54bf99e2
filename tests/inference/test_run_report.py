"""Reports of runs on disk: with data, without, of several, and of what is no run."""

import os
import shutil
import signal

import numpy as np
import pytest

import cnnjax
from cnnjax.cli import main
from cnnjax.data import RawDataset
from cnnjax.errors import Interrupted
from cnnjax.inference import run_report
from cnnjax.inference.run_facts import read_facts
from cnnjax.report.metrics_file import read_metrics
from cnnjax.train.run.workdir import Origin
from tests.support.inference.runs import NAMES, SETTINGS, make_split
from tests.support.report.html import Page


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run on an archive."""
    folder = tmp_path_factory.mktemp("project")
    images, labels = make_split()
    names = np.array(NAMES)
    np.savez(folder / "set.npz", images=images, labels=labels, class_names=names)
    settings = SETTINGS | {"duration": "4 steps", "eval_every": "2 steps"}
    data = f"npz:{folder / 'set.npz'}"
    cnnjax.train(settings, data=data, workdir=folder / "one", progress="none")
    return folder


def read(path):
    return Page(path.read_text("utf-8"))


@pytest.mark.slow
def test_the_facts_are_those_of_the_run(trained):
    facts = read_facts(Origin(trained / "one"), "one")
    assert facts.class_names == NAMES and facts.num_classes == 3
    assert facts.step == 4 and facts.problem == ""
    score = cnnjax.evaluate(trained / "one")
    assert facts.score["accuracy"] == score.accuracy
    outputs = facts.predicted.outputs
    assert (outputs.predictions == outputs.classes).mean() == pytest.approx(
        score.accuracy
    )
    np.testing.assert_array_equal(facts.predicted.split.labels, outputs.labels)
    assert facts.examples["test"] == len(outputs.labels)
    assert facts.parameters > 1000 and "cpu" in facts.machine["devices"]
    assert facts.machine["cnnjax"] == cnnjax.__version__
    assert facts.inside.kernels == ["Conv_0", "Dense_0", "Dense_1"]
    doubtful = facts.doubtful
    assert (doubtful.looked_at, doubtful.examples) == (63, 63)
    assert len(doubtful.predicted.split.images) == 20
    assert doubtful.predicted.files[0].startswith("example ")
    changed = {s.name for s in facts.settings if s.is_changed}
    assert {"duration", "model.widths", "data.source"} <= changed


def test_the_command_writes_one_file(trained, capsys):
    before = {path.name for path in (trained / "one").iterdir()}
    assert main(["report", str(trained / "one")]) == 0
    out = trained / "one" / "report.html"
    assert capsys.readouterr().out == f"{out}\n"
    assert {path.name for path in out.parent.iterdir()} - before == {"report.html"}
    page = read(out)
    assert "Confusion matrix" in page.text
    assert any(tag == "img" for tag, _ in page.elements)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run that wrote its report."""
    folder = tmp_path_factory.mktemp("reported") / "<b>one"
    changes = {"duration": "4 steps", "report": ("jsonl", "layers", "html")}
    data = RawDataset(make_split(), class_names=NAMES)
    settings = SETTINGS | changes | {"report_every": "2 steps"}
    cnnjax.train(settings, data=data, workdir=folder, progress="none")
    return folder


@pytest.mark.slow
def test_a_run_writes_its_report_at_the_end(reported):
    page = read(reported / "report.html")
    for text in (
        "<b>one",
        "Confusion matrix",
        "The 20 examples with the largest loss, of the 63 training examples.",
        "Filters of the first layer, Conv_0",
        "8 filters of 3 x 3 with 3 input channels.",
        "Feature maps of Conv_0",
        "norm of the gradient of each layer",
    ):
        assert text in page.text
    assert "are not shown" not in page.text


def test_the_norms_of_layers_are_recorded_at_their_steps(reported):
    records = read_metrics(reported / "layers.jsonl")
    assert [record["step"] for record in records] == [2, 4]
    norms = {name for name in records[0] if name.startswith("gradient_norm/")}
    assert norms == {
        f"gradient_norm/{name}" for name in ("Conv_0", "Dense_0", "Dense_1")
    }
    assert all(record[name] > 0 for record in records for name in norms)


def test_a_report_that_fails_does_not_fail_the_run(tmp_path, capsys, monkeypatch):
    def fail(_):
        raise RuntimeError("no room\x1b[31m for a report")

    monkeypatch.setattr(run_report, "facts_at_end", fail)
    settings = SETTINGS | {"duration": "1 step", "report": ("terminal", "html")}
    run = cnnjax.train(
        settings, data=make_split(), workdir=tmp_path / "a", progress="lines"
    )
    assert run.test.examples > 0
    assert not (tmp_path / "a" / "report.html").exists()
    out, err = capsys.readouterr()
    assert "report.html: no room" in out + err and "\x1b[31m" not in out + err


def test_a_run_in_a_temporary_folder_writes_no_report():
    settings = SETTINGS | {"duration": "1 step", "report": ("jsonl", "html")}
    run = cnnjax.train(settings, data=make_split(), progress="none")
    assert not (run.workdir / "report.html").exists()


class SignalAt2(cnnjax.Callback):
    """Interrupts the run at step 2."""

    def on_step(self, record):
        if record["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_writes_its_report_only_when_it_has_finished(tmp_path):
    settings = SETTINGS | {"duration": "4 steps", "report": ("jsonl", "html")}
    images, labels = make_split()
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    data, folder = f"npz:{tmp_path / 'set.npz'}", tmp_path / "run"
    with pytest.raises(Interrupted):
        cnnjax.train(
            settings,
            data=data,
            workdir=folder,
            callbacks=[SignalAt2()],
            progress="none",
        )
    assert not (folder / "report.html").exists()
    cnnjax.train(settings, data=data, workdir=folder, progress="none")
    assert "Confusion matrix" in read(folder / "report.html").text


def test_runs_are_compared_on_the_same_examples(trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "one", trained / "two", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    out = cnnjax.write_report([trained / "one", trained / "two"])
    page = read(tmp_path / out)
    assert "+0.00 points +0.00 to +0.00 0 / 0 1.000" in page.text
    assert "the difference may be chance" in page.text
    assert "All settings are the same." in page.text
    newest = trained / "one" / "checkpoints" / "4"
    out = cnnjax.write_report([trained / "one", newest], tmp_path / "steps.html")
    assert "one step 4" in read(out).text


def test_without_data_the_report_says_why(trained, tmp_path):
    shutil.copytree(trained / "one", tmp_path / "one")
    config = tmp_path / "one" / "config.json"
    config.write_text(config.read_text().replace("set.npz", "gone.npz"))
    facts = read_facts(Origin(tmp_path / "one"), "one")
    assert facts.predicted is None and "gone.npz" in facts.problem
    assert facts.parameters > 1000 and facts.machine["devices"]
    page = read(cnnjax.write_report(tmp_path / "one"))
    assert "are not shown: " in page.text and "gone.npz" in page.text
    assert "test accuracy" in page.text


def test_a_run_on_arrays_has_a_report_without_predictions(run):
    facts = read_facts(Origin(run.workdir), "a")
    assert facts.predicted is None and facts.problem
    assert facts.score["accuracy"] == run.test.accuracy


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{one}", "--out=a.txt"], "--out is 'a.txt', expected a name that ends with"),
        (["{one}", "--out=/none/a.html"], "its folder does not exist"),
        (["/none"], "RUN is '/none', but there is no /none/config.json"),
        (["{one}", "{one}"], "a run is named twice"),
        (["{one}"] * 21, "there are 21 runs to report, expected 1 to 20"),
    ],
)
def test_what_cannot_be_reported_is_refused(trained, capsys, words, message):
    words = [word.format(one=trained / "one") for word in words]
    assert main(["report", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
