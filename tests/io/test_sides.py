"""Side files of shapes: found, and never outside their folder."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.resolver import FolderResolver
from basrelief.limits import limits, use_limits

from .conftest import Put, gltf_text

TRIANGLE = np.eye(3, dtype="<f4").tobytes()
OUTSIDE = "outside its own folder"
PLY = (
    "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 1\n"
    "property float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n"
)


def glb(header: dict[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON") + text


@pytest.fixture
def beside(put: Put, tmp_path: Path) -> Callable[..., list[str]]:
    """Put a shape beside pictures and a library, and name its side files."""
    (tmp_path / "sub").mkdir()
    for name in ("t.png", "u.png", "sub/b c.bin", "m.mtl"):
        put(name, "newmtl a\nKd 1 0 0\nmap_Kd u.png\nnewmtl b\nmap_kd  gone.png\nmap_Bump t.png\n" if name == "m.mtl" else b"x")

    def names(name: str, content: bytes | str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in shapes.side_files(put(name, content))]

    return names


HEADER: dict[str, object] = {
    "buffers": [{"uri": "sub/b%20c.bin"}, {"uri": "data:;base64,AAAA"}, {"byteLength": 3}],
    "images": [{"uri": "u.png"}, {"bufferView": 0}, {"uri": "./t.png"}, {"uri": "u.png"}, {"uri": "gone.png"}],
}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.gltf", json.dumps(HEADER), ["sub/b c.bin", "u.png", "t.png"]),
        ("a.GLB", glb(HEADER), ["sub/b c.bin", "u.png", "t.png"]),
        ("a.obj", "# mtllib no\nmtllib m.mtl\nv 0 0 0\n", ["m.mtl", "u.png"]),
        ("a.obj", "mtllib gone.mtl\nmtllib m.mtl", ["m.mtl", "u.png"]),
        ("a.dae", "<COLLADA><init_from>t.png</init_from><init_from a='1'>u.png</init_from><init_from/></COLLADA>", ["t.png", "u.png"]),
        ("a.ply", PLY, ["t.png"]),
        ("a.stl", "solid t.png", []),
    ],
)
def test_side_files_in_the_order_of_their_mention(
    name: str, content: bytes | str, expected: list[str], beside: Callable[..., list[str]]
) -> None:
    assert beside(name, content) == expected


@pytest.mark.parametrize("name", ["a.gltf", "a.glb", "a.obj", "a.dae", "a.ply"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b"\xff\xfe" * 50, b"mtllib", b"{" * 5000, b'{"buffers": 3}', b'{"images": [{"uri": 1}]}', b"<init_from>"]
)
def test_broken_shapes_have_no_side_files(name: str, content: bytes, put: Put) -> None:
    assert shapes.side_files(put(name, content)) == ()


def test_shapes_that_are_not_there_have_no_side_files(tmp_path: Path) -> None:
    assert shapes.side_files(tmp_path / "gone.gltf") == ()
    assert shapes.side_files(tmp_path) == ()


@pytest.mark.parametrize("word", [b"mtllib ", b"mtllib", b"init_from", b"<init_from>", b"\nmtllib a", b"[", b'"uri":'])
def test_megabytes_of_one_word_take_no_time(word: bytes, put: Put) -> None:
    start = time.process_time()
    for kind in ("obj", "dae", "gltf"):
        assert shapes.side_files(put(f"a.{kind}", word * (2_000_000 // len(word)))) == ()
    assert time.process_time() - start < 3


def load_with(folder: Path, uri: str) -> None:
    (folder / "a.gltf").write_text(gltf_text(buffers=[{"byteLength": 36, "uri": uri}]))
    shapes.load(folder / "a.gltf")


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(TRIANGLE)
    home = tmp_path / "in"
    home.mkdir()
    (home / "file.bin").symlink_to(tmp_path / "secret.bin")
    (home / "up").symlink_to(tmp_path)
    (home / "twice.bin").symlink_to(home / "file.bin")
    for uri in ("file.bin", "up/secret.bin", "twice.bin", "up/in/../secret.bin"):
        with pytest.raises(FileFormatError, match=f"{OUTSIDE}|not beside it"):
            load_with(home, uri)
        assert shapes.side_files(home / "a.gltf") == ()


def test_links_that_stay_in_the_folder_are_followed(tmp_path: Path) -> None:
    home, link = tmp_path / "in", tmp_path / "link"
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "b.bin").write_bytes(TRIANGLE)
    (home / "c.bin").symlink_to("deep/b.bin")
    link.symlink_to(home)
    for folder in (home, link):  # the folder itself may be reached through a link
        load_with(folder, "c.bin")
        assert shapes.side_files(folder / "a.gltf") == (folder / "deep" / "b.bin",)


def test_links_in_a_circle_are_absent(tmp_path: Path) -> None:
    (tmp_path / "a.bin").symlink_to("b.bin")
    (tmp_path / "b.bin").symlink_to("a.bin")
    with pytest.raises(FileFormatError, match="'a.bin', which is not beside it"):
        load_with(tmp_path, "a.bin")


def test_pipes_and_devices_are_absent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bin")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.bin"))
        for uri in ("pipe.bin", "socket.bin"):
            with pytest.raises(FileFormatError, match=f"'{uri}', which is not beside it"):
                load_with(tmp_path, uri)
            assert shapes.side_files(tmp_path / "a.gltf") == ()


def test_a_file_that_becomes_a_link_or_a_pipe_while_it_is_read(tmp_path: Path) -> None:
    """A writer swaps the file as fast as it can; what is read is the file or nothing."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    side, stop = tmp_path / "in" / "side", threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (lambda part: part.write_bytes(b"plain"), lambda part: part.symlink_to(tmp_path / "secret"), os.mkfifo):
                part = side.with_name("part")
                make(part)
                part.replace(side)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(1000):
            try:
                content = FolderResolver(side.parent).get("side")
            except (FileFormatError, OSError):
                continue
            assert content == b"plain"
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "name", ["x" * 300, "x/" * 5000, "\ud800", "a\nb", "..%2fsecret", "sub/../../secret", "\\\\server\\share\\x", "C:x", "%00", "/"]
)
def test_names_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "sub").mkdir(parents=True)
    with pytest.raises(FileFormatError, match="outside its own folder|which is not beside it"):
        FolderResolver(tmp_path / "in").get(name)


def test_a_name_may_begin_with_dots(put: Put, tmp_path: Path) -> None:
    put("..t.png", b"inside")
    assert FolderResolver(tmp_path).get("..t.png") == b"inside"


def test_side_files_are_counted(put: Put, tmp_path: Path) -> None:
    for name in ("t.png", "u.png", "v.png"):
        put(name, b"inside")
    with use_limits(replace(limits(), side_files=2)):
        resolver = FolderResolver(tmp_path)
        for name in ("t.png", "u.png", "t.png"):
            resolver.get(name)
        with pytest.raises(FileFormatError, match="The file refers to more than 2 other files"):
            resolver.get("v.png")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("WOOD.PNG", "wood.png"),
        ("..\\textures\\Wood.png", "textures/wood.PNG"),
        ("D:\\models\\wood.png", "wood.png"),
        ("/srv/someone/textures/wood.png", "textures/wood.PNG"),
        ("file:///c:/maps/wood%2epng", "wood.png"),
        ("maps/deep/iron.jpg", "maps/deep/Iron.jpg"),
        ("iron.jpg", "maps/deep/Iron.jpg"),
    ],
)
def test_similar_names_are_found_inside_the_folder(name: str, found: str, tmp_path: Path) -> None:
    for path in ("wood.png", "textures/wood.PNG", "maps/deep/Iron.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    resolver = FolderResolver(tmp_path)
    assert resolver.get(name, similar=True) == found.encode()
    assert resolver.notes == ()


@pytest.mark.parametrize("name", ["../secret.png", "secret.png", "link.png", "out/secret.png", "/", "..", "", "hidden.png"])
def test_similar_names_never_leave_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    inside = tmp_path / "in"
    (inside / ".git").mkdir(parents=True)
    (inside / ".git" / "hidden.png").write_bytes(b"hidden")
    (inside / "Link.png").symlink_to(tmp_path / "secret.png")
    (inside / "up").symlink_to(tmp_path)
    with pytest.raises(FileFormatError, match="outside its own folder|which is not beside it"):
        FolderResolver(inside).get(name, similar=True)


def test_similar_names_are_searched_among_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.io.resolver._LISTED", 3)
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "c.png", "sub/d.png"):
        (tmp_path / name).write_bytes(b"inside")
    assert FolderResolver(tmp_path).find("D.png", similar=True) is None
