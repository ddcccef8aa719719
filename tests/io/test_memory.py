"""Peak memory of reading: each file in a process that may use 2 GiB more than at its start."""

from __future__ import annotations

import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from basrelief.limits import Limits

h5py = pytest.importorskip("h5py")

MEASURED = """
import resource, sys, time
import h5py, lxml, numpy, scipy.spatial, trimesh
import basrelief.io as shapes
from basrelief.errors import BasreliefError

def status(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) * 1024

most, before, start = int(sys.argv[2]), status("VmRSS"), time.process_time()
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + most + (1 << 28),) * 2)
try:
    shape = shapes.load(sys.argv[1])
    found = "read"
except BasreliefError as error:
    found = "MemoryError" if "MemoryError" in str(error) else "refused"
print(found, status("VmHWM") - before, time.process_time() - start)
"""

XYZ = "element vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
PLY = "ply\nformat {} 1.0\n" + XYZ
PCD = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {0}\nHEIGHT 1\nPOINTS {0}\nDATA {1}\n"
FACES = "element face {}\nproperty list {} vertex_indices\nend_header\n"


def cost(path: Path) -> tuple[str, int, float]:
    """What became of a file, the most memory (bytes) and the processor time (s) that it took."""
    command = [sys.executable, "-c", MEASURED, str(path), str(Limits.memory_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found, memory, seconds = done.stdout.split()
    return found, int(memory), float(seconds)


def packed_pcd(path: Path) -> None:
    packed = b"\0\0" + b"\xe0\xff\0" * 10_600_000
    path.write_bytes(PCD.format(20_000_000, "binary_compressed").encode() + np.array([len(packed), 240_000_000], "<u4").tobytes() + packed)


def short_runs(path: Path) -> None:
    runs = 10_000_000
    size = (1 + 3 * runs) // 12 * 12
    packed = b"\0\0" + b"\x20\0" * runs
    path.write_bytes(PCD.format(size // 12, "binary_compressed").encode() + np.array([len(packed), size], "<u4").tobytes() + packed)


def empty_faces(path: Path) -> None:
    head = PLY.format("binary_little_endian", 3) + FACES.format(20_000_000, "uchar uchar")
    path.write_bytes(head.encode() + np.eye(3, dtype="<f4").tobytes() + b"\3\0\1\2" + b"\0" * 19_999_999)


def one_face(path: Path) -> None:
    head = PLY.format("binary_little_endian", 3) + FACES.format(1, "uint uchar")
    path.write_bytes(head.encode() + np.eye(3, dtype="<f4").tobytes() + np.uint32(20_000_002).tobytes() + b"\0" * 20_000_002)


def numbers_in_ply(path: Path) -> None:
    path.write_bytes(PLY.format("ascii", 1).encode() + b"end_header\n" + b"0\n" * (16 << 20))


def zeros_in_text(path: Path) -> None:
    path.write_bytes(b"0 0 0\n" * 20_500_000)


def elements_in_3mf(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("3D/3dmodel.model", "<a>" + '<vertex x="0" y="0" z="0"/>' * 8_000_000 + "</a>")


def zeros_in_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (20_000_000, 3), "f8", chunks=(1_000_000, 3), compression="gzip")
        chunk = zlib.compress(b"\0" * 24_000_000, 9)
        for i in range(20):
            data.id.write_direct_chunk((i * 1_000_000, 0), chunk)


def bomb_in_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (1000, 3), "f4", chunks=(1000, 3), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(b"\0" * (1 << 30), 1))


def values_in_a_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(b"\x80\x04](" + b"}\x94" * 10_000_000 + b"e.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("a.pcd", packed_pcd, "refused"),
        ("b.pcd", short_runs, "refused"),
        ("a.ply", empty_faces, "read"),
        ("b.ply", one_face, "read"),
        ("c.ply", numbers_in_ply, "read"),
        ("a.xyz", zeros_in_text, "refused"),
        ("a.3mf", elements_in_3mf, "refused"),
        ("a.h5", zeros_in_hdf5, "read"),
        ("b.h5", bomb_in_hdf5, "read"),
        ("a.npy", values_in_a_pickle, "refused"),
    ],
)
def test_a_hostile_file_takes_at_most_2_gib(name: str, make: Callable[[Path], None], expected: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    found, memory, seconds = cost(tmp_path / name)
    assert found == expected
    assert memory < Limits.memory_bytes
    size = (tmp_path / name).stat().st_size
    assert seconds < 2 * Limits.seconds * max(1.0, size / (32 << 20))  # twice, since this machine may be slow or busy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npy", "ply", "xyz", "pcd", "h5"])
def test_ten_million_points_are_read(kind: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(10_000_000, 3)).astype("<f4")
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, points)
    elif kind == "ply":
        path.write_bytes(PLY.format("binary_little_endian", len(points)).encode() + b"end_header\n" + points.tobytes())
    elif kind == "pcd":
        path.write_bytes(PCD.format(len(points), "binary").encode() + points.tobytes())
    elif kind == "xyz":
        line = b"0.123456 -1.234567 2.345678\n"
        path.write_bytes(line * len(points))
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=points, compression="gzip", compression_opts=1)
    found, memory, _ = cost(path)
    assert found == "read"
    assert memory < 1 << 30
