"""Real-world folders: odd names, line ends, files of other systems, extra parent folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.errors import BasreliefError
from basrelief.io import save
from basrelief.types import PointCloud
from support import dataset_miniatures


def opened(root: Path, **options: str) -> Benchmark:
    return open_benchmark(root, strict=False, **options)  # type: ignore[arg-type]


def put(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(PointCloud(dataset_miniatures.tall(seed=seed)), path)


@pytest.mark.parametrize("name", ["café table", "椅子", "chair (old)", "a.b", "100%", "tv_stand"])
def test_class_folders_may_have_any_name(name: str, tmp_path: Path) -> None:
    put(tmp_path / "set" / name / "a.ply")
    put(tmp_path / "set" / "lamp" / "a.ply")
    found = opened(tmp_path / "set")
    assert set(found.labels) == {name.replace("_", " "), "lamp"}
    assert all(found.load(item) is not None for item in found.items)


def test_files_of_other_operating_systems_are_ignored(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "set")
    before = opened(root)
    for junk in (".DS_Store", "lamp/.DS_Store", "lamp/._0.ply", "Thumbs.db", "lamp/desktop.ini", "README.txt", "lamp/notes.md"):
        (root / junk).write_bytes(b"junk")
    (root / ".git").mkdir()
    after = opened(root)
    assert after.labels == before.labels
    assert [item.id for item in after.items] == [item.id for item in before.items]


def test_an_empty_class_folder_is_no_class_or_one_without_shapes(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "set")
    (root / "nothing").mkdir()
    found = opened(root)
    assert len(found) == 4
    assert found.counts().get("nothing", 0) == 0


def test_formats_may_be_mixed(tmp_path: Path) -> None:
    from support.small_models import box

    put(tmp_path / "set" / "a thing" / "one.ply")
    save(box(), tmp_path / "set" / "a thing" / "two.glb")
    save(box(), tmp_path / "set" / "a thing" / "three.STL".lower())
    put(tmp_path / "set" / "other" / "one.xyz")
    found = opened(tmp_path / "set")
    assert found.counts() == {"a thing": 3, "other": 1}
    for item in found.items:
        found.load(item)


def test_suffixes_in_capitals_are_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / "set" / name / "one.ply")
        (tmp_path / "set" / name / "one.ply").rename(tmp_path / "set" / name / "ONE.PLY")
    found = opened(tmp_path / "set")
    assert len(found) == 2
    found.load(found.items[0])


@pytest.mark.parametrize("ends", ["\r\n", "\n\n", "\r\n\r\n"])
def test_lists_may_have_other_line_ends(ends: str, tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_txt(tmp_path)
    plain = opened(root)
    for path in root.glob("*.txt"):
        path.write_bytes(path.read_text().replace("\n", ends).encode())
    again = opened(root)
    assert again.labels == plain.labels
    assert again.items == plain.items


def test_lists_may_begin_with_a_mark(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    plain = opened(root).labels
    path = root / "shape_names.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert opened(root).labels == plain


def test_a_list_without_a_last_line_end_is_whole(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    path = root / "shape_names.txt"
    path.write_text(path.read_text().rstrip("\n"))
    assert len(opened(root).labels) == 40


def test_the_folder_above_is_found_too(tmp_path: Path) -> None:
    dataset_miniatures.modelnet_off(tmp_path / "unpacked" / "ModelNet40")
    found = opened(tmp_path)
    assert (found.layout, found.name, len(found)) == ("modelnet-off", "modelnet40", 40)


@pytest.mark.parametrize("writer", ["modelnet_h5", "scanobjectnn", "shapenet55", "openshape_modelnet"])
def test_a_set_may_be_moved(writer: str, tmp_path: Path) -> None:
    one = opened(getattr(dataset_miniatures, writer)(tmp_path / "here"))
    before = one.fingerprint()
    shutil.move(tmp_path / "here", tmp_path / "there")
    other = opened(tmp_path / "there")
    assert other.labels == one.labels
    assert [item.id for item in other.items] == [item.id for item in one.items]
    assert other.fingerprint() == before


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "set")
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    assert len(opened(tmp_path / "link")) == 4


def test_files_are_in_one_order_whatever_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "set")
    before = [item.id for item in opened(root).items]
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed(sorted(real(self))))
    assert [item.id for item in opened(root).items] == before


def test_an_id_names_its_shape_once(tmp_path: Path) -> None:
    for writer in (
        dataset_miniatures.scanobjectnn,
        dataset_miniatures.modelnet_h5,
        dataset_miniatures.openshape_modelnet,
        dataset_miniatures.class_folders,
    ):
        found = opened(writer(tmp_path / writer.__name__))
        assert len({item.id for item in found.items}) == len(found.items)
        assert not any(item.id.startswith("/") or ".." in item.id for item in found.items)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b'"text"', b"[1, 2]"])
def test_a_broken_list_is_an_error_of_ours(content: bytes, tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_lvis(tmp_path)
    (root / "lvis.json").write_bytes(content)
    with pytest.raises(BasreliefError):
        opened(root)


def test_a_list_of_thousands_is_opened_without_reading_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = dataset_miniatures.openshape_lvis(tmp_path)
    entries = json.loads((root / "lvis.json").read_text())
    (root / "lvis.json").write_text(json.dumps(entries * 1000))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("a shape was read"))
    assert len(opened(root)) == 3000
