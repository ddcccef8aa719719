"""ZIP archives of checkpoints made to harm: directories that lie, two members of a name, bombs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from basrelief.errors import WeightsError
from support.hostile_checkpoints import (
    GOOD,
    entries,
    number,
    saved,
    state,
    tensor,
    zipped,
)


def changed(content: bytes, change: Callable[[zipfile.ZipInfo], None], *, member: str = "archive/data/0") -> bytes:
    """Return an archive with another entry in its directory."""
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a") as archive:
        change(archive.getinfo(member))
        archive.writestr("archive/version", b"3\n")
    return out.getvalue()


def set_field(name: str, value: object) -> Callable[[zipfile.ZipInfo], None]:
    return lambda info: setattr(info, name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_field("header_offset", 5), "'archive/data/0' is not where it should be"),
        (set_field("header_offset", 1 << 40), "'archive/data/0' is not where it should be|cannot be read"),
        (set_field("CRC", 123), "the checksum of 'archive/data/0' is wrong"),
        (set_field("flag_bits", 1), "w.pt is encrypted. Decrypt it first"),
        (set_field("file_size", 1 << 40), "should have 16 bytes, but has 1,099,511,627,776"),
        (set_field("compress_size", 1), "'archive/data/0' has two sizes"),
        (set_field("compress_type", zipfile.ZIP_BZIP2), "is compressed, and 'archive/data/0' unpacks to 16 bytes"),
        (set_field("compress_type", zipfile.ZIP_DEFLATED), "cannot be read|is damaged"),
        (set_field("filename", "archive/data/zero"), "it has no member 'data/0'"),
    ],
)
def test_directories_that_lie_are_refused(tmp_path: Path, change: Callable[[zipfile.ZipInfo], None], message: str) -> None:
    good = zipped(entries(a=GOOD))
    assert state(tmp_path / "w.pt", changed(good, lambda info: None))["a"].tolist() == [0, 1, 2, 3]
    with pytest.raises(WeightsError, match=message):
        state(tmp_path / "w.pt", changed(good, change))


def test_the_pickle_of_an_archive_is_checked_too(tmp_path: Path) -> None:
    good = zipped(entries(a=GOOD))
    with pytest.raises(WeightsError, match="the checksum of 'archive/data.pkl' is wrong"):
        state(tmp_path / "w.pt", changed(good, set_field("CRC", 1), member="archive/data.pkl"))
    huge = changed(
        good, lambda info: [setattr(info, name, 1 << 40) for name in ("file_size", "compress_size")] and None, member="archive/data.pkl"
    )
    with pytest.raises(WeightsError, match=r"data\.pkl in w\.pt has 1,099,511,627,776 bytes; at most"):
        state(tmp_path / "w.pt", huge)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"archive/data/0": b"x"}, "w.pt holds two members of the same name"),
        ({"archive/data.pkl": b"\x80\x02}."}, "w.pt holds two members of the same name"),
        ({"other/data.pkl": b"\x80\x02}."}, "no folder holds data.pkl|not one of torch.save"),
    ],
)
def test_archives_of_two_minds_are_refused(tmp_path: Path, more: dict[str, bytes], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        state(tmp_path / "w.pt", zipped(entries(a=GOOD), more=more))


def test_other_names_in_an_archive_are_never_used(tmp_path: Path) -> None:
    more = {"/etc/passwd": b"x", "../../owned": b"x", "archive/code/__torch__.py": b"x", "data.pkl": b"x", "a/b/data.pkl": b"x"}
    assert state(tmp_path / "w.pt", zipped(entries(a=GOOD), more=more))["a"].tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + entries(a=tensor(saved(1 << 24), shape=number(1 << 24) + b"\x85")) + b".")
        archive.writestr("archive/data/0", bytes(1 << 26))
    assert len(out.getvalue()) < 1 << 17
    with pytest.raises(
        WeightsError, match=r"w\.pt is compressed, and 'archive/data/0' unpacks to 67,108,864 bytes\. Unpack it, and pack it again"
    ):
        state(tmp_path / "w.pt", out.getvalue())


def test_an_archive_with_too_many_members_is_refused(tmp_path: Path) -> None:
    more = {f"archive/data/{'x' * 200}{i}": b"" for i in range(20_000)}
    with pytest.raises(WeightsError, match=r"The directory of archive w\.pt is larger than 4,194,304 bytes"):
        state(tmp_path / "w.pt", zipped(entries(a=GOOD), more=more))
