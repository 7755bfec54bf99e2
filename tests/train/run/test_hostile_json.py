"""JSON made to do harm, wherever a run reads any: one sentence, soon, nothing lost."""

import json
import os

import pytest

from cnnjax.train.run.manager import DESCRIPTION
from tests.support.train.faults import LONGER, contents, error, evaluate, train

HOSTILE = {
    "brackets": "[" * 200_000,
    "closed brackets": "[" * 200_000 + "]" * 200_000,
    "objects": '{"a":' * 200_000,
    "digits": f'{{"seed": {"9" * 5000}}}',
}
REASONS = ("nested more than 100 levels deep", "a number of 5,000 digits")


def is_explained(err):
    return any(reason in err for reason in REASONS) and len(err) < 500


@pytest.mark.parametrize("name", ["config.json", "data.json", "normalization.json"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_the_files_of_a_run(run, capfd, name, kind):
    (run / name).write_text(HOSTILE[kind])
    before = contents(run)
    assert evaluate(run) == 2
    err = error(capfd)
    assert name in err
    assert is_explained(err)
    assert train(run, *LONGER) == 2
    assert is_explained(error(capfd))
    assert contents(run) == before


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_line_of_metrics(run, capfd, kind):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(HOSTILE[kind] + "\n")
    before = contents(run)
    assert train(run, *LONGER) == 2
    err = error(capfd)
    assert "metrics.jsonl, line " in err
    assert len(err) < 500
    assert contents(run) == before


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_description_of_a_checkpoint(run, capfd, kind):
    path = run / "checkpoints" / "20" / DESCRIPTION
    path.write_text(HOSTILE[kind])
    before = contents(run)
    assert evaluate(run) == 1
    err = error(capfd)
    assert f"20/{DESCRIPTION} is damaged" in err
    assert is_explained(err)
    assert train(run, *LONGER) == 1
    assert is_explained(error(capfd))
    assert contents(run) == before
    path.unlink()  # as the message advises
    assert evaluate(run) == 0


@pytest.mark.parametrize("content", [[1], 5, {"metrics": 3}, {"item_handlers": 3}])
def test_the_description_of_a_checkpoint_in_another_form(run, capfd, content):
    (run / "checkpoints" / "20" / DESCRIPTION).write_text(json.dumps(content))
    assert evaluate(run) == 1
    assert f"{DESCRIPTION} is damaged" in error(capfd)


@pytest.mark.parametrize("kind", ["brackets", "digits"])
@pytest.mark.parametrize("name", ["notes/metadata", "state/_METADATA"])
def test_a_checkpoint_whose_json_cannot_be_read_is_damaged(run, capfd, name, kind):
    (run / "checkpoints" / "20" / name).write_text(HOSTILE[kind])
    assert evaluate(run) == 0
    err = capfd.readouterr().err
    assert "checkpoint of step 20 is damaged" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name", [DESCRIPTION, "notes/metadata", "state/_METADATA", "state/manifest.ocdbt"]
)
def test_a_named_pipe_in_a_checkpoint_is_not_waited_for(run, capfd, name):
    path = run / "checkpoints" / "20" / name
    path.unlink()
    os.mkfifo(path)
    assert evaluate(run) == 1
    assert f"20/{name} is a named pipe, expected a regular file" in error(capfd)
