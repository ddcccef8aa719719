"""Small valid files in every format, to be broken if no corpus is given."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np


def write_seeds(folder: Path) -> list[Path]:
    """Write one or more good files of every format that is read.

    Args:
        folder: Where; made when missing.

    Returns:
        The files.
    """
    import trimesh

    folder.mkdir(parents=True, exist_ok=True)
    mesh = trimesh.creation.torus(0.4, 0.15, major_sections=12, minor_sections=8)
    mesh.visual = trimesh.visual.ColorVisuals(
        mesh, vertex_colors=np.linspace(0, 255, 4 * len(mesh.vertices)).astype(np.uint8).reshape(-1, 4)
    )
    scene = trimesh.Scene([mesh, trimesh.creation.box((0.3, 0.3, 0.9))])
    for kind in ("glb", "obj", "stl", "ply", "off", "dae", "3mf"):
        exported = (scene if kind in ("glb", "3mf") else mesh).export(file_type=kind)
        (folder / f"mesh.{kind}").write_bytes(exported if isinstance(exported, bytes) else exported.encode())
    for name, content in scene.export(file_type="gltf").items():
        (folder / ("mesh.gltf" if name.endswith(".gltf") else name)).write_bytes(content)
    (folder / "text.ply").write_bytes(mesh.export(file_type="ply", encoding="ascii"))
    (folder / "text.stl").write_text(mesh.export(file_type="stl_ascii"), encoding="ascii")
    _write_points(folder, np.asarray(mesh.vertices, dtype=np.float32))
    return sorted(file for file in folder.iterdir() if file.suffix not in (".bin", ".mtl"))


def _write_points(folder: Path, points: np.ndarray) -> None:
    import h5py

    np.save(folder / "points.npy", points)
    np.savez_compressed(folder / "points.npz", points=points)
    record: Any = np.empty((), dtype=object)
    record[()] = {"xyz": points, "rgb": np.abs(points), "id": "a", "scale": np.float64(1.5)}
    np.save(folder / "objects.npy", record, allow_pickle=True)
    with h5py.File(folder / "points.h5", "w") as file:
        file.create_dataset("data", data=np.stack([points, points]), compression="gzip", chunks=True)
        file.create_dataset("label", data=np.zeros(2, dtype=np.uint8))
    lines = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in points)
    for kind in ("xyz", "txt", "pts"):
        (folder / f"points.{kind}").write_text(lines, encoding="ascii")
    fields = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    head = f"# .PCD v0.7\nVERSION 0.7\n{fields}WIDTH {len(points)}\nHEIGHT 1\nPOINTS {len(points)}\nDATA ".encode()
    (folder / "points.pcd").write_bytes(head + b"ascii\n" + lines.encode())
    (folder / "binary.pcd").write_bytes(head + b"binary\n" + points.tobytes())
    raw = np.ascontiguousarray(points.T).tobytes()
    packed = b"".join(bytes([len(raw[i : i + 32]) - 1]) + raw[i : i + 32] for i in range(0, len(raw), 32))
    (folder / "compressed.pcd").write_bytes(head + b"binary_compressed\n" + struct.pack("<II", len(packed), len(raw)) + packed)
    _write_las(folder, points)


def _write_las(folder: Path, points: np.ndarray) -> None:
    try:
        import laspy
    except ModuleNotFoundError:
        return
    las = laspy.create(point_format=2)
    las.x, las.y, las.z = points.T
    for kind in ("las", "laz"):
        out = io.BytesIO()
        las.write(out, do_compress=kind == "laz")
        (folder / f"points.{kind}").write_bytes(out.getvalue())
