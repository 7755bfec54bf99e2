"""What a run on disk may import, and what is said about modules that are gone."""

import hashlib
import json

import pytest

from cnnjax.config import default_config
from cnnjax.config.files import to_json
from cnnjax.errors import ConfigError
from cnnjax.train.run.imports import (
    import_paths,
    import_recorded,
    warn_of_changes,
    write_imports,
)

CODE = """
import os
from os import system
from flax import linen as nn
open(os.path.join(os.path.dirname(__file__), "was_imported"), "w").close()
class Net(nn.Module):
    num_classes: int
def loss(logits, labels):
    return logits[:, 0]
"""


def make_run(tmp_path, folder, *, name="own_net", **settings):
    """A run that names a module in ``folder``, and what it records of it."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.py").write_text(CODE)
    run, config = tmp_path / "run", default_config()
    run.mkdir(exist_ok=True)
    for setting, path in settings.items():
        config[setting].name = path
    (run / "config.json").write_text(to_json(config))
    digest = hashlib.sha256(CODE.encode()).hexdigest()
    record = {"folder": str(folder), "sha256": digest}
    listed = dict.fromkeys(settings.values(), record)
    (run / "imports.json").write_text(json.dumps(listed))
    return run


def refusal(run):
    with pytest.raises(ConfigError) as caught:
        import_recorded(run)
    return str(caught.value)


def test_a_module_is_taken_from_the_recorded_folder(tmp_path, capfd):
    paths = {"model": "net_a:Net", "loss": "net_a:loss"}
    run = make_run(tmp_path, tmp_path / "code", name="net_a", **paths)
    import_recorded(run)
    assert (tmp_path / "code" / "was_imported").exists()
    assert capfd.readouterr().err == ""


def test_a_module_is_taken_from_the_current_folder(tmp_path, monkeypatch):
    run = make_run(tmp_path, tmp_path / "code", name="net_b", model="net_b:Net")
    (tmp_path / "code").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    import_recorded(run)


def test_a_missing_module_is_named_with_the_folders(tmp_path, monkeypatch):
    run = make_run(tmp_path, tmp_path / "code", name="net_c", model="net_c:Net")
    (tmp_path / "code" / "net_c.py").unlink()
    monkeypatch.chdir(tmp_path)
    assert refusal(run) == (
        "model.name is 'net_c:Net', but there is no module net_c in"
        f" {tmp_path / 'code'} or {tmp_path}; run the command where it is"
    )


def test_a_changed_module_causes_a_warning(tmp_path, capfd):
    run = make_run(tmp_path, tmp_path / "code", name="net_d", model="net_d:Net")
    with (tmp_path / "code" / "net_d.py").open("a") as file:
        file.write("# changed\n")
    import_recorded(run)
    assert "net_d.py has changed since the run recorded it" in capfd.readouterr().err


@pytest.mark.parametrize("linked", [False, True])
def test_no_code_is_taken_out_of_a_working_directory(tmp_path, linked):
    inside, name = tmp_path / "run" / "code", f"net_e{linked}"
    run = make_run(tmp_path, inside, name=name, model=f"{name}:Net")
    if linked:
        (tmp_path / "link").symlink_to(inside)
        text = (run / "imports.json").read_text()
        (run / "imports.json").write_text(
            text.replace(str(inside), str(tmp_path / "link"))
        )
    assert "from which no code is taken" in refusal(run)
    assert not (inside / "was_imported").exists()


def test_no_code_is_taken_out_of_a_working_directory_that_is_current(
    tmp_path, monkeypatch
):
    run = make_run(tmp_path, tmp_path / "code", name="net_f", model="net_f:Net")
    (tmp_path / "code" / "net_f.py").rename(run / "net_f.py")
    monkeypatch.chdir(run)
    assert "from which no code is taken" in refusal(run)
    assert not (run / "was_imported").exists()


@pytest.mark.parametrize(
    ("setting", "path", "message"),
    [
        ("loss", "own_g:system", "expected a function that is defined in"),
        ("loss", "own_g:os", "expected a function that is defined in"),
        ("model", "own_g:system", "expected a function that is defined in"),
        ("loss", "os:system", "a run on disk calls no function of a package"),
        ("model", "os:system", "a run on disk calls no function of a package"),
        ("model", "shutil:rmtree", "a run on disk calls no function of a package"),
        ("schedule", "optax:sgd", "a run on disk calls no function of a package"),
        ("model", "own_g:Nothing", "has no attribute 'Nothing'"),
    ],
)
def test_no_other_function_is_called(tmp_path, setting, path, message):
    run = make_run(tmp_path, tmp_path / "code", name="own_g", **{setting: path})
    assert message in refusal(run)


def test_the_standard_library_is_no_recorded_folder(tmp_path):
    run = make_run(tmp_path, tmp_path / "code", name="own_h", loss="this:loss")
    listed = {"this:loss": {"folder": json.__file__.rsplit("/", 2)[0], "sha256": ""}}
    (run / "imports.json").write_text(json.dumps(listed))
    assert "a run on disk calls no function of a package" in refusal(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no"),
        ("[]", "is damaged (expected modules by import path)"),
        ("{", "is damaged"),
        ("{}", "does not list"),
        ('{"own_i:Net": 1}', "does not list"),
        ('{"own_i:Net": {"folder": 1, "sha256": "a"}}', "does not list"),
    ],
)
def test_a_module_that_is_not_recorded_is_not_imported(tmp_path, text, message):
    run = make_run(tmp_path, tmp_path / "code", name="own_i", model="own_i:Net")
    (run / "imports.json").unlink()
    if text is not None:
        (run / "imports.json").write_text(text)
    assert message in refusal(run)
    assert not (tmp_path / "code" / "was_imported").exists()


def test_a_run_without_own_code_records_nothing(tmp_path):
    write_imports(tmp_path, default_config())
    warn_of_changes(tmp_path, default_config())
    assert not list(tmp_path.iterdir())


def test_a_network_alone_is_imported_under_the_same_rules(tmp_path):
    run = make_run(tmp_path, tmp_path / "code", name="own_j", loss="own_j:loss")
    with pytest.raises(ConfigError, match="does not list"):
        import_paths(run, [("model.name", "own_j:Net")])
    import_paths(run, [("loss.name", "own_j:loss"), ("model.name", "small_cnn")])
