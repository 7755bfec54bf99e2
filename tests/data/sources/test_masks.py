"""Folders of images with masks: what is read, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import load_dataset
from cnnjax.data.dataset import RawDataset, Split, make_dataset
from cnnjax.data.image_files import FileSettings
from cnnjax.data.masks import encode_mask, palette
from cnnjax.data.tasks import SEGMENTATION, balanced_weights
from cnnjax.errors import DataError

SPLITS = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0}


def draw(number, height=24, width=32):
    """An image of one bright box, and the class number of each pixel."""
    labels = np.zeros((height, width), np.uint8)
    labels[4 + number : 14 + number, 8:20] = 1 + number % 2
    labels[:3, :12] = 255
    image = np.where(labels[..., None] % 255 > 0, 200, 30).repeat(3, -1)
    return image.astype(np.uint8), labels


def write(folder, count=6, splits=("",), **size):
    for split in splits:
        for kind in ("images", "masks"):
            (folder / split / kind / "deep").mkdir(parents=True)
        for number in range(count):
            image, labels = draw(number, **size)
            stem = f"deep/{number}"
            Image.fromarray(image).save(folder / split / f"images/{stem}.png")
            mask = Image.fromarray(labels)
            if number % 2:  # numbers of a palette, whose colors mean nothing
                mask.putpalette(np.arange(768)[::-1].astype(np.uint8).tobytes())
            mask.save(folder / split / f"masks/{stem}.png")
    return folder


def load(folder, options="", **settings):
    files = FileSettings(workers=2, **settings)
    return load_dataset(f"masks:{folder}{options}", files=files, **SPLITS)


def test_palettes_and_grays_are_read_as_class_numbers(tmp_path):
    (tmp_path / "classes.txt").write_text("nothing\nodd\neven\n")
    data = load(write(tmp_path, splits=("train", "val", "test")))
    assert (data.task, data.num_classes) == (SEGMENTATION, 3)
    assert data.class_names == ("nothing", "odd", "even")
    assert data.train.labels.dtype == np.int8
    for number, (image, labels) in enumerate(zip(*data.train, strict=True)):
        drawn, expected = draw(number)
        np.testing.assert_array_equal(image, drawn)
        np.testing.assert_array_equal(
            labels, np.where(expected == 255, -1, expected.astype(int))
        )
    assert "4.7% of the pixels of the train split" in data.notes[0]
    weights = balanced_weights(data.train.labels, SEGMENTATION, 3)
    counts = np.bincount(data.train.labels[data.train.labels >= 0])
    np.testing.assert_allclose(weights, counts.sum() / 3 / counts, rtol=1e-6)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_masks_are_cropped_and_resized_like_their_images(tmp_path, resize):
    data = load(write(tmp_path, height=48, width=80), size=(16, 24), resize=resize)
    images, labels = data.train
    assert labels.shape == (len(images), 16, 24)
    assert np.unique(labels).tolist() == [-1, 0, 1, 2]  # nothing in between
    bright = images[..., 0] > 150
    agree = bright == (labels > 0)
    assert agree[labels >= 0].mean() > 0.97
    black = (images == 0).all(-1)
    assert (labels[black] == -1).all()
    assert black.any() == (resize == "pad")


def test_held_out_and_streamed_examples_keep_their_masks(tmp_path):
    folder = write(tmp_path, count=10)
    whole = load(folder)
    files = FileSettings(workers=0)
    streamed = load_dataset(f"masks:{folder}", streaming=True, files=files, **SPLITS)
    for split, other in zip(whole[:3], streamed[:3], strict=True):
        np.testing.assert_array_equal(split.images, other.images[:])
        np.testing.assert_array_equal(split.labels, other.labels)
        bright = split.images[..., 0] > 100
        np.testing.assert_array_equal(bright, split.labels > 0)
    assert len(whole.validation.labels) == 2


def spoil_missing(folder):
    (folder / "masks/deep/3.png").unlink()


def spoil_color(folder):
    Image.new("RGB", (32, 24)).save(folder / "masks/deep/3.png")


def spoil_size(folder):
    Image.new("L", (24, 32)).save(folder / "masks/deep/3.png")


def spoil_class(folder):
    Image.new("L", (32, 24), 7).save(folder / "masks/deep/3.png")


def spoil_format(folder):
    Image.new("L", (32, 24)).save(folder / "masks/deep/3.jpg")
    (folder / "masks/deep/3.png").unlink()


def spoil_content(folder):
    (folder / "masks/deep/3.png").write_bytes(b"no image")


def spoil_names(folder):
    Image.new("RGB", (32, 24)).save(folder / "images/deep/3.jpg")


def spoil_bits(folder):
    path = folder / "masks/deep/3.png"
    Image.new("L", (32, 24)).save(path)
    content = bytearray(path.read_bytes())
    content[24] = 4
    path.write_bytes(content)


def spoil_folder(folder):
    (folder / "masks").rename(folder / "labels")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, r"3\.png has no mask: expected .*masks/deep/3\.png"),
        (spoil_color, "its pixels are RGB, expected class numbers"),
        (spoil_size, "it has 32 x 24 pixels, but its image has 24 x 32"),
        (spoil_class, r"holds 7 at \(0, 0\): expected a class number from 0 to 2"),
        (spoil_format, "3.jpg is not a PNG file"),
        (spoil_content, "3.png cannot be read as a mask"),
        (spoil_names, "differ only in their endings"),
        (spoil_bits, "3.png cannot be read as a mask"),
        (spoil_folder, r"there is no folder .*masks: expected images/NAME"),
    ],
)
def test_refusals(tmp_path, spoil, message):
    folder = write(tmp_path)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        load(folder, "?classes=3")


def test_random_parts_are_refused(tmp_path):
    files = FileSettings(size=(16, 16), part=(0.5, 1.0))
    source = f"masks:{write(tmp_path)}"
    with pytest.raises(DataError, match="does not crop masks"):
        load_dataset(source, streaming=True, files=files, **SPLITS)


def arrays(images, labels, **fields):
    return make_dataset(RawDataset(Split(images, labels), **fields), **SPLITS)


def test_arrays_of_label_maps():
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (10, 6, 7, 1), np.uint8)
    labels = draws.integers(-1, 4, (10, 6, 7))
    data = arrays(images, labels)
    assert (data.task, data.num_classes, data.train.labels.dtype) == (
        *(SEGMENTATION, 4),
        np.int8,
    )
    as_bytes = arrays(images, np.where(labels < 0, 255, labels).astype(np.uint8))
    np.testing.assert_array_equal(as_bytes.train.labels, data.train.labels)
    wide = arrays(images, labels, num_classes=200)
    assert wide.train.labels.dtype == np.int16
    signals = arrays(images[:, 0], labels[:, 0], task=SEGMENTATION)
    assert signals.train.labels.shape == (6, 7)
    with pytest.raises(DataError, match=r"expected \(10, 6, 7\), one class number"):
        arrays(images, labels[:, :5])
    with pytest.raises(DataError, match="all training pixels are of class 0"):
        arrays(images, np.minimum(labels, 0), num_classes=4)
    with pytest.raises(DataError, match=r"labels have shape .* float64"):
        arrays(images, labels.astype(float))


def test_masks_are_written_with_class_numbers_and_colors(tmp_path):
    labels = np.arange(12).reshape(3, 4)
    (tmp_path / "mask.png").write_bytes(encode_mask(labels))
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colors, palette()[labels])
    # The first colors of PASCAL VOC: black, maroon, green, olive.
    assert palette()[:4].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
    ]
    assert len(np.unique(palette(), axis=0)) == 256
    with pytest.raises(DataError, match="a PNG file takes"):
        encode_mask(labels * 100)
