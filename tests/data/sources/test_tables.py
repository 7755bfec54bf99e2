"""CSV tables, tar archives, Parquet tables and HDF5 files hold what a folder holds."""

import csv
import json
import os
import tarfile

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from cnnjax.data.image_files import FileSettings
from cnnjax.errors import DataError
from tests.support.data.pictures import write_folder
from tests.support.data.tables import add, load


@pytest.fixture
def pictures(tmp_path):
    """Picture files by class, and the splits that each belongs to."""
    folder = write_folder(tmp_path / "pictures", count=10)
    paths = sorted(folder.glob("*/*.png"))
    return [
        (path, path.parent.name, ["train", "val"][i % 3 == 0])
        for i, path in enumerate(paths)
    ]


def write_csv(tmp_path, pictures):
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "file", "class"])
        for path, label, split in pictures:
            writer.writerow([split, os.path.relpath(path, tmp_path), label])
    return f"csv:{tmp_path / 'set.csv'}"


def write_tar(tmp_path, pictures):
    for number, split in enumerate(("train", "train", "val")):
        with tarfile.open(tmp_path / f"{split}-{number:03d}.tar", "w") as tar:
            chosen = [x for x in pictures if x[2] == split]
            if split == "train":
                half = len(chosen) // 2
                chosen = [chosen[:half], chosen[half:]][number]
            for i, (path, label, _) in enumerate(chosen):
                add(tar, f"x/{number}{i:03d}.png", path.read_bytes())
                if i % 2:
                    add(tar, f"x/{number}{i:03d}.cls", label.encode())
                else:
                    text = json.dumps({"label": label, "other": 1})
                    add(tar, f"x/{number}{i:03d}.json", text.encode())
    return f"tar:{tmp_path}/*.tar"


def write_parquet(tmp_path, pictures, names=("cat", "dog"), beside=False):
    (tmp_path / "data").mkdir(exist_ok=True)
    feature = {"label": {"names": list(names), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": feature}})}
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    for split, name in (("train", "train"), ("val", "validation")):
        chosen = [x for x in pictures if x[2] == split]
        images = [
            {"bytes": path.read_bytes(), "path": path.name} for path, *_ in chosen
        ]
        if beside:
            for image in images:
                (tmp_path / "data" / image["path"]).write_bytes(image.pop("bytes"))
        labels = [names.index(label) for _, label, _ in chosen]
        table = pyarrow.table(
            {"image": pyarrow.array(images, kind), "label": labels}
        ).replace_schema_metadata(metadata)
        path = tmp_path / "data" / f"{name}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=3)
    return f"parquet:{tmp_path / 'data'}"


@pytest.mark.parametrize("write", [write_csv, write_tar, write_parquet])
@pytest.mark.parametrize("streaming", [False, True])
def test_equals_the_folder(tmp_path, pictures, write, streaming):
    for path, label, split in pictures:
        target = tmp_path / "sorted" / split / label
        target.mkdir(parents=True, exist_ok=True)
        (target / path.name).write_bytes(path.read_bytes())
    expected = load(f"folder:{tmp_path / 'sorted'}")
    found = load(write(tmp_path, pictures), streaming)
    assert found.class_names == expected.class_names == ("cat", "dog")
    for name in ("train", "validation", "test"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(one.images[:], other.images[:])
        np.testing.assert_array_equal(one.labels, other.labels)


def test_images_may_lie_beside_a_parquet_table_and_nowhere_else(tmp_path, pictures):
    source = write_parquet(tmp_path, pictures, beside=True)
    assert len(load(source).train.labels) > 5
    path = next((tmp_path / "data").glob("train*.parquet"))
    table = pyarrow.parquet.read_table(path)
    image = {"bytes": None, "path": "../pictures/cat/00.png"}
    images = pyarrow.array([image] * len(table), table.schema.field("image").type)
    pyarrow.parquet.write_table(table.set_column(0, "image", images), path)
    with pytest.raises(DataError, match="which is outside of its folder"):
        load(source)


def test_columns_and_the_root_may_be_named(tmp_path, pictures):
    path, _, _ = pictures[0]
    rows = "".join(
        f"{p.parent.name}/{p.name},{i % 2}\n" for i, (p, *_) in enumerate(pictures)
    )
    (tmp_path / "t.csv").write_text("where,what\n" + rows)
    source = f"csv:{tmp_path}/t.csv?path=where&label=what&root={path.parents[1]}"
    found = load(source)
    assert found.class_names is None and found.num_classes == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows: expected a header"),
        ("path,label\n", "has no rows"),
        ("path,x\na.png,1\n", r"columns 'path', 'x': expected one called 'label' or"),
        ("path,label\na.png\n", "row 2 of .* has 1 values: expected 2"),
        ("path,label\na.png,\n", "has no label for example 0"),
        ("path,label,split\na.png,1,dev\n", "has the split 'dev': expected train"),
        ("path,label,split\na.png,1,test\n", "no examples of the split 'train'"),
        ("path,label\na.png,0\na.png,1\n", "with different labels: remove one"),
        (
            "path,label,split\na.png,0,train\na.png,0,val\n",
            r"twice \(rows 2 and 3\), with different splits",
        ),
        ("path,label\nnone.png,0\nno.png,1\n", "none.png cannot be read as an image"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(f"csv:{tmp_path / 't.csv'}")


def test_bad_archives_are_refused(tmp_path):
    with pytest.raises(DataError, match="matches no file"):
        load(f"tar:{tmp_path}/*.tar")
    path = tmp_path / "a.tar"
    path.write_bytes(b"no archive" * 100)
    with pytest.raises(DataError, match="expected an uncompressed tar archive"):
        load(f"tar:{path}")
    with tarfile.open(path, "w") as tar:
        add(tar, "1.png", b"x")
    with pytest.raises(DataError, match=r"no label for 1.png: expected 1.cls, or"):
        load(f"tar:{path}")
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "1.png", b"x")
    with pytest.raises(DataError, match="uncompressed"):
        load(f"tar:{path}")


def test_bad_parquet_tables_are_refused(tmp_path, pictures):
    with pytest.raises(DataError, match="matches no file"):
        load(f"parquet:{tmp_path}")
    source = write_parquet(tmp_path, pictures)
    with pytest.raises(DataError, match="expected one called 'picture'"):
        load(f"{source}?image=picture")
    with pytest.raises(DataError, match=r"has the label \{'bytes'.* in row 0"):
        load(f"{source}?label=image")
    path = next((tmp_path / "data").glob("train*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        load(source)


def write_hdf5(path, images, labels, **more):
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = images, labels
        for name, value in more.items():
            file[name] = value
    return f"hdf5:{path}"


@pytest.mark.parametrize("shape", [(30, 7, 9), (30, 7, 9, 3), (30, 3, 4, 5, 2)])
def test_hdf5_equals_npz(tmp_path, shape):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, shape, np.uint8)
    labels = np.arange(30) % 3
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    names = [b"a", b"b", b"c"]
    source = write_hdf5(tmp_path / "set.h5", images, labels, class_names=names)
    expected = load(f"npz:{tmp_path / 'set.npz'}", files=FileSettings())
    for streaming in (False, True):
        found = load(source, streaming, FileSettings())
        assert found.class_names == ("a", "b", "c")
        np.testing.assert_array_equal(found.train.images[:], expected.train.images)
        order = [3, 0, 3, 5]
        np.testing.assert_array_equal(
            found.train.images[order], expected.train.images[order]
        )
        np.testing.assert_array_equal(found.test.labels, expected.test.labels)


def test_bad_hdf5_files_are_refused(tmp_path):
    images, labels = np.zeros((20, 4, 4), np.uint8), np.arange(20) % 2
    path = tmp_path / "set.h5"
    path.write_bytes(b"no file")
    with pytest.raises(DataError, match="cannot be read as an HDF5 file"):
        load(f"hdf5:{path}", files=FileSettings())
    write_hdf5(tmp_path / "other.h5", images, labels)
    with h5py.File(path, "w") as file:
        file["labels"] = labels
        file["images"] = h5py.ExternalLink(tmp_path / "other.h5", "images")
    with pytest.raises(DataError, match=r"'images' in .* is not an array stored in"):
        load(f"hdf5:{path}", files=FileSettings())
    with h5py.File(path, "w") as file:
        file["images"] = images
    with pytest.raises(DataError, match="has no array 'x_train', only images"):
        load(f"hdf5:{path}", files=FileSettings())
