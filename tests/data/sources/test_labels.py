"""Labels of other kinds in CSV and Parquet tables."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from cnnjax.data.sources import load_dataset, load_raw
from cnnjax.errors import DataError
from tests.support.data.pictures import write_folder


@pytest.fixture
def folder(tmp_path):
    """Four pictures, ``cat/00.png`` and so on."""
    return write_folder(tmp_path, count=2, size=(5, 6))


def load(source):
    raw = load_raw(source)
    return np.asarray(raw.train[1]), raw.class_names


FILES = ["cat/00.png", "cat/01.png", "dog/00.png", "dog/01.png"]


def write_csv(folder, header, *columns):
    rows = zip(FILES, *columns, strict=True)
    text = "\n".join(",".join(row) for row in [("path", *header), *rows])
    (folder / "a.csv").write_text(text)
    return f"csv:{folder}/a.csv"


def test_several_classes_in_one_column(folder):
    source = write_csv(folder, ["label"], ["b;a", " c ; a", "", "a;"])
    labels, names = load(f"{source}?separator=;")
    assert names == ["a", "b", "c"]
    assert labels.tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 0], [1, 0, 0]]
    numbers = write_csv(folder, ["label"], ["10|2", "2", "", "3"])
    assert load(f"{numbers}?separator=|")[1] == ["2", "3", "10"]


def test_a_column_for_each_class(folder):
    source = write_csv(folder, ["x", "y"], ["1", "0", "", "-1"], ["true", "0", "0", ""])
    labels, names = load(f"{source}?label=y,x")
    assert names == ["y", "x"]
    assert labels.tolist() == [[1, 1], [0, 0], [0, -1], [-1, -1]]


def test_columns_of_numbers(folder):
    source = write_csv(folder, ["age", "h"], ["1.5", "-2", "1e3", "0"], ["1"] * 4)
    labels, names = load(f"{source}?numbers=age")
    assert (labels.tolist(), names) == ([[1.5], [-2], [1000], [0]], ["age"])
    labels, names = load(f"{source}?numbers=h,age")
    assert (labels[0].tolist(), names) == ([1, 1.5], ["h", "age"])


def test_a_class_may_be_unknown(folder):
    assert load(write_csv(folder, ["label"], ["2", "-1", "0", "1"]))[0].tolist() == [
        *[2, -1, 0, 1]
    ]
    labels, names = load(write_csv(folder, ["label"], ["b", "-1", "a", "b"]))
    assert (labels.tolist(), names) == ([1, -1, 0, 1], ["a", "b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("numbers=age", "has the value 'old' for example 1: expected a finite"),
        (
            "numbers=size",
            r"expected one called 'size'; name it, as .*\?numbers=",
        ),
        ("label=age,label", "has the label '7' for example 0: expected 0 or 1"),
        ("label=label&numbers=age", "also has the option label: expected one"),
        ("separator=;&numbers=age", "also has the option separator: expected one"),
        ("label=age,label&separator=;", "several columns of labels"),
    ],
)
def test_columns_that_do_not_fit_are_refused(folder, options, message):
    source = write_csv(folder, ["age", "label"], ["7", "old", "1", "2"], ["x"] * 4)
    with pytest.raises(DataError, match=message):
        load(f"{source}?{options}")


def write_parquet(folder, columns, features=None):
    images = [{"path": name} for name in FILES]
    table = pyarrow.table({"image": images, **columns})
    if features:
        info = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(info)
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    return f"parquet:{folder}/a.parquet"


def test_a_parquet_column_of_lists(folder):
    labels, names = load(
        write_parquet(folder, {"label": [["b"], ["a", "b"], [], None]})
    )
    assert names == ["a", "b"]
    assert labels.tolist() == [[0, 1], [1, 1], [0, 0], [0, 0]]
    known = {"label": {"feature": {"names": ["x", "y", "z"]}}}
    labels, names = load(
        write_parquet(folder, {"label": [[2], [0, 2], [], [0]]}, known)
    )
    assert names == ["x", "y", "z"]
    assert labels.tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(DataError, match="label -1 in row 1: expected a number from 0"):
        load(write_parquet(folder, {"label": [[2], [0, -1], [], [0]]}, known))


def test_parquet_columns_of_numbers_and_flags(folder):
    columns = {"label": [0.5, 1.5, 2.5, -1.0], "n": [1, 2, 3, 4], "f": [True] * 4}
    source = write_parquet(folder, columns)
    assert load(source)[0].tolist() == [[0.5], [1.5], [2.5], [-1]]
    labels, names = load(f"{source}?numbers=n,label")
    assert (labels[3].tolist(), names) == ([4, -1], ["n", "label"])
    columns["g"] = [0, 1, None, -1]
    labels, names = load(f"{write_parquet(folder, columns)}?label=f,g")
    assert labels.tolist() == [[1, 0], [1, 1], [1, -1], [1, -1]]
    with pytest.raises(DataError, match="expected one called 'h'"):
        load(f"{source}?label=f,h")


def test_parquet_labels_may_be_unknown(folder):
    known = {"label": {"names": ["x", "y"]}}
    labels, names = load(write_parquet(folder, {"label": [0, -1, 1, 1]}, known))
    assert (labels.tolist(), names) == ([0, -1, 1, 1], ["x", "y"])


def test_lists_of_numbers_are_vectors(folder):
    """Unlike lists of classes, which hold each class once."""
    rows = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, -1, 1]]
    labels, names = load(write_parquet(folder, {"label": rows}))
    assert (labels.tolist(), names) == (rows, None)
    soft = [[0.5, 0.5], [1.0, 0.0], [0.2, 0.8], [0.0, 1.0]]
    assert load(write_parquet(folder, {"label": soft}))[0].tolist() == soft
    with pytest.raises(DataError, match="lists of different classes, or the same"):
        load(write_parquet(folder, {"label": [[3, 3], [1], [2], [0]]}))
    with pytest.raises(DataError, match="numbers=n and label=label"):
        columns = {"label": [1, 0, 1, 0], "n": [1, 2, 3, 4]}
        load(write_parquet(folder, columns) + "?numbers=n&label=label")


def test_whole_numbers_may_be_written_with_a_point(folder):
    """As pandas does in a column with gaps."""
    source = write_csv(folder, ["a", "b"], ["1.0", "0.0", "", "1.0"], ["1", "0"] * 2)
    assert load(f"{source}?label=a,b")[0][:, 0].tolist() == [1, 0, -1, 1]
    labels, names = load(write_csv(folder, ["label"], ["10.0", "2.0", "-1.0", "0.0"]))
    assert (labels.tolist(), names) == ([10, 2, -1, 0], None)
    with pytest.raises(DataError, match="neither class numbers nor names: for regres"):
        load(write_csv(folder, ["label"], ["1.5", "2.0", "3.0", "0.0"]))


def test_a_set_of_classes_may_be_unknown(folder):
    source = write_csv(folder, ["label"], ["b", "-1", "a;b", ""])
    labels, names = load(f"{source}?separator=;")
    assert (labels.tolist(), names) == ([[0, 1], [-1, -1], [1, 1], [0, 0]], ["a", "b"])
    source = write_csv(folder, ["label"], ["b", "-1;a", "a;b", ""])
    with pytest.raises(DataError, match="expected -1 alone, for unknown classes"):
        load(f"{source}?separator=;")


def test_a_single_class_is_there_or_not(folder):
    data = load_dataset(
        write_csv(folder, ["label"], ["cat", "", "", "cat"]) + "?separator=;",
        validation_fraction=0.25,
        test_fraction=0.25,
        seed=0,
    )
    assert (data.task, data.class_names) == ("multilabel", ("cat",))
    assert data.train.labels.shape == (2, 1)
