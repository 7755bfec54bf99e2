"""Folders of image files: which files count, in which order, and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import load_dataset
from cnnjax.data.image_files import FileSettings
from cnnjax.data.sources.folder import load_folder
from cnnjax.errors import DataError
from tests.support.data.pictures import add_trouble, write_folder

SMALL = FileSettings(size=(16, 24), workers=2)
FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0}


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(path, "PNG")


def listed(folder):
    images, labels = load_folder(str(folder)).train
    return [os.path.relpath(name, folder) for name in images.names], labels.tolist()


def test_files_are_in_the_order_of_class_folder_and_name(tmp_path):
    touch(
        tmp_path, "b/2.png", "b/10.png", "a/z/1.PNG", "a/z.jpeg", "a/Z.png", "B/1.bmp"
    )
    touch(tmp_path, "a/.hidden.png", "stray.png", "a/b c é.webp")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    names, labels = listed(tmp_path)
    assert names == [
        "B/1.bmp",
        *("a/.hidden.png", "a/Z.png", "a/b c é.webp", "a/z.jpeg", "a/z/1.PNG"),
        *("b/10.png", "b/2.png"),
    ]
    assert labels == [0, 1, 1, 1, 1, 1, 2, 2]
    assert load_folder(str(tmp_path)).class_names == ["B", "a", "b"]


def test_links_are_followed_once(tmp_path):
    touch(tmp_path / "set", "a/1.png", "b/1.png")
    touch(tmp_path / "elsewhere", "2.png")
    (tmp_path / "set" / "a" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "b" / "3.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    names, _ = listed(tmp_path / "set")
    assert names == ["a/1.png", "a/more/2.png", "b/1.png", "b/3.png"]


def test_folders_called_train_and_val_hold_splits(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/2.png")
    raw = load_folder(str(tmp_path))
    assert raw.test is None and len(raw.validation[0]) == 2
    assert raw.class_names == ["a", "b"]
    raw = load_folder(str(tmp_path), "validation")
    assert raw.train is None and len(raw.validation[0]) == 2
    touch(tmp_path, "other/1.png")
    with pytest.raises(DataError, match="has train, val beside other: expected either"):
        load_folder(str(tmp_path))
    touch(tmp_path / "capital", "Train/a/1.png", "Train/b/1.png", "TEST/a/1.png")
    assert load_folder(str(tmp_path / "capital")).class_names == ["a", "b"]


def test_one_split_is_found_without_the_others(tmp_path):
    touch(tmp_path, "test/a/1.png", "test/b/1.png")
    raw = load_folder(str(tmp_path), "test")
    assert raw.train is None and len(raw.test[0]) == 2
    assert raw.class_names == ["a", "b"]
    assert load_folder(str(tmp_path)).class_names == ["test"]


def test_a_class_that_a_split_lacks_is_noted(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/x.txt")
    (note,) = load_folder(str(tmp_path)).notes
    assert note == "the test split has no images of b"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no subfolders: expected one folder of images per class"),
        (["a/1.png", "b/1.txt"], "the class b has no images"),
        (
            ["train/a/1.png", "test/b/1.png"],
            "that the training split does not have: b",
        ),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], "has both val and valid"),
        (["a/1.png"] * 2, "all 1 training examples are of class 0"),
    ],
)
def test_a_folder_that_cannot_be_meant_is_refused(tmp_path, files, message):
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        load_dataset(f"folder:{tmp_path}", **FRACTIONS)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="no_such cannot be read: No such file"):
        load_folder(str(tmp_path / "no_such"))


@pytest.mark.parametrize("streaming", [False, True])
def test_bad_files_are_skipped_and_named(tmp_path, streaming):
    write_folder(tmp_path)
    bad = add_trouble(tmp_path / "cat")
    dataset = load_dataset(
        f"folder:{tmp_path}",
        **FRACTIONS,
        streaming=streaming,
        files=SMALL._replace(bad_files="skip"),
    )
    (note,) = [note for note in dataset.notes if "skipped" in note]
    assert note.startswith(f"skipped {len(bad)} bad files: ")
    assert {name for name in bad if f"/{name} " in note} == bad
    splits = dataset.train, dataset.validation, dataset.test
    assert sum(len(split.labels) for split in splits) == 12 + 12 + 13
    for images, labels in splits:
        assert images.shape == (len(labels), 16, 24, 3) and images.dtype == np.uint8
        assert images[:].any()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_bad_file_is_refused_with_its_class(tmp_path, streaming):
    write_folder(tmp_path, count=8)
    add_trouble(tmp_path / "dog")
    with pytest.raises(DataError) as caught:
        load_dataset(
            f"folder:{tmp_path}", **FRACTIONS, streaming=streaming, files=SMALL
        )
    message = str(caught.value)
    assert "/dog/bomb.png cannot be read as an image: it has more than" in message
    assert "(class dog, train split): repair or remove the file, or set" in message


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_streamed_images_are_those_in_memory(tmp_path, workers):
    write_folder(tmp_path, ending=".jpg")
    files = SMALL._replace(workers=workers)
    source = f"folder:{tmp_path}"
    here = load_dataset(source, **FRACTIONS, files=SMALL)
    there = load_dataset(source, **FRACTIONS, files=files, streaming=True)
    for name in ("train", "validation", "test"):
        one, other = getattr(here, name), getattr(there, name)
        np.testing.assert_array_equal(one.images[:], other.images[:])
        np.testing.assert_array_equal(one.labels, other.labels)


def test_images_of_several_sizes_need_a_size(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(DataError, match=r"height x width\): set data.image_size"):
        load_dataset(f"folder:{tmp_path}", **FRACTIONS)


def test_gray_images_of_one_size_are_kept_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 9, 7), np.uint8)
    for number, image in enumerate(pixels):
        path = tmp_path / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    raw = load_dataset(f"folder:{tmp_path}", **FRACTIONS)
    found = np.concatenate([raw.train.images, raw.validation.images, raw.test.images])
    assert found.shape == (20, 9, 7, 1)
    assert {x.tobytes() for x in found} == {x.tobytes() for x in pixels}


def test_arrays_are_not_resized():
    with pytest.raises(DataError, match=r"image_size is .* but the source holds"):
        load_dataset("digits", **FRACTIONS, files=SMALL)
