"""Tables and archives that contradict themselves, or that other programs wrote."""

import json
import os
import tarfile

import pyarrow
import pyarrow.parquet
import pytest

from cnnjax.data.sources.csv_table import load_csv
from cnnjax.data.sources.parquet import load_parquet
from cnnjax.data.sources.tar import load_tar
from cnnjax.errors import DataError
from tests.support.data.tables import FILES, add, load


def parquet(path, labels, names=None, images=None):
    images = images or [b"x"] * len(labels)
    table = pyarrow.table({"image": images, "label": labels})
    if names:
        feature = {"label": {"names": names}}
        text = json.dumps({"info": {"features": feature}})
        table = table.replace_schema_metadata({"huggingface": text})
    pyarrow.parquet.write_table(table, path)


def test_names_in_a_parquet_table_keep_their_numbers(tmp_path):
    parquet(tmp_path / "a.parquet", ["dog", "cat", "dog"], ["dog", "cat"])
    raw = load_parquet(str(tmp_path))
    assert raw.class_names == ["dog", "cat"]
    assert raw.train[1].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1], ["cat", "dog"], r"names the classes .* the same in all tables"),
        ([0, 2], ["dog", "cat"], "label 2 in row 1: expected a number from 0 to 1"),
        (["dog", "cow"], ["dog", "cat"], "label 'cow' in row 1: expected one of"),
        ([0, -2], ["dog", "cat"], "label -2 in row 1"),
        ([True, False], None, "label True in row 0"),
    ],
)
def test_contradictory_parquet_tables_are_refused(tmp_path, labels, names, message):
    parquet(tmp_path / "a.parquet", [0, 1], ["dog", "cat"])
    parquet(tmp_path / "b.parquet", labels, names)
    with pytest.raises(DataError, match=message):
        load_parquet(str(tmp_path))


def test_a_named_pipe_is_no_parquet_table(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="named pipe"):
        load_parquet(str(tmp_path))


def test_null_bytes_in_paths_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na\0.png,x\nb.png,y\n")
    message = r"cannot be read as an image: (stat: )?embedded null"  # 3.13: stat
    with pytest.raises(DataError, match=message):
        load(f"csv:{tmp_path / 't.csv'}")
    beside = [{"bytes": None, "path": "a\0.png"}]
    parquet(tmp_path / "a.parquet", ["x"], images=beside)
    with pytest.raises(DataError, match="outside of its folder"):
        load(f"parquet:{tmp_path}")


def test_spreadsheets_write_marks_quotes_and_spaces(tmp_path):
    rows = ['\ufeff"Path","Label"', '"a.png"," cat"', '"b.png","cat "', '"c.png","dog"']
    (tmp_path / "t.csv").write_text("\r\n".join(rows), newline="")
    raw = load_csv(str(tmp_path / "t.csv"))
    assert raw.class_names == ["cat", "dog"] and raw.train[1].tolist() == [0, 0, 1]


def archive(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            add(tar, name, content)
    return str(path)


def test_metadata_and_the_files_of_macos_are_left_out(tmp_path):
    members = {"1.png": b"x", "1.json": b'{"width": 3}', "1.cls": b"7"}
    members |= {"._1.png": b"", "._2.png": b"", "2.png": b"y"}
    members["2.json"] = b'{"label": 3}'
    raw = load_tar(archive(tmp_path / "a[1].tar", members))
    assert raw.train[1].tolist() == [7, 3]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.cls": b"1", "1.json": b'{"label": 2}'}, "it has two labels for 1"),
        ({"1.json": b'{"label": [1]}'}, r"it has the label \[1\], expected a number"),
        ({"1.json": b'{"label": true}'}, "it has the label True, expected a number"),
        ({"1.json": b'{"label": null}'}, r"has no label for 1\.png"),
        ({"1.json": b"[" * 30_000}, "cannot be read as an archive of images"),
    ],
)
def test_labels_in_archives_are_checked(tmp_path, members, message):
    path = archive(tmp_path / "a.tar", {"1.png": b"x", **members})
    with pytest.raises(DataError, match=message):
        load_tar(path)


def test_only_bad_files_are_told(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("no image")
    with pytest.raises(DataError, match=r"none of the 2 files of the train split can"):
        load(f"folder:{tmp_path}", files=FILES._replace(bad_files="skip"))
