"""Randomly damaged files: readers raise only our errors, and quickly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.types import Mesh, PointCloud

KINDS = ("glb", "gltf", "obj", "stl", "ply", "off", "3mf", "dae", "pcd", "xyz", "txt", "pts", "npy", "npz", "h5", "las", "laz", "fbx")
FUZZ = settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"99999999", b"nan ", b" inf", b" -1 ", b"1e39", b"\n", b"<", b"{", b'"')

Damage = tuple[float, int, bytes]
damages = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=4)),
    min_size=1,
    max_size=6,
)


def damaged(content: bytes, wounds: list[Damage]) -> bytes:
    """Replace stretches of a file; places near its start, where headers are, come up more often."""
    for place, length, piece in wounds:
        at = int(place * place * len(content))
        content = content[:at] + piece + content[at + length :]
    return content


def check(path: Path) -> None:
    """Load a file, which must give a shape or one of our errors within two seconds."""
    start = time.process_time()
    try:
        assert isinstance(shapes.load(path), Mesh | PointCloud)
    except (FileFormatError, GeometryError) as error:
        assert str(error)[-1] in ".?"
    assert time.process_time() - start < 2


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(wounds=damages, which=st.integers(0, 2), cut=st.floats(0, 1) | st.just(1.0))
def test_damaged_files(
    kind: str, wounds: list[Damage], which: int, cut: float, tmp_path: Path, valid_files: dict[str, tuple[bytes, ...]]
) -> None:
    contents = valid_files[kind]
    content = damaged(contents[which % len(contents)], wounds)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content[: max(1, int(cut * len(content)))])
    check(path)


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(content=st.binary(min_size=1, max_size=300), start=st.booleans())
def test_random_bytes(kind: str, content: bytes, start: bool, tmp_path: Path, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes((valid_files[kind][0][:16] if start else b"") + content)
    check(path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_are_damaged_are_valid_before(kind: str, tmp_path: Path, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    for content in valid_files[kind]:
        path = tmp_path / f"a.{kind}"
        path.write_bytes(content)
        assert isinstance(shapes.load(path), Mesh | PointCloud)
