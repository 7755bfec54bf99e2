"""What tells one data set from another: every pixel, label and split."""

import json
import time

import numpy as np
import pytest

from cnnjax.data import Dataset, Split
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import ConfigError
from cnnjax.train.run.data_identity import check, check_file, describe, write


def make(n=1000, size=8):
    draw = np.random.default_rng(0)

    def split(count):
        images = draw.integers(0, 256, (count, size, size, 1), np.uint8)
        return Split(images, draw.integers(0, 10, count).astype(np.int32))

    return Dataset(split(n), split(n // 10), split(n // 5), num_classes=10)


def stream(split):
    images, labels = split
    read = images.__getitem__
    everything = np.arange(len(images))
    shape = images.shape[1:]
    return Split(StreamedImages("set", read, shape, images.dtype, everything), labels)


def streamed(dataset):
    splits = [stream(split) for split in dataset[:3]]
    return Dataset(*splits, num_classes=dataset.num_classes)


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (501, 3, 4, 0), (999, 7, 7, 0)])
def test_one_pixel_is_noticed(tmp_path, place):
    dataset = make()
    before = describe(dataset)
    check(before, describe(make()), tmp_path)
    dataset.train.images[place] ^= 1
    with pytest.raises(ConfigError, match="train split is not that of the run in"):
        check(before, describe(dataset), tmp_path)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_the_difference_is_named(tmp_path, split, field):
    dataset = make()
    before = describe(dataset)
    array = getattr(getattr(dataset, split), field)
    array[5] = 1 - array[5]
    with pytest.raises(ConfigError) as caught:
        check(before, describe(dataset), tmp_path)
    message = str(caught.value)
    assert f"the {split} split" in message
    assert f"the {field}" in message
    assert "restore the data, or give another --workdir" in message


def test_swapped_images_with_the_same_labels_are_noticed(tmp_path):
    dataset = make()
    before = describe(dataset)
    dataset.train.images[[1, 2]] = dataset.train.images[[2, 1]]
    with pytest.raises(ConfigError, match="checksum of the images"):
        check(before, describe(dataset), tmp_path)


def test_a_sample_with_both_ends_is_compared_where_images_are_streamed(tmp_path):
    dataset = make()
    whole, sampled = describe(dataset), describe(streamed(dataset))
    assert "images" not in sampled["train"]
    check(whole, sampled, tmp_path)
    check(sampled, whole, tmp_path)
    for index in (0, 999):
        dataset.train.images[index] ^= 1
        with pytest.raises(ConfigError, match="a sample of the images"):
            check(whole, describe(streamed(dataset)), tmp_path)
        dataset.train.images[index] ^= 1
    dataset.train.images[:] ^= 1
    with pytest.raises(ConfigError, match="a sample of the images"):
        check(sampled, describe(streamed(dataset)), tmp_path)


def test_the_layout_in_memory_is_no_part_of_it():
    dataset = make()
    turned = Split(np.asfortranarray(dataset.train.images), dataset.train.labels)
    assert describe(dataset._replace(train=turned)) == describe(dataset)


def test_what_an_older_version_wrote_is_compared_as_far_as_it_goes(tmp_path):
    found = describe(make())
    old = {
        name: [split["examples"], split["shape"], split["labels"]]
        for name, split in found.items()
    }
    (tmp_path / "data.json").write_text(json.dumps(old))
    check_file(tmp_path, found)
    found["test"]["labels"] += 1
    with pytest.raises(ConfigError, match="checksum of the labels"):
        check_file(tmp_path, found)


def test_a_file_is_compared_and_may_be_missing(tmp_path):
    found = describe(make())
    check_file(tmp_path, found)
    write(tmp_path, found)
    check_file(tmp_path, found)
    with pytest.raises(ConfigError, match="test split"):
        check_file(tmp_path, {**found, "test": found["train"]})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"train": 3, "validation": 3, "test": 3}',
        '{"train": {}}',
        "[" * 200_000,
        "9" * 5000,
    ],
    ids=lambda text: text[:10],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(ConfigError, match=r"data.json is damaged") as caught:
        check_file(tmp_path, describe(make()))
    assert len(str(caught.value)) < 400


@pytest.mark.alone
def test_it_takes_no_tenth_of_a_second_for_fashion_mnist():
    dataset = make(60_000, 28)
    begin = time.perf_counter()
    describe(dataset)
    assert time.perf_counter() - begin < 0.1
