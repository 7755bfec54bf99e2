"""Files that lie, are cut off or hold code: refused in a sentence, nothing executed."""

import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from cnnjax.errors import WeightsError
from cnnjax.weights import read_weights
from cnnjax.weights.pickled import LARGEST_PICKLE
from tests.support.weights.pickles import (
    archive,
    legacy,
    number,
    state_dict,
    storage,
    tensor,
    text,
)

GOOD = state_dict(x=tensor())


class Code:
    """What runs a function when Python unpickles it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def refuse(tmp_path):
    """Reads a file, which must be refused, and gives the message."""

    def refuse(content):
        path = tmp_path / "bad.pth"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError) as caught:
                read_weights(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        message = str(caught.value)
        assert message.startswith(f"{path} cannot be used: ")
        assert peak < 64 * len(content) + 2**20  # of objects; arrays are no copies
        assert len(message) < 1000
        return message

    return refuse


@pytest.mark.parametrize("make", [archive, legacy])
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("code", "name"),
    [
        (Code(os.system, "touch ran"), "posix.system"),
        (Code(eval, "open('ran', 'w')"), "builtins.eval"),
        (Code(getattr, "x", "y"), "builtins.getattr"),
        (Code(np.ones, 3), "numpy"),
    ],
)
def test_code_is_refused_by_name(
    refuse, tmp_path, monkeypatch, make, protocol, code, name
):
    monkeypatch.chdir(tmp_path)
    message = refuse(make(pickle.dumps({"state_dict": code}, protocol)))
    assert not (tmp_path / "ran").exists()
    if protocol:
        found = name.replace("builtins", "__builtin__") if protocol == 2 else name
        assert f"it names {found}" in message
        assert "torch.save(model.state_dict(), FILE)" in message


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ctorch\nload\n", "torch.load"),
        ("ctorch._utils\n_rebuild_tensor_v2.__globals__\n", "__globals__"),
        ("ccollections\nOrderedDict.__init__\n", "OrderedDict.__init__"),
        ("c__torch__\nNet\n", "__torch__.Net"),
        ("ctorch\nQInt8Storage\n", "torch.QInt8Storage"),
    ],
)
def test_names_beside_the_allowed_ones_are_refused(refuse, name, shown):
    assert shown in refuse(archive(b"\x80\x02" + name.encode() + b")R."))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02" + text("a") + b")R.", "calls a value that is not a function"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls a value that is not a function"),
        (b"\x80\x02" + number(1) + b"}b.", "a int in place of a dict"),
        (b"\x80\x02(.", "damaged (a mark in place"),
        (b"\x80\x02}}" + number(1) + b"s.", "a dict as a key"),
        (b"\x80\x02}))\x86" + number(1) + b"s.", "a tuple as a key"),
        (b"\x80\x02h\x07.", "its pickle is damaged"),
        (b"\x80\x02.", "its pickle is damaged"),
        (b"\x80\x02]", "its pickle is damaged (pickle exhausted"),
        (b"\x80\x02\xff.", "its pickle is damaged"),
        (b"\x80\x02}0.", "the instruction POP, which no tensor needs"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "its pickle is damaged"),
        (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.", "its pickle is damaged"),
        (b"\x80\x02" + text("a") + b"Q.", "a str in place of a tuple"),
        (b"\x80\x02(" + text("module") + b"tQ.", "its pickle is damaged"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "its pickle is damaged"),
    ],
)
def test_damaged_pickles(refuse, content, message):
    assert message in refuse(archive(content))


@pytest.mark.parametrize("make", [archive, legacy])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tensor(offset=1), "needs 7 numbers, but its storage has 6"),
        (tensor(offset=-1), "a size, stride or offset that no tensor can have"),
        (tensor(offset=2**63), "a size, stride or offset that no tensor can have"),
        (tensor(offset=2**62), "but its storage has 6"),
        (tensor(strides=(-3, 1)), "a size, stride or offset that no tensor can have"),
        (tensor(strides=(4, 1)), "needs 7 numbers"),
        (tensor(shape=(2**40, 2**40), strides=(0, 0)), "but its storage has 6"),
        (tensor(shape=(7,), strides=(0,)), "needs 7 numbers"),
        (tensor(shape=(2, 3, 1)), "3 sizes and 2 strides"),
        (tensor(shape=(1,) * 40, strides=(1,) * 40), "at most 32"),
        (tensor(storage(size=7)), "expected"),
        (tensor(storage(size=5)), "expected"),
        (tensor(storage("DoubleStorage")), "expected"),
        (tensor(text("storage")), "a str in place of a Storage"),
    ],
)
def test_tensors_outside_their_storage(refuse, make, value, message):
    assert message in refuse(make(state_dict(x=value)))


def test_empty_tensors_take_no_memory(tmp_path):
    value = tensor(shape=(0, 2**62, 2**62), strides=(1, 1, 1))
    (tmp_path / "x.pth").write_bytes(archive(state_dict(x=value)))
    assert read_weights(tmp_path / "x.pth")["x"].size == 0


def test_a_compressed_archive_is_not_unpacked(refuse):
    content = state_dict(x=tensor(storage(size=2**24), shape=(2**24,), strides=(1,)))
    parts = {"0": bytes(2**26)}
    message = refuse(archive(content, parts, zipfile.ZIP_DEFLATED))
    assert "is compressed or encrypted" in message


@pytest.mark.slow
def test_bombs_of_references(refuse):
    nested = b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 200 + b"."
    assert "it holds a tuple" in refuse(archive(nested))
    far = b"\x80\x02]r\xff\xff\xff\x7f."
    assert "it holds a list" in refuse(archive(far))
    deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    assert "it holds a list" in refuse(archive(deep))
    itself = b"\x80\x02}q\x00" + text("state_dict") + b"h\x00s."
    assert "a mapping with 'state_dict'" in refuse(archive(itself))
    twice = b")" + b"q\x00h\x00h\x00\x86" * 200
    name = b"\x80\x04" + twice + text("system") + b"\x93."
    assert "a tuple in place of a str" in refuse(archive(name))
    number_of_digits = b"\x80\x02}" + number(10**5000) + number(1) + b"s."
    assert "a whole number of 16,610 bits" in refuse(archive(number_of_digits))


def test_swapped_storages_are_shared(tmp_path):
    content = state_dict(**{f"x{n}": tensor() for n in range(9)})
    (tmp_path / "x.pth").write_bytes(archive(content, byteorder="big"))
    found = read_weights(tmp_path / "x.pth")
    assert np.shares_memory(found["x0"], found["x8"])


def test_a_pickle_that_is_too_long(refuse):
    content = b"\x80\x02" + b"B" + struct.pack("<I", LARGEST_PICKLE)
    content += bytes(LARGEST_PICKLE) + b"."
    for make in (archive, legacy):
        assert f"more than {LARGEST_PICKLE:,} bytes" in refuse(make(content))


@pytest.mark.parametrize("make", [archive, legacy])
def test_every_truncation_is_refused(refuse, make):
    content = make(GOOD)
    for length in range(len(content)):
        refuse(content[:length])


@pytest.mark.parametrize("make", [archive, legacy])
def test_flipped_bytes_are_read_or_refused(tmp_path, make):
    content, path = bytearray(make(GOOD)), tmp_path / "bad.pth"
    for at in range(len(content)):
        for mask in (1, 0x80):
            content[at] ^= mask
            path.write_bytes(content)
            try:
                read_weights(path)
            except WeightsError as error:
                assert "cannot be used" in str(error)
            content[at] ^= mask


def test_a_legacy_file_that_contradicts_itself(refuse):
    parts = struct.pack("<q6f", 5, *range(6))
    assert "has 5 numbers, expected 6" in refuse(legacy(GOOD, parts=parts))
    assert "an unknown key, '7'" in refuse(legacy(GOOD, ["7"]))
    assert "lacks the numbers of storage '0'" in refuse(legacy(GOOD, []))
    assert "list of storages is damaged" in refuse(legacy(GOOD, [3]))


def test_archives_that_torch_does_not_write(refuse):
    assert "byteorder is b'middle'" in refuse(archive(GOOD, byteorder="middle"))
    other = archive(GOOD).replace(b"some/data.pkl", b"some/data.xyz")
    assert "without PyTorch's data.pkl" in refuse(other)
    for key in ("1", "../data.pkl", "0/"):
        lost = archive(state_dict(x=tensor(storage(key=key))))
        assert f"has no part 'some/data/{key}'" in refuse(lost)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Not found</html>", b"version https://git-lfs", b"\xff" * 64],
)
def test_other_files(refuse, content):
    assert "neither a torch.save file nor a safetensors file" in refuse(content)


def test_safetensors_whose_header_lies(refuse):
    content = safetensors.numpy.save({"x": np.arange(6, dtype=np.float32)})
    for old, new in [
        (b"[0,24]", b"[0,99]"),
        (b"[0,24]", b"[4,24]"),
        (b"[6]", b"[7]"),
        (b"F32", b"F64"),
    ]:
        assert old in content
        refuse(content.replace(old, new))
    refuse((2**62).to_bytes(8, "little") + content[8:])
    refuse(content[:-1])
    message = refuse(content.replace(b"F32", b"F8_").replace(b"[0,24]", b"[0,6] "))
    assert "neither a torch.save file" in message
