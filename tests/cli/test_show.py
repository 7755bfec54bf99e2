"""``cnnjax show``, called as ``main``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax.cli import main
from tests.support.data.pictures import write_folder

DIGITS = str(Path(__file__).parents[2] / "configs" / "digits.py")


@pytest.fixture
def show(tmp_path, capsys):
    """The exit status of the command, and what it wrote to its two streams."""
    out = tmp_path / "sheet.png"

    def show(*words):
        status = main(["show", f"--config={DIGITS}", f"--out={out}", *words])
        return status, *capsys.readouterr()

    return show


def read(path):
    with Image.open(path) as sheet:
        return np.array(sheet)


def test_it_writes_a_sheet_and_says_what_the_images_are(show, tmp_path):
    status, stdout, stderr = show("--examples=3")
    assert (status, stderr) == (0, "")
    path, facts = stdout.splitlines()
    assert Path(path) == tmp_path / "sheet.png"
    start = "8x8x1 uint8, from 0 to 16 in these examples, normalized with mean 4.8"
    assert facts.startswith(start)
    assert read(path).shape[1:] == (1140, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]  # and nothing else


@pytest.mark.slow
def test_each_step_has_its_own_sheet(show, tmp_path):
    sheets = {}
    for step in ("1", "2", "787", "1"):
        assert show(f"--step={step}", "--config.data.augment=('mixup',)")[0] == 0
        sheet = read(tmp_path / "sheet.png")
        if step in sheets:
            np.testing.assert_array_equal(sheet, sheets[step])
        sheets[step] = sheet
    assert not (sheets["1"] == sheets["2"]).all()
    assert not (sheets["2"] == sheets["787"]).all()


@pytest.mark.parametrize("source", ["glyphs1d", "synthetic:6x9x8x2,3,50", "folder"])
def test_every_kind_of_example_is_drawn(show, tmp_path, source):
    if source == "folder":
        source = f"folder:{write_folder(tmp_path / 'p', ('cat', '猫'), size=(30, 20))}"
    words = [f"--config.data.source={source}", "--config.batch_size=4"]
    status, stdout, _ = show(*words, "--config.data.flip=true", "--examples=9")
    assert status == 0
    assert len(read(stdout.splitlines()[0])) > 300


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--step=0", "step is 0, expected a whole number from 1 to 787, the last"),
        ("--step=788", "step is 788, expected a whole number from 1 to 787"),
        ("--examples=0", "--examples is 0, expected 1 or more"),
        (
            "--out=sheet.jpg",
            "--out is 'sheet.jpg', expected a name that ends with",
        ),
        (
            "--out=/none/a.png",
            "/none/a.png cannot be written: its folder does not",
        ),
        ("--out=", "--out is empty, expected a path"),
        ("--config.data.augment=('flap',)", "unknown augmentation 'flap'"),
        ("--config.data.source=npz:/none.npz", "/none.npz"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(show, tmp_path, word, message):
    status, stdout, stderr = show(word)
    assert (status, stdout) == (2, "")
    assert message in stderr and stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
