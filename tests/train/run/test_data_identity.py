"""What tells one data set from another: every pixel, label and split."""

import json
import time
import zlib

import numpy as np
import pytest

from cnnjax.data import Dataset, Split
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import ConfigError
from cnnjax.train.run import data_identity
from cnnjax.train.run.data_identity import check_comparable, describe, write


def make(n=1000, size=8):
    draw = np.random.default_rng(0)

    def split(count):
        images = draw.integers(0, 256, (count, size, size, 1), np.uint8)
        return Split(images, draw.integers(0, 10, count).astype(np.int32))

    return Dataset(split(n), split(n // 10), split(n // 5), num_classes=10)


def check(before, dataset, run):
    data_identity.check(before, describe(dataset), dataset, run)


def check_file(run, dataset):
    data_identity.check_file(run, describe(dataset), dataset)


def noted_with_checksums(dataset):
    """What older versions noted about a data set."""

    def crc(array):
        return zlib.crc32(np.ascontiguousarray(array))

    def note(split):
        images, labels = split
        chosen = np.unique(np.linspace(0, len(labels) - 1, 256).astype(np.int64))
        shape = list(images.shape[1:])
        found = {"examples": len(labels), "shape": shape, "labels": crc(labels)}
        found |= {"sample": crc(images[chosen])}
        if isinstance(images, np.ndarray):
            found["images"] = crc(images)
        return found

    return {name: note(getattr(dataset, name)) for name in dataset._fields[:3]}


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
    check(before, make(), tmp_path)
    dataset.train.images[place] ^= 1
    with pytest.raises(ConfigError, match="train split is not that of the run in"):
        check(before, dataset, tmp_path)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_the_difference_is_named(tmp_path, split, field):
    dataset = make()
    before = describe(dataset)
    array = getattr(getattr(dataset, split), field)
    array[5] = 1 - array[5]
    with pytest.raises(ConfigError) as caught:
        check(before, dataset, tmp_path)
    message = str(caught.value)
    assert f"the {split} split" in message
    assert f"the {field}" in message
    assert "restore the data, or give another --workdir" in message


def test_swapped_images_with_the_same_labels_are_noticed(tmp_path):
    dataset = make(3000)
    before = describe(dataset)
    dataset.train.images[[1, 2]] = dataset.train.images[[2, 1]]
    with pytest.raises(ConfigError, match="digest of the images"):
        check(before, dataset, tmp_path)


def test_a_sample_with_both_ends_is_compared_where_images_are_streamed(tmp_path):
    dataset = make(3000)
    whole, sampled = describe(dataset), describe(streamed(dataset))
    assert "images" not in sampled["train"]
    check(whole, streamed(dataset), tmp_path)
    check(sampled, dataset, tmp_path)
    for index in (0, 2999):
        dataset.train.images[index] ^= 1
        with pytest.raises(ConfigError, match="a sample of the images"):
            check(whole, streamed(dataset), tmp_path)
        dataset.train.images[index] ^= 1
    dataset.train.images[:] ^= 1
    with pytest.raises(ConfigError, match="a sample of the images"):
        check(sampled, streamed(dataset), tmp_path)


def test_of_a_thousand_streamed_images_each_one_is_compared(tmp_path):
    dataset = make(1000)
    before = describe(streamed(dataset))
    dataset.train.images[517, 3, 3] ^= 1
    with pytest.raises(ConfigError, match="a sample of the images"):
        check(before, streamed(dataset), tmp_path)


@pytest.mark.parametrize("change", [None, "images", "labels", "sample"])
@pytest.mark.parametrize("form", [lambda dataset: dataset, streamed])
def test_checksums_that_older_versions_noted_are_compared(tmp_path, form, change):
    dataset = make()
    (tmp_path / "data.json").write_text(json.dumps(noted_with_checksums(dataset)))
    if change == "labels":
        dataset.train.labels[5] ^= 1
    elif change:  # image 1 is none of the sample of 256
        dataset.train.images[0 if change == "sample" else 1, 2, 2] ^= 1
    if change is None or (change == "images" and form is streamed):
        check_file(tmp_path, form(dataset))
        return
    with pytest.raises(ConfigError, match="the train split is not that of the run"):
        check_file(tmp_path, form(dataset))


def test_data_at_another_place_must_be_comparable(tmp_path):
    def refuse(why):
        with pytest.raises(ConfigError, match=why) as caught:
            check_comparable(tmp_path, "npz:a.npz", "npz:b.npz")
        assert "data.source is 'npz:b.npz', and was 'npz:a.npz'" in str(caught.value)

    refuse("data.json is missing")
    write(tmp_path, describe(make()))
    check_comparable(tmp_path, "npz:a.npz", "npz:b.npz")
    only_labels = {
        name: [split["examples"], split["shape"], split["labels"]]
        for name, split in noted_with_checksums(make()).items()
    }
    write(tmp_path, only_labels)
    refuse("data.json does not note the images")
    (tmp_path / "data.json").write_text("[]")
    refuse("data.json is damaged")


def test_the_layout_in_memory_is_no_part_of_it():
    dataset = make()
    turned = Split(np.asfortranarray(dataset.train.images), dataset.train.labels)
    assert describe(dataset._replace(train=turned)) == describe(dataset)


def test_what_an_older_version_wrote_is_compared_as_far_as_it_goes(tmp_path):
    dataset = make()
    old = {
        name: [split["examples"], split["shape"], split["labels"]]
        for name, split in noted_with_checksums(dataset).items()
    }
    (tmp_path / "data.json").write_text(json.dumps(old))
    check_file(tmp_path, dataset)
    dataset.test.labels[0] ^= 1
    with pytest.raises(ConfigError, match="digest of the labels"):
        check_file(tmp_path, dataset)


def test_a_file_is_compared_and_may_be_missing(tmp_path):
    dataset = make()
    check_file(tmp_path, dataset)
    write(tmp_path, describe(dataset))
    check_file(tmp_path, dataset)
    with pytest.raises(ConfigError, match="test split"):
        check_file(tmp_path, dataset._replace(test=dataset.train))


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
        check_file(tmp_path, make())
    assert len(str(caught.value)) < 400


@pytest.mark.alone
def test_it_takes_no_tenth_of_a_second_for_fashion_mnist():
    dataset = make(60_000, 28)
    begin = time.perf_counter()
    describe(dataset)
    assert time.perf_counter() - begin < 0.1
