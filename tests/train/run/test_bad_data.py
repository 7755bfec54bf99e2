"""Data that cannot be used: it is refused in one sentence, before a run begins."""

import gzip
import os
import zipfile

import numpy as np
import pytest

from tests.support.train.faults import (
    DIGITS,
    ROOT,
    SHORT,
    contents,
    error,
    evaluate,
    train,
    train_measured,
    write_idx,
    write_npz,
)

LENET = f"--config={ROOT / 'configs' / 'mnist_tfds.py'}"


def cut(path, share=0.5):
    os.truncate(path, int(path.stat().st_size * share))


def idx_truncated(folder):
    cut(write_idx(folder))
    return f"idx:{folder}"


def idx_gz_truncated(folder):
    path = write_idx(folder)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    cut(packed)
    return f"idx:{folder}"


def idx_empty_file(folder):
    write_idx(folder).write_bytes(b"")
    return f"idx:{folder}"


def idx_folder_in_place_of_a_file(folder):
    path = write_idx(folder)
    path.unlink()
    path.mkdir()
    return f"idx:{folder}"


def idx_label_out_of_range(folder):
    write_idx(folder)
    return f"idx:{folder}?classes=5"


def idx_sizes_differ(folder):
    write_idx(folder, test_size=9)
    return f"idx:{folder}"


def idx_no_examples(folder):
    write_idx(folder, n=0)
    return f"idx:{folder}"


def npz_truncated(folder):
    cut(write_npz(folder / "set.npz"))
    return f"npz:{folder}/set.npz"


def npz_empty_file(folder):
    (folder / "set.npz").touch()
    return f"npz:{folder}/set.npz"


def npz_folder(folder):
    (folder / "set.npz").mkdir()
    return f"npz:{folder}/set.npz"


def npz_damaged_bytes(folder):
    content = bytearray(write_npz(folder / "set.npz").read_bytes())
    content[300:340] = bytes(40)
    (folder / "set.npz").write_bytes(content)
    return f"npz:{folder}/set.npz"


def npz_negative_label(folder):
    write_npz(folder / "set.npz", labels=np.arange(100) % 5 - 2)
    return f"npz:{folder}/set.npz"


def npz_nan(folder):
    write_npz(folder / "set.npz", dtype=np.float32, pixels={(37, 2, 2): np.nan})
    return f"npz:{folder}/set.npz"


def npz_no_examples(folder):
    write_npz(folder / "set.npz", shape=(0, 8, 8))
    return f"npz:{folder}/set.npz"


def npz_fewer_examples_than_a_batch(folder):
    write_npz(folder / "set.npz", shape=(15, 8, 8))
    return f"npz:{folder}/set.npz"


def npz_rank_1(folder):
    write_npz(folder / "set.npz", shape=(100,))
    return f"npz:{folder}/set.npz"


def npz_rank_6(folder):
    write_npz(folder / "set.npz", shape=(100, 2, 2, 2, 2, 1))
    return f"npz:{folder}/set.npz"


def idx_named_pipe(folder):
    path = write_idx(folder)
    path.unlink()
    os.mkfifo(path)
    return f"idx:{folder}"


def idx_labels_that_are_a_named_pipe(folder):
    path = write_idx(folder).with_name("t10k-labels-idx1-ubyte")
    path.unlink()
    os.mkfifo(f"{path}.gz")
    return f"idx:{folder}"


def npz_named_pipe(folder):
    os.mkfifo(folder / "set.npz")
    return f"npz:{folder}/set.npz"


def npz_device(folder):
    (folder / "set.npz").symlink_to("/dev/zero")
    return f"npz:{folder}/set.npz"


def npz_member_without_the_ending(folder):
    path = write_npz(folder / "other.npz")
    with (
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(folder / "set.npz", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name.removesuffix(".npy"), old.read(name))
    return f"npz:{folder}/set.npz"


def npz_one_class(folder):
    write_npz(folder / "set.npz", labels=np.full(100, 3))
    return f"npz:{folder}/set.npz"


def npz_label_255(folder):
    labels = np.arange(100) % 5
    labels[[41, 42, 43]] = 255
    write_npz(folder / "set.npz", labels=labels)
    return f"npz:{folder}/set.npz"


def npz_channels_first(folder):
    write_npz(folder / "set.npz", shape=(100, 3, 32, 32))
    return f"npz:{folder}/set.npz"


def path_with_a_null_character(folder):
    return f"npz:{folder}/a\0b.npz"


def path_of_a_home_that_is_not_there(folder):
    return "npz:~nobody-of-this-name/set.npz"


FAULTS = [
    (idx_truncated, ["train-images-idx3-ubyte", "download it again"]),
    (idx_gz_truncated, ["train-images-idx3-ubyte.gz", "download it again"]),
    (idx_empty_file, ["train-images-idx3-ubyte"]),
    (idx_folder_in_place_of_a_file, ["train-images-idx3-ubyte"]),
    (idx_label_out_of_range, ["label 5 is 5", "from 0 to 4"]),
    (idx_sizes_differ, ["(9, 9, 1)", "(8, 8, 1)", "test"]),
    (idx_no_examples, ["train", "(0, 8, 8", "empty"]),
    (npz_truncated, ["set.npz", "download it again"]),
    (npz_empty_file, ["set.npz", "download it again"]),
    (npz_folder, ["set.npz"]),
    (npz_damaged_bytes, ["set.npz", "download it again"]),
    (npz_negative_label, ["label 0 is -2", "from 0"]),
    (npz_nan, ["image 37", "NaN", "repair it"]),
    (npz_no_examples, ["(0, 8, 8", "empty"]),
    (npz_fewer_examples_than_a_batch, ["batch_size is 16", "at most the 5 "]),
    (npz_rank_1, ["(100,)", "(n, *spatial, channels)"]),
    (idx_named_pipe, ["train-images-idx3-ubyte is a named pipe, expected a reg"]),
    (idx_labels_that_are_a_named_pipe, ["t10k-labels-idx1-ubyte.gz is a named pipe"]),
    (npz_named_pipe, ["set.npz is a named pipe, expected a regular file"]),
    (npz_device, ["set.npz is a device, expected a regular file"]),
    (npz_member_without_the_ending, ["no array 'x_train', only none"]),
    (npz_one_class, ["all 100 training examples are of class 3"]),
    (npz_label_255, ["train label 41 is 255", "classes 5 to 254", "?classes=256"]),
    (npz_channels_first, ["(100, 3, 32, 32)", "channels came first", "channels=last"]),
    (path_with_a_null_character, [r"\x00b.npz", "a character that no path can have"]),
    (path_of_a_home_that_is_not_there, ["~nobody-of-this-name/set.npz"]),
    (npz_rank_6, ["(100, 2, 2, 2, 2, 1)", "(n, *spatial, channels)"]),
]


@pytest.mark.parametrize(
    ("fault", "words"), FAULTS, ids=lambda x: getattr(x, "__name__", "")
)
def test_data_that_cannot_be_used_is_refused(tmp_path, capfd, fault, words):
    (tmp_path / "data").mkdir()
    source = fault(tmp_path / "data")
    settings = [f"--config.data.source={source}", "--config.batch_size=16", *SHORT]
    assert train(tmp_path / "run", *settings) == 2
    err = error(capfd)
    assert [word for word in words if word not in err] == [], err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_idx, lambda f: write_npz(f / "set.npz")])
def test_the_same_data_without_the_fault_is_taken(tmp_path, write):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    npz = tmp_path / "data" / "set.npz"
    source = f"npz:{npz}" if npz.exists() else f"idx:{tmp_path / 'data'}"
    settings = [f"--config.data.source={source}", "--config.batch_size=16", *SHORT]
    assert train(tmp_path / "run", *settings) == 0


@pytest.mark.slow
def test_an_absurd_label_makes_no_absurd_network(tmp_path):
    labels = np.arange(100) % 5
    labels[labels == 4] = 1_500_000_000
    path = write_npz(tmp_path / "set.npz", labels=labels)
    status, err, peak = train_measured(tmp_path / "run", f"npz:{path}")
    assert status == 2, err[-500:]
    assert err.startswith("cnnjax: error: ")
    assert err.count("\n") == 1
    assert "1500000000" in err.replace(",", "")
    assert peak < 1000
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "source", "words"),
    [
        (LENET, "synthetic:4x4x1,10,400", ["'lenet5'", "(4, 4, 1)"]),
        (LENET, "synthetic:28x1,10,400", ["'lenet5'", "(28, 1)", "2-D"]),
        (LENET, "synthetic:8x8x8x1,10,400", ["'lenet5'", "(8, 8, 8, 1)", "2-D"]),
        (DIGITS, "synthetic:2x2x1,10,400", ["'simple_cnn'", "(2, 2, 1)"]),
        (DIGITS, "synthetic:8x1x1,10,400", ["'simple_cnn'", "(8, 1, 1)"]),
    ],
)
def test_images_that_the_network_cannot_take_are_refused(
    tmp_path, capfd, config, source, words
):
    settings = [f"--config.data.source={source}", "--config.data.crop_padding=0"]
    assert train(tmp_path / "run", *settings, config=config) == 2
    err = error(capfd)
    assert [word for word in words if word not in err] == [], err
    assert len(err) < 500
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_data_that_broke_after_the_run_began_harms_no_run(tmp_path, capfd):
    path = write_npz(tmp_path / "set.npz")
    words = [*SHORT, f"--config.data.source=npz:{path}", "--config.batch_size=16"]
    run = tmp_path / "run"
    assert train(run, *words) == 0
    before = contents(run)
    capfd.readouterr()
    cut(path)
    assert train(run, *words) == 2
    assert str(path) in error(capfd)
    assert evaluate(run) == 2
    assert str(path) in error(capfd)
    assert contents(run) == before
