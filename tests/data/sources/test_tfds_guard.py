"""Folders of TensorFlow Datasets made to do harm: no code of theirs is imported."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.registered import skip_registration

from cnnjax.data import load_dataset
from cnnjax.data.sources.tfds import load_tfds, stream_tfds
from cnnjax.errors import DataError

NAME = "cnnjax_guarded"
OWN = "tensorflow_datasets.core.features"
EVIL = "evil_module.Feature"
ANOTHER = "evil_package.inner.Feature"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared data set whose builder is nowhere to be found afterwards."""
    folder = tmp_path_factory.mktemp("prepared")
    with skip_registration():

        class CnnjaxGuarded(tfds.core.GeneratorBasedBuilder):
            pkg_dir_path = tfds.core.Path("/nowhere")
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "image": tfds.features.Tensor(shape=(4, 3, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for i in range(12):
                    yield i, {"image": np.full((4, 3, 1), i, np.uint8), "label": i % 2}

    CnnjaxGuarded(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.fixture
def data_dir(prepared, tmp_path, monkeypatch):
    """A copy to spoil, beside modules that leave a mark when they are imported."""
    modules = tmp_path / "modules"
    (modules / "evil_package").mkdir(parents=True)
    mark = f"import os; os.mkdir({str(tmp_path / 'imported')!r})\n"
    for name in ("evil_module.py", "evil_package/__init__.py", "evil_package/inner.py"):
        (modules / name).write_text(mark)
    monkeypatch.syspath_prepend(str(modules))
    yield shutil.copytree(prepared, tmp_path / "data")
    assert not (tmp_path / "imported").exists()
    assert not {"evil_module", "evil_package"} & sys.modules.keys()


def features_path(data_dir):
    return data_dir / NAME / "1.0.0" / "features.json"


def class_label(tree):
    return tree["featuresDict"]["features"]["label"]


def name_in_a_leaf(tree):
    class_label(tree)["pythonClassName"] = EVIL
    return tree


def name_at_the_top(tree):
    return tree | {"pythonClassName": ANOTHER}


def name_in_snake_case(tree):
    label = class_label(tree)
    del label["pythonClassName"]
    label["python_class_name"] = EVIL
    return tree


def name_within_a_sequence(tree):
    inner = class_label(tree) | {"pythonClassName": EVIL}
    tree["featuresDict"]["features"]["label"] = {
        "pythonClassName": f"{OWN}.sequence_feature.Sequence",
        "sequence": {"feature": inner, "length": "-1"},
    }
    return tree


def name_within_a_text_of_json(tree):
    inner = {"label": {"type": EVIL, "content": {}}}
    tree["featuresDict"]["features"]["label"] = {
        "pythonClassName": f"{OWN}.features_dict.FeaturesDict",
        "jsonFeature": {"json": json.dumps(inner)},
    }
    return tree


def name_in_the_old_notation(tree):
    label = {"type": EVIL, "content": {"num_classes": 2}}
    return {"type": f"{OWN}.features_dict.FeaturesDict", "content": {"label": label}}


def name_that_only_begins_as_an_own_one(tree):
    class_label(tree)["pythonClassName"] = f"{OWN}.evil_module.Feature"
    return tree


def name_of_what_is_no_feature(tree):
    class_label(tree)["pythonClassName"] = f"{OWN}.feature.importlib"
    return tree


@pytest.mark.parametrize("load", [load_tfds, stream_tfds])
@pytest.mark.parametrize(
    "spoil",
    [
        name_in_a_leaf,
        name_at_the_top,
        name_in_snake_case,
        name_within_a_sequence,
        name_within_a_text_of_json,
        name_in_the_old_notation,
        name_that_only_begins_as_an_own_one,
        name_of_what_is_no_feature,
    ],
)
def test_a_class_that_is_not_tfds_s_own_is_refused_and_never_imported(
    data_dir, spoil, load
):
    path = features_path(data_dir)
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(DataError, match="expected one of TFDS's own: code that a data"):
        load(f"{NAME}@{data_dir}")


def test_a_class_that_the_description_names_is_refused(data_dir):
    path = data_dir / NAME / "1.0.0" / "dataset_info.json"
    features = name_in_a_leaf(json.loads(features_path(data_dir).read_text()))
    path.write_text(json.dumps({**json.loads(path.read_text()), "features": features}))
    with pytest.raises(DataError, match=r"class 'evil_module\.Feature', expected"):
        load_tfds(f"{NAME}@{data_dir}")


def test_a_folder_under_the_name_of_a_set_of_tfds_imports_nothing(data_dir):
    """With a version, TFDS reads the folder instead of its own code."""
    (data_dir / NAME).rename(data_dir / "mnist")
    path = data_dir / "mnist" / "1.0.0" / "features.json"
    path.write_text(json.dumps(name_in_a_leaf(json.loads(path.read_text()))))
    with pytest.raises(DataError, match="expected one of TFDS's own"):
        load_tfds(f"mnist:1.0.0@{data_dir}")


@pytest.mark.parametrize(
    "name",
    [
        "huggingface:mnist",
        "kaggle:mnist/config:1.0.0",
        "mnist/data_dir=x",
        "mnist/a/b=c",
        "../mnist",
        "mnist:1.0",
        "mni\x1bst",
    ],
)
def test_names_that_lead_to_other_code_are_refused(name, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: pytest.fail("asked"))
    with pytest.raises(DataError, match=r"tfds name is .*, expected a name with"):
        load_tfds(name)


@pytest.mark.parametrize("name", [NAME, "CnnjaxGuarded", f"{NAME}:1.0.0"])
def test_without_harm_the_same_folder_is_read(data_dir, name, monkeypatch):
    class Connector(tfds.features.Scalar):
        """A class of features of the user's program, which stays as it was."""

    before = tfds.features.FeatureConnector.cls_from_name
    monkeypatch.setenv("HOME", str(data_dir.parent))
    raw = load_tfds(f"{name}@~/{data_dir.name}")
    images = np.asarray(raw.train.images)
    assert sorted(images[:, 3, 2, 0]) == list(range(12))
    assert tfds.features.FeatureConnector.cls_from_name == before
    own = f"{Connector.__module__}.{Connector.__name__}"
    assert tfds.features.FeatureConnector.cls_from_name(own) is Connector


@pytest.mark.parametrize(
    "file", ["features.json", "dataset_info.json", "label.labels.txt", "new", "record"]
)
def test_a_named_pipe_in_the_folder_is_not_waited_for(data_dir, file):
    folder = data_dir / NAME / "1.0.0"
    if file == "record":
        (record,) = folder.glob("*array_record*")
        file = record.name
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    with pytest.raises(DataError, match=f"{file} is a named pipe, expected a regular"):
        load_tfds(f"{NAME}@{data_dir}")


def test_a_named_pipe_behind_links_is_not_waited_for(data_dir):
    folder = data_dir / NAME / "1.0.0"
    folder.rename(data_dir / "elsewhere")
    folder.symlink_to(data_dir / "elsewhere")
    (folder / "features.json").rename(data_dir / "features.json")
    (folder / "features.json").symlink_to(data_dir / "features.json")
    (folder / "circle").symlink_to(folder)
    assert len(load_tfds(f"{NAME}@{data_dir}").train.labels) == 12
    (folder / "features.json").unlink()
    os.mkfifo(folder / "features.json")
    with pytest.raises(DataError, match=r"features\.json is a named pipe, expected"):
        load_tfds(f"{NAME}@{data_dir}")


@pytest.mark.parametrize("file", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("text", ["[" * 200_000, f'{{"a": {"9" * 5000}}}', "{"])
def test_json_made_to_do_harm_is_named(data_dir, file, text):
    (data_dir / NAME / "1.0.0" / file).write_text(text)
    with pytest.raises(
        DataError, match=f"{file} cannot be read .*download the data set"
    ):
        load_tfds(f"{NAME}@{data_dir}")


@pytest.mark.parametrize("name", ["a\x1b[31m", "caf\udce9"])
def test_a_folder_that_libraries_would_show_raw_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="expected a UTF-8 path without control"):
        load_dataset(
            f"tfds:mnist@{tmp_path / name}",
            validation_fraction=0.2,
            test_fraction=0.2,
            seed=0,
        )
