"""Files of ``torch.save`` put together by hand, right or wrong in any detail."""

import io
import pickle
import struct
import zipfile

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps(1001, 2)


def number(value):
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(content)) + content


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind="FloatStorage", key="0", size=6, view=b""):
    named = text("storage") + b"ctorch\n" + kind.encode() + b"\n"
    return b"(" + named + text(key) + text("cpu") + number(size) + view + b"tQ"


def tensor(source=None, offset=0, shape=(2, 3), strides=(3, 1)):
    where = number(offset) + numbers(shape) + numbers(strides)
    arguments = b"(" + (source or storage()) + where + b"\x89}t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def state_dict(**tensors):
    """The pickle of a dict, from the instructions that make its values."""
    items = b"".join(text(name) + value for name, value in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def archive(content, storages=None, compression=zipfile.ZIP_STORED, **parts):
    """A zip archive with a pickle, and by default six numbers as storage 0."""
    storages = {"0": struct.pack("<6f", *range(6))} if storages is None else storages
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as result:
        result.writestr("some/data.pkl", content)
        for name, part in parts.items():
            result.writestr(f"some/{name}", part)
        for key, part in storages.items():
            result.writestr(f"some/data/{key}", part)
    return file.getvalue()


def legacy(content, keys=("0",), parts=None):
    """A file of the older format, by default with six numbers as storage 0."""
    if parts is None:
        parts = struct.pack("<q6f", 6, *range(6))
    described = pickle.dumps({"little_endian": True}, 2)
    return LEGACY + described + content + pickle.dumps(list(keys), 2) + parts
