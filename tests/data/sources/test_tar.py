"""Archives that are damaged in the middle, and links in them."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.sources.tar import load_tar
from cnnjax.errors import DataError
from tests.support.data.tables import FILES, add, load


def png(number):
    file = io.BytesIO()
    Image.new("L", (6, 5), number).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def archive(tmp_path):
    """Twenty pictures with labels, and where the headers are."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(20):
            add(tar, f"{number:02d}.png", png(number))
            add(tar, f"{number:02d}.cls", str(number % 2).encode())
    with tarfile.open(path) as tar:
        return path, [info.offset for info in tar]


@pytest.mark.parametrize("block", [b"\xff" * 512, bytes(512), b"x" * 512])
@pytest.mark.parametrize("member", [1, 20, 39])
def test_a_damaged_header_in_the_middle_is_an_error(archive, block, member):
    path, offsets = archive
    content = bytearray(path.read_bytes())
    content[offsets[member] : offsets[member] + 512] = block
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path} .*byte [\d,]+ is damaged") as caught:
        load_tar(str(path))
    if any(block):
        assert f"at byte {offsets[member]:,} is damaged" in str(caught.value)


def test_an_appended_archive_is_not_left_out_silently(archive):
    path, _ = archive
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match="or the archive was appended to another one"):
        load_tar(str(path))


@pytest.mark.parametrize("cut", [0, 512, 1024, 5000, 10240])
def test_the_end_may_be_missing_but_not_a_part_of_a_header(archive, cut):
    path, offsets = archive
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    path.write_bytes(whole[:end] + bytes(cut))
    assert len(load_tar(str(path)).train[1]) == 20
    path.write_bytes(whole[: offsets[30] + 200])
    with pytest.raises(DataError, match=f"byte {offsets[30]:,} is damaged"):
        load_tar(str(path))


def test_links_to_images_are_counted(archive):
    path, _ = archive
    with tarfile.open(path, "a") as tar:
        for name, kind in (
            ("x.png", tarfile.SYMTYPE),
            ("y.JPG", tarfile.LNKTYPE),
            ("z.txt", tarfile.SYMTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "00.png"
            tar.addfile(info)
    raw = load_tar(str(path))
    assert len(raw.train[1]) == 20
    (note,) = raw.notes
    assert note.startswith(f"{path} has 2 links to images, which are skipped: store")


def test_what_the_note_advises_stores_images(tmp_path, monkeypatch):
    """Archives of the same images, with links and as advised."""
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        (tmp_path / f"{number}.cls").write_text(str(number % 2))
        (tmp_path / f"real{number}").write_bytes(png(number))
        os.symlink(f"real{number}", f"{number}.png")
    os.system("tar cf linked.tar *.png *.cls")
    os.system("tar cf real.tar -h --hard-dereference *.png *.cls")
    with pytest.raises(DataError, match="holds no images for training"):
        load_tar("linked.tar")
    dataset = load("tar:real.tar", files=FILES._replace(size=None))
    assert not dataset.notes
    images = np.concatenate([split.images for split in dataset[:3]])
    assert sorted(images[:, 0, 0, 0].tolist()) == [*range(10)]
