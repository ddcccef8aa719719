"""Untrusted data sets: names, links, pipes and sizes that are refused with a clear message."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from basrelief.datasets import open_benchmark
from basrelief.datasets.layouts.base import inside, read_json, read_lines, subfolders
from basrelief.errors import ConfigError, FileFormatError
from support import dataset_miniatures


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "a\0b"])
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="The list names .*, which is outside the data set"):
        inside(tmp_path / "home", name)


@pytest.mark.parametrize("name", ["../x_0001", "..\0_0001", "chair_/../../../etc"])
def test_a_split_of_modelnet_names_files_inside(name: str, tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_txt(tmp_path)
    (root / "modelnet40_test.txt").write_text(name)
    with pytest.raises(FileFormatError, match="names .*(expected a known class|outside the data set)"):
        open_benchmark(root, strict=False)


def test_a_list_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    """Its lines would come back as labels, or in a message."""
    (tmp_path / "secret").write_text("password\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "list.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(FileFormatError, match=r"'list\.txt' is not a regular file inside the data set") as refused:
        read_lines(home / "list.txt")
    assert "password" not in str(refused.value)
    (home / "own.txt").write_text("chair")
    (home / "again.txt").symlink_to(home / "own.txt")
    assert read_lines(home / "again.txt") == ["chair"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "modelnet40_shape_names.txt")
    (tmp_path / "modelnet40_test.txt").write_text("chair_0001")
    with pytest.raises(FileFormatError, match="is not a regular file inside the data set"):
        open_benchmark(tmp_path, "modelnet40", strict=False)


def test_a_deep_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[" * 100_000)
    with pytest.raises(FileFormatError, match="is not JSON in UTF-8"):
        read_json(tmp_path / "list.json")


def test_a_folder_in_a_folder_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "turn").mkdir()
    (tmp_path / "turn" / "again").symlink_to(tmp_path / "turn")
    assert subfolders(tmp_path / "turn") == []
    with pytest.raises(ConfigError, match="does not look like a data set"):
        open_benchmark(tmp_path)
    with _nested_folders(tmp_path / "deep") as deep, pytest.raises(ConfigError, match="does not look like a data set"):
        open_benchmark(deep)


@contextmanager
def _nested_folders(top: Path, depth: int = 1100) -> Iterator[Path]:
    """Folders within each other, deeper than a path can name and than pytest can delete."""
    before = Path.cwd()
    top.mkdir()
    os.chdir(top)
    try:
        for _ in range(depth):
            os.mkdir("a")  # noqa: PTH102 - a path this long cannot be named
            os.chdir("a")
        os.chdir(before)
        yield top
        os.chdir(top)
        for _ in range(depth):
            os.chdir("a")
    finally:
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")  # noqa: PTH106 - as above
        os.chdir(before)


@pytest.mark.parametrize("content", [3, [1, 2], {"xyz": np.zeros((2, 3)), "label": np.array(1)}, {"xyz": 1, "label": 2}])
def test_objects_of_another_form_are_refused(content: object, tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_scanobjectnn(tmp_path)
    np.save(root / "scanobjectnn/xyz_label.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="does not hold a dictionary|lacks the arrays|labels|has no array"):
        open_benchmark(root, strict=False)


def test_names_of_another_form_are_refused(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_modelnet(tmp_path, order=True)
    path = next(root.rglob("cat_name_pt_feat.npy"))
    for content in (7, [1, 2], "chair"):
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
        with pytest.raises(FileFormatError, match="does not hold a dictionary"):
            open_benchmark(root, strict=False)


@pytest.mark.parametrize("kind", ["external", "virtual", "nan", "text", "wide"])
def test_labels_of_an_hdf5_file_are_its_own_numbers(kind: str, tmp_path: Path) -> None:
    root = dataset_miniatures.scanobjectnn(tmp_path)
    path = root / "h5_files/main_split_nobg/test_objectdataset.h5"
    (tmp_path / "secret").write_bytes(bytes(8 * 17))
    with h5py.File(path, "r+") as file:
        del file["label"]
        if kind == "external":
            file.create_dataset("label", (17,), "i8", external=[(str(tmp_path / "secret"), 0, 8 * 17)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((17,), "i8")
            layout[:] = h5py.VirtualSource(str(path), "other", (17,))
            file.create_virtual_dataset("label", layout)
        elif kind == "nan":
            file["label"] = np.full(17, np.nan)
        elif kind == "text":
            file["label"] = [b"a"] * 17
        else:
            file.create_dataset("label", (17,), "S1000000", chunks=(1,), compression="gzip")
    with pytest.raises(FileFormatError, match="expected `data` and `label`|not whole numbers"):
        open_benchmark(root, strict=False)


def test_a_mesh_of_shapenet_that_links_elsewhere_is_left_out(tmp_path: Path) -> None:
    root = dataset_miniatures.shapenet_core(tmp_path / "set")
    count = len(open_benchmark(root, strict=False).items)
    mesh = next(root.rglob("*.obj"))
    elsewhere = tmp_path / "secret.obj"
    mesh.rename(elsewhere)
    mesh.symlink_to(elsewhere)
    assert len(open_benchmark(root, strict=False).items) == count - 1


def test_listed_clouds_are_looked_for_inside_only(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_lvis(tmp_path)
    listed = next(root.rglob("lvis.json"))
    names = {"chair": "/etc/passwd", "mug": "../../etc/passwd"}
    listed.write_text(json.dumps([{"category": name, "data_path": path} for name, path in names.items()]))
    with pytest.raises(ConfigError, match="has no shapes of the all split"):
        open_benchmark(root, strict=False)
