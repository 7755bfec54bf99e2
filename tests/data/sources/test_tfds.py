"""Data sets of TFDS, prepared and read without a network and without TensorFlow."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from cnnjax.data import StreamedImages, eval_batches, load_dataset, train_batches
from cnnjax.data.sources.tfds import load_tfds, stream_tfds
from cnnjax.errors import DataError

READ_WITHOUT_TENSORFLOW = """
import importlib.machinery, sys

class Blocker:  # looks like an installed TensorFlow that must not be imported
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise AssertionError("TensorFlow was imported")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Blocker())
from cnnjax.data import eval_batches, load_dataset
for streaming in (True, False):
    dataset = load_dataset(
        "tfds:cnnjax_toy@" + sys.argv[1],
        validation_fraction=0.25, test_fraction=0.25, seed=0, streaming=streaming,
    )
    assert len(list(eval_batches(dataset.train, 3))) == 6
assert "tensorflow" not in sys.modules
print([split.images.shape for split in dataset[:3]], dataset.num_classes)
"""


def image(i, shape=(5, 4, 3)):
    return np.full(shape, i, np.uint8)


def png(x):
    file = io.BytesIO()
    Image.fromarray(x).save(file, "PNG")
    file.seek(0)
    return file


class Toy(tfds.core.GeneratorBasedBuilder):
    """What the builders of these tests share."""

    pkg_dir_path = tfds.core.Path("/nowhere")
    VERSION = tfds.core.Version("1.0.0")
    SIZES = {"train": 20, "test": 6}  # noqa: RUF012
    SHAPE = (5, 4, 3)
    KEYS = "image", "label"

    def _info(self):
        features = {
            self.KEYS[0]: tfds.features.Image(shape=self.SHAPE),
            self.KEYS[1]: tfds.features.ClassLabel(num_classes=5),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=self.KEYS if self.KEYS[0] == "pixels" else None,
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(n) for name, n in self.SIZES.items()}

    def _generate_examples(self, n):
        for i in range(n):
            yield i, {self.KEYS[0]: self._example(i), self.KEYS[1]: i % 4}

    def _example(self, i):
        return png(image(i))


class CnnjaxToy(Toy):
    """Images that are PNG files, in two splits."""


class CnnjaxArrays(Toy):
    """Grayscale images that are arrays, under other names, in three splits."""

    SIZES = {"train": 8, "validation": 5, "test": 4}  # noqa: RUF012
    SHAPE = (5, 4, 1)
    KEYS = "pixels", "kind"

    def _example(self, i):
        return image(i, self.SHAPE)


class CnnjaxShapes(Toy):
    """Images of two shapes."""

    SHAPE = (None, None, 3)

    def _example(self, i):
        return png(image(i, (5, 4 + i // 9, 3)))


class CnnjaxNames(Toy):
    """Images under a name that nothing tells."""

    KEYS = "picture", "label"


class CnnjaxOffline(Toy):
    """Images that a network would have to bring."""

    def _split_generators(self, dl_manager):
        raise ConnectionError("no network")


class CnnjaxNoTrain(Toy):
    """Images without a split for training."""

    SIZES = {"test": 6}  # noqa: RUF012


class CnnjaxFloats(Toy):
    """Images that are not images to TFDS, of which one is not finite."""

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(3, 2, 1), dtype=np.float64),
            "label": tfds.features.ClassLabel(num_classes=5),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _example(self, i):
        return np.full((3, 2, 1), np.nan if i == 13 else i / 3)


def load(name, folder, streaming=False):
    return load_dataset(
        f"tfds:{name}@{folder}",
        validation_fraction=0.25,
        test_fraction=0.25,
        seed=0,
        streaming=streaming,
    )


def damage(folder):
    """Changes a stretch of the file that holds the training split."""
    (record,) = folder.glob("cnnjax_toy/1.0.0/*train*")
    content = bytearray(record.read_bytes())
    used = [index for index, byte in enumerate(content) if byte]
    for index in used[len(used) // 3 : len(used) // 2]:
        content[index] ^= 0xFF
    record.write_bytes(content)


@pytest.mark.slow
def test_prepared_on_first_use_and_read_without_tensorflow(tmp_path):
    dataset = load("cnnjax_toy", tmp_path)
    assert dataset.num_classes == 5
    assert [len(s.labels) for s in dataset[:3]] == [16, 4, 6]
    for split in dataset[:3]:
        values = split.images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(values % 4, split.labels)
        np.testing.assert_array_equal(
            split.images, np.stack([image(i) for i in values])
        )
    assert sorted(dataset.test.images[:, 0, 0, 0]) == list(range(6))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_WITHOUT_TENSORFLOW, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[(16, 5, 4, 3), (4, 5, 4, 3), (6, 5, 4, 3)] 5"


def test_arrays_and_supervised_keys_and_own_validation_split(tmp_path):
    raw = load_tfds(f"cnnjax_arrays@{tmp_path}")
    assert raw.validation is not None
    assert raw.test is not None
    assert [len(s.labels) for s in (raw.train, raw.validation, raw.test)] == [8, 5, 4]
    assert sorted(raw.validation.images[:, 2, 1, 0]) == list(range(5))
    assert raw.train.images.shape == (8, 5, 4, 1)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cnnjax_shapes", r"images of shape \(5, \d, 3\), but image \d+ has"),
        ("cnnjax_names", "no feature 'image', only label, picture|only picture, label"),
        (
            "cnnjax_offline",
            "cannot be prepared .*no network.*tfds build cnnjax_offline",
        ),
        ("cnnjax_no_train", "no split 'train', only test"),
        ("cnnjax_nothing", "no data set 'cnnjax_nothing' in .*not found"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load_tfds(f"{name}@{tmp_path}")


def test_damaged_file(tmp_path):
    load_tfds(f"cnnjax_toy@{tmp_path}")
    damage(tmp_path)
    with pytest.raises(DataError, match="split 'train' cannot be read"):
        load_tfds(f"cnnjax_toy@{tmp_path}")


@pytest.mark.parametrize("name", ["cnnjax_toy", "cnnjax_arrays"])
def test_streamed_batches_are_those_in_memory(tmp_path, name):
    streamed, memory = (load(name, tmp_path, flag) for flag in (True, False))
    assert isinstance(streamed.train.images, StreamedImages)
    assert streamed.num_classes == memory.num_classes
    pairs = [
        (make(streamed), make(memory))
        for make in (
            lambda d: train_batches(d.train, 5, 1, 0, 9),
            lambda d: train_batches(d.train, 5, 1, 7, 2),
            lambda d: eval_batches(d.validation, 3),
            lambda d: eval_batches(d.test, 4),
        )
    ]
    for batches, others in pairs:
        for batch, other in zip(batches, others, strict=True):
            for x, y in zip(batch, other, strict=True):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x, y)


def test_streaming_decodes_one_image_before_batches_need_them(tmp_path, monkeypatch):
    decoded = []
    decode = tfds.features.Image.decode_example_np

    def count(self, example):
        decoded.append(example)
        return decode(self, example)

    monkeypatch.setattr(tfds.features.Image, "decode_example_np", count)
    raw = stream_tfds(f"cnnjax_toy@{tmp_path}")
    assert len(decoded) == 2  # one a split
    assert raw.train.images[[3, 1, 4]].shape == (3, 5, 4, 3)
    assert len(decoded) == 5


def test_streamed_image_of_another_shape_is_named(tmp_path):
    images = stream_tfds(f"cnnjax_shapes@{tmp_path}").train.images
    with pytest.raises(
        DataError, match=r"\(5, \d, 3\), but image \d+ has \(5, \d, 3\)"
    ):
        images[:]


def test_streamed_image_that_is_not_finite_is_named(tmp_path):
    images = stream_tfds(f"cnnjax_floats@{tmp_path}").train.images
    assert images.dtype == np.float32
    finite = [i for i in range(20) if np.isfinite(images.read(np.array([i]))).all()]
    assert len(images[finite]) == 19
    (bad,) = set(range(20)) - set(finite)
    with pytest.raises(DataError, match=f"split 'train' image {bad} holds NaN"):
        images[:]


def test_file_damaged_while_streaming(tmp_path):
    dataset = load("cnnjax_toy", tmp_path, streaming=True)
    damage(tmp_path)
    with pytest.raises(DataError, match="split 'train' cannot be read"):
        list(train_batches(dataset.train, 8, 0, 0, 2))
