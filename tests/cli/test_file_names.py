"""The names of image files beside what a model says about them."""

import csv
import os
import shutil
import tarfile

import pytest
from pyarrow import parquet

from cnnjax import load
from cnnjax.cli import main
from tests.support.data.pictures import write_folder
from tests.support.train.faults import SHORT, train

WORDS = ["--config.data.image_size=(12, 16)", "--config.batch_size=16"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pictures") / "set", count=30)


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures):
    """A run on pictures, of which some cannot be read."""
    (pictures / "cat" / "11.png").write_bytes(b"none")
    folder = tmp_path_factory.mktemp("runs") / "run"
    more = ["--config.data.bad_files=skip", f"--config.data.source=folder:{pictures}"]
    assert train(folder, *SHORT, *WORDS, *more) == 0
    return folder


def rows(run, path, *words):
    where = [f"--workdir={run}", f"--predictions={path}"]
    assert main(["evaluate", *where, *map(str, words)]) == 0
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    with open(path, encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def assert_right(run, found):
    """Each row says what the model says about the file that it names."""
    files = [row["file"] for row in found]
    assert len({*files}) == len(files) > 5
    for row, own in zip(found, load(run).predict(files), strict=True):
        assert row["label"] == os.path.basename(os.path.dirname(row["file"]))
        assert float(row["probability"]) == pytest.approx(own.probability, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_held_out_files_are_named(tmp_path, run, suffix, split):
    found = rows(run, tmp_path / f"out{suffix}", f"--split={split}")
    assert [*found[0]][:3] == ["index", "file", "label"]
    assert_right(run, found)
    assert not any(row["file"].endswith("cat/11.png") for row in found)


@pytest.mark.slow
def test_files_of_other_data_are_named(tmp_path, run, pictures):
    (tmp_path / "new").mkdir()
    for name in ("train", "test"):
        shutil.copytree(pictures, tmp_path / "new" / name)
        (tmp_path / "new" / name / "cat" / "11.png").unlink()
    source = f"--data=folder:{tmp_path / 'new'}"
    found = rows(run, tmp_path / "test.csv", source)
    assert_right(run, found)
    assert all("/new/test/" in row["file"] for row in found)
    whole = rows(
        run, tmp_path / "all.csv", f"--data=folder:{tmp_path / 'new' / 'test'}"
    )
    assert [row["file"] for row in whole] == [row["file"] for row in found]


def test_members_of_archives_are_named(tmp_path, run, pictures):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("cat/03", "dog/05"):
            label = tmp_path / "label"
            label.write_text(name.partition("/")[0])
            tar.add(pictures / f"{name}.png", f"{name}.png")
            tar.add(label, f"{name}.cls")
    found = rows(run, tmp_path / "out.csv", f"--data=tar:{tmp_path / 'a.tar'}")
    names = [f"{tmp_path}/a.tar/cat/03.png", f"{tmp_path}/a.tar/dog/05.png"]
    assert [row["file"] for row in found] == names


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_name_that_is_not_utf8_can_be_written(tmp_path, run, pictures, suffix):
    folder = tmp_path / "odd"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        odd = os.fsencode(folder / name) + b"/a,\xff\n.png"
        shutil.copy(os.fsencode(pictures / name / "02.png"), odd)
    found = rows(run, tmp_path / f"out{suffix}", f"--data=folder:{folder}")
    assert [row["file"] for row in found] == [
        f"{folder}/{name}/a,\\xff\n.png" for name in ("cat", "dog")
    ]
