"""``cnnjax predict`` and ``cnnjax evaluate --data``, called as ``main``."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from cnnjax.cli import main
from tests.support.inference.runs import NAMES, make_split, train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("run") / "a")


@pytest.fixture
def folder(tmp_path):
    """A folder with six images, a hidden one, and a file that is none."""
    images = make_split(6, seed=1).images
    folder = tmp_path / "new"
    (folder / "more").mkdir(parents=True)
    for number, image in enumerate(images):
        place = folder / "more" if number == 5 else folder
        Image.fromarray(image).save(place / f"{number}.png")
    Image.fromarray(images[0]).save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("notes")
    return folder


@pytest.fixture
def predict(run, capsys):
    """The exit status of the command, and what it wrote to its two streams."""

    def predict(*words):
        status = main(["predict", f"--workdir={run.workdir}", *map(str, words)])
        return status, *capsys.readouterr()

    return predict


@pytest.mark.slow
def test_a_table_has_a_line_for_each_image_of_a_folder(run, folder, predict):
    status, table, notes = predict(folder)
    lines = [line.split() for line in table.splitlines()]
    assert status == 0
    names = [*(f"{i}.png" for i in range(5)), "more/5.png"]
    assert [line[0] for line in lines] == [str(folder / name) for name in names]
    expected = run.predict([folder / name for name in names])
    for line, prediction in zip(lines, expected, strict=True):
        pairs = [(name, f"{share:.1%}") for name, share in prediction.top]
        assert line[1:] == [cell for pair in pairs for cell in pair]
    assert "1 file that is not an image" in notes


def test_json_jsonl_and_csv_hold_the_same(folder, predict):
    whole = json.loads(predict(folder, "--format=json", "--top=2")[1])
    lines = predict(folder, "--format=jsonl", "--top=2")[1].splitlines()
    assert [json.loads(line) for line in lines] == whole
    table = predict(folder, "--format=csv", "--top=2")[1]
    rows = [*csv.DictReader(io.StringIO(table))]
    for row, record in zip(rows, whole, strict=True):
        assert row["input"] == record["input"]
        assert [row["class_1"], row["class_2"]] == [t["class"] for t in record["top"]]
        assert float(row["prob_1"]) == record["probability"]


def test_patterns_archives_and_standard_input(folder, predict, monkeypatch, tmp_path):
    whole = predict(folder / "0.png", folder / "1.png", "--format=csv")[1]
    assert predict(f"{folder}/[01].png", "--format=csv")[1] == whole
    listed = f"{folder}/0.png\n{folder}/1.png\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    assert predict("-", "--format=csv")[1] == whole
    path = tmp_path / "new.npz"
    np.savez(path, images=make_split(2, seed=1).images)
    rows = [line.split(",", 1) for line in predict(path, "--format=csv")[1].split()]
    expected = [line.split(",", 1)[1] for line in whole.split()[1:]]
    assert [name for name, _ in rows[1:]] == [f"{path}[0]", f"{path}[1]"]
    for (_, found), right in zip(rows[1:], expected, strict=True):
        assert found.split(",")[0] == right.split(",")[0]


def test_bad_files_are_named_and_skipped(folder, predict):
    (folder / "bad.png").write_text("no image")
    Image.new("RGB", (5, 5)).save(folder / "small.png")
    status, table, notes = predict(folder, folder / "missing.png")
    assert (status, len(table.splitlines())) == (1, 6)
    assert "bad.png cannot be read as an image" in notes
    assert "small.png has 5 x 5 pixels, but the model takes 9 x 7" in notes
    assert "missing.png cannot be read as an image: No such file" in notes
    assert "3 of 9 images were skipped" in notes


def test_the_output_is_written_to_a_file(folder, predict, tmp_path):
    path = tmp_path / "found.csv"
    assert predict(folder, "--format=csv", f"--output={path}")[:2] == (0, "")
    assert path.read_text() == predict(folder, "--format=csv")[1]


REFUSED = {
    "no match": (["{folder}/*.jpg"], "matches no file"),
    "empty folder": (["{folder}/empty"], "names no images"),
    "top": (["{folder}", "--top=0"], "--top is 0, expected"),
    "output": (["{folder}", "--output={folder}/x/y"], "its folder does not exist"),
    "step": (["{folder}", "--step=first"], "--step is 'first', expected best, last"),
    "archive": (["{folder}/a.npz"], "a.npz has no array 'images', only x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused(folder, predict, case):
    (folder / "empty").mkdir()
    np.savez(folder / "a.npz", x=np.zeros(3))
    words, message = REFUSED[case]
    status, printed, notes = predict(*(word.format(folder=folder) for word in words))
    assert (status, printed) == (2, "")
    assert message in notes


def test_other_data_are_scored(run, tmp_path, capsys):
    images, labels = make_split(30, seed=2)
    path = tmp_path / "new.npz"
    names = np.array(NAMES[::-1])
    np.savez(path, images=images, labels=2 - labels, class_names=names)
    assert main(["evaluate", f"--workdir={run.workdir}", f"--data=npz:{path}"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = run.evaluate((images, labels)).as_record()
    head = {"data": f"npz:{path}", "split": "all", "step": run.trained.step}
    assert found == head | expected
