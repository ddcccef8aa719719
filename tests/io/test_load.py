"""`load`: paths, suffixes, up axes, content that does not match the suffix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry import UP_AXES, rotation_to_z_up
from basrelief.types import Mesh, PointCloud

from .conftest import VERTICES, Put, gltf_text


def test_public_names() -> None:
    assert shapes.__all__ == ["FORMATS", "count_unread", "find_shapes", "load", "save", "side_files", "split_row", "unread_note"]
    assert all(hasattr(shapes, name) for name in shapes.__all__)


def test_importing_the_package_imports_no_parser() -> None:
    code = "import sys, basrelief.io; print([m for m in ('trimesh', 'torch', 'h5py', 'lxml', 'laspy', 'PIL', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("up", UP_AXES)
def test_the_axis_that_is_given_wins(up: str, put: Put) -> None:
    for name, text in (("a.xyz", "0 0 0\n1 2 3\n"), ("a.off", "OFF\n3 1 0\n0 0 0\n1 2 3\n5 5 5\n3 0 1 2\n"), ("a.gltf", gltf_text())):
        turned = shapes.load(put(name, text), up=up)
        plain = shapes.load(put(name, text), up="z")
        field = "vertices" if isinstance(turned, Mesh) else "points"
        assert np.allclose(getattr(turned, field), getattr(plain, field) @ rotation_to_z_up(up).T)
        assert turned.origin is not None
        assert (turned.origin.up, turned.origin.up_reason) == (up, "given by the caller")


@pytest.mark.parametrize(
    ("name", "text", "axis", "reason"),
    [
        ("a.gltf", gltf_text(), "y", "glTF is +Y up by its specification"),
        ("a.xyz", "1 2 3\n", "z", ".xyz files do not state it; +Z is most common, and there is no form to look at (70% sure)"),
        ("a.obj", "v 1 2 3\n", "y", ".obj files do not state it; +Y is most common, and there is no form to look at (85% sure)"),
    ],
)
def test_the_origin_says_which_axis_and_why(name: str, text: str, axis: str, reason: str, put: Put) -> None:
    path = put(name, text)
    origin = shapes.load(path).origin
    assert origin is not None
    assert (origin.path, origin.format, origin.up, origin.up_reason) == (str(path), name[2:], axis, reason)


@pytest.mark.parametrize("up", ["Z", "up", "", "+y"])
def test_an_unknown_axis(up: str, put: Put) -> None:
    with pytest.raises(
        ConfigError, match=f"Unknown up axis '\\{up}'; expected one of x, y, z, -x, -y, -z, auto" if up == "+y" else "Unknown up axis"
    ):
        shapes.load(put("a.xyz", "1 2 3\n"), up=up)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="File .*gone.ply' not found. Check the spelling"):
        shapes.load(tmp_path / "gone.ply")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is a folder. Name the files in it, or use find_shapes"):
        shapes.load(tmp_path)


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ply")
    with pytest.raises(FileFormatError, match="is a device or a pipe"):
        shapes.load(tmp_path / "a.ply")


@pytest.mark.parametrize("name", ["a\0b.ply", "x" * 5000 + ".ply"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(FileFormatError, match="not found|Cannot open"):
        shapes.load(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(put: Put) -> None:
    path = put("a.xyz", "1 2 3\n")
    path.chmod(0)
    with pytest.raises(FileFormatError, match="Cannot open"):
        shapes.load(path)


@pytest.mark.parametrize(("name", "near"), [("a.glbb", "glb"), ("a.plyy", "ply"), ("a.stll", "stl")])
def test_an_unknown_suffix_names_the_nearest(name: str, near: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=f"Unknown file format '.*'; expected one of glb, gltf, .*Did you mean '{near}'"):
        shapes.load(put(name, "x"))


def test_suffixes_in_capitals_and_links_are_fine(put: Put, tmp_path: Path) -> None:
    path = put("a.XYZ", "1 2 3\n")
    (tmp_path / "link.xyz").symlink_to(path)
    for name in (path, str(path), tmp_path / "link.xyz"):
        assert isinstance(shapes.load(name), PointCloud)


def test_a_file_whose_name_holds_a_hash(put: Put) -> None:
    assert isinstance(shapes.load(put("chair #2.xyz", "1 2 3\n")), PointCloud)


@pytest.mark.parametrize(
    ("name", "content", "found", "remedy"),
    [
        ("a.stl", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "a PNG image", "Download or export the shape again"),
        ("a.stl", b"<!DOCTYPE html><html></html>", "a web page", "Download or export the shape again"),
        ("a.glb", b"  <HTML><body>404</body></HTML>", "a web page", "Download or export the shape again"),
        ("a.ply", b"glTF\x02\0\0\0" + b"\0" * 100, "binary glTF", "Rename it to end in .glb"),
        ("a.gltf", b"glTF\x02\0\0\0" + b"\0" * 100, "binary glTF", "Rename it to end in .glb"),
        ("a.glb", b"ply\nformat ascii 1.0\n", "PLY", "Rename it to end in .ply"),
        ("a.obj", b"PK\x03\x04" + b"\0" * 100, "a ZIP archive", "Rename it to end in .3mf"),
        ("a.pcd", b"\x93NUMPY\x01\0", r"a NumPy array \(.npy\)", "Rename it to end in .npy"),
        ("a.npy", b"\x80\x04\x95", "a Python pickle, which is never loaded", "Download or export the shape again"),
        ("a.ply", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"a Git LFS pointer \(run `git lfs pull`\)", "Download"),
        ("a.off", b"<?xml version='1.0'?><COLLADA/>", "XML", "Rename it to end in .dae"),
        ("a.npz", b"\x1f\x8b\x08", "gzip data", "Download or export the shape again"),
    ],
)
def test_content_of_another_format_is_named(name: str, content: bytes, found: str, remedy: str, put: Put) -> None:
    message = f"{name} is not a .{name[2:]} file; it looks like {found}.*{remedy}"
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put(name, content))


def test_shapes_are_float32_and_read_only(put: Put) -> None:
    shape = shapes.load(put("a.xyz", "\n".join(" ".join(map(str, row)) for row in VERTICES)))
    assert isinstance(shape, PointCloud)
    assert shape.points.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        shape.points[0] = 1


def test_a_guess_never_overrules_the_format(tmp_path: Path) -> None:
    from support.small_models import box

    shapes.save(box(), tmp_path / "a.glb")
    origin = shapes.load(tmp_path / "a.glb", up="auto").origin
    assert origin is not None
    assert origin.up_reason == "glTF is +Y up by its specification"


def test_nothing_to_guess_from_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("0 0 0\n")
    origin = shapes.load(tmp_path / "a.xyz", up="auto").origin
    assert origin is not None
    assert origin.up == "z"
