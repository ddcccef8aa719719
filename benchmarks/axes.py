"""How often the up axis of a file is found, alone and together with the files of its folder.

    python benchmarks/axes.py --shapes SHAPES --real REAL_FILES
    python benchmarks/axes.py --shapes SHAPES --fit

SHAPES is a folder of labelled shapes, its table beside it. The shapes of test makers (`basrelief.datasets.maker_split`), which chose
nothing, are written with +Y, +Z, -Z and +X up in four formats, without a mark of the exporter and, with the axis that it writes by
default, with Blender's. A pack is a folder; of each, at most `--most` shapes are written, and those with at least four count as folders.
*Mixture* weighs +Y and +Z as the prior of the format does, which is how often the answer is right on files as the prior expects them.
REAL_FILES holds `files.csv` with the columns `file`, `origin` and `up_axis`; those files chose nothing, either. `--fit` fits the weights
of `basrelief.geometry.up_axis` to the shapes of the training makers.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from scipy.optimize import minimize

from basrelief.datasets import maker_split
from basrelief.errors import BasreliefError
from basrelief.geometry import UP_AXES, normalise_unit_sphere, rotate, rotation_to_z_up, sample_surface
from basrelief.geometry.up_axis import POINTS, placement
from basrelief.geometry.upright import upright_cues
from basrelief.geometry.upright_network import axis_scores
from basrelief.io import load
from basrelief.io.folder_axis import FolderAxes
from basrelief.io.load import axis_evidence
from basrelief.io.up_axis import AxisEvidence, choose_axis
from basrelief.train.data import ShapeFile, list_shapes
from basrelief.types import Mesh

AXES = ("y", "z", "-z", "x")
FORMATS = ("obj", "stl", "ply", "off")
MARKS = {
    "obj": ("y", b"# Blender 4.2.0"),
    "stl": ("z", b"Exported from Blender-2.93.0"),
    "ply": ("z", b"comment Created in Blender version 4.2.0"),
}
LEAST = 4
RIDGE = 1e-4


@dataclass(frozen=True)
class Written:
    """A file with a known axis; `case` is its axis, or `marked`."""

    path: Path
    axis: str
    case: str


def write(mesh: Mesh, path: Path, axis: str, mark: bytes = b"") -> Path:
    """Write a shape with an axis up as trimesh does, with its mark taken out or replaced."""
    turned = rotate(mesh, rotation_to_z_up(axis).T)
    data = trimesh.Trimesh(turned.vertices, turned.faces, process=False).export(file_type=path.suffix[1:])
    data = data.encode() if isinstance(data, str) else data
    own = b"https://github.com/mikedh/trimesh"
    data = data.replace(b"# " + own, mark or b"#", 1).replace(b"comment " + own, mark or b"comment", 1)
    path.write_bytes(mark.ljust(80, b"\0") + data[80:] if path.suffix == ".stl" else data)
    return path


def write_pack(task: tuple[Path, Sequence[ShapeFile]]) -> list[Written]:
    """Write the shapes of a pack in every format and axis, each in a folder of its own."""
    home, rows = task
    found = []
    for number, row in enumerate(rows):
        mesh = load(row.path, up="z")
        if not isinstance(mesh, Mesh):
            continue
        cases = [(kind, axis, axis, b"") for kind in FORMATS for axis in AXES]
        cases += [(kind, "marked", axis, mark) for kind, (axis, mark) in MARKS.items()]
        for kind, case, axis, mark in cases:
            folder = home / f"{kind}_{case}"
            folder.mkdir(parents=True, exist_ok=True)
            found.append(Written(write(mesh, folder / f"{number}.{kind}", axis, mark), axis, case))
    return found


def read(path: Path) -> AxisEvidence | str | None:
    """Return what a file says; its axis if it states one; None if it cannot be read."""
    try:
        evidence = axis_evidence(path)
        if evidence is not None:
            return evidence
        origin = load(path).origin
        return origin.up if origin else None
    except BasreliefError:
        return None


def answers(known: Mapping[Path, AxisEvidence | str | None]) -> Iterator[tuple[Path, str, str]]:
    """Yield each file with its axis alone and with its folder."""
    votes = FolderAxes(known).votes(list(known), lambda sample: [e if isinstance(e := known[p], AxisEvidence) else None for p in sample])
    for path, evidence in known.items():
        if isinstance(evidence, str):
            yield path, evidence, evidence
        elif evidence is not None:
            vote = votes.get(path)
            choice = vote.choice if vote is not None else None
            yield path, choose_axis(evidence).up, (choice or choose_axis(evidence, vote)).up


def measure_real(root: Path, pool: ProcessPoolExecutor) -> None:
    """Print the accuracy by origin and format."""
    with (root / "files.csv").open(newline="", encoding="utf-8") as lines:
        rows = {root / row["file"]: row for row in csv.DictReader(lines) if row["up_axis"]}
    known = dict(zip(rows, pool.map(read, rows, chunksize=4), strict=True))
    right: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for path, alone, together in answers(known):
        row = rows[path]
        right[row["origin"], path.suffix[1:]].append((alone == row["up_axis"], together == row["up_axis"]))
    print(f"\nreal files: {len(rows)}\n| origin | format | files | alone | folder |\n|---|---|---|---|---|")
    for (origin, kind), hits in sorted(right.items()):
        print(f"| {origin} | {kind} | {len(hits)} | {share([a for a, _ in hits])} | {share([b for _, b in hits])} |")


def measure_shapes(packs: Mapping[str, Sequence[ShapeFile]], pool: ProcessPoolExecutor) -> None:
    """Print the accuracy by format and axis."""
    with tempfile.TemporaryDirectory() as home:
        tasks = [(Path(home) / str(number), rows) for number, rows in enumerate(packs.values())]
        written = [item for pack in pool.map(write_pack, tasks) for item in pack]
        known = dict(zip((item.path for item in written), pool.map(read, (item.path for item in written), chunksize=8), strict=True))
        prior = {item.path.suffix[1:]: e.prior for item in written if item.case == "y" and isinstance(e := known[item.path], AxisEvidence)}
        folder_of = {folder: {path: known[path] for path in paths} for folder, paths in by_folder(known).items()}
        found = {path: (alone, together) for part in folder_of.values() for path, alone, together in answers(part)}
    files: dict[tuple[str, str], list[bool]] = defaultdict(list)
    folders: dict[tuple[str, str], dict[Path, bool]] = defaultdict(dict)
    for item in written:
        if item.path in found:
            alone, together = found[item.path]
            key = item.path.suffix[1:], item.case
            files[key].append(alone == item.axis)
            if len(folder_of[item.path.parent]) >= LEAST:
                folders[key][item.path.parent] = together == item.axis
    shapes = sum(map(len, packs.values()))
    print(f"\n{shapes} shapes of {len(packs)} packs, written without marks, and with Blender's\n")
    print(f"| format | {' | '.join(f'{a} up' for a in AXES)} | mixture | marked | folders: {' | '.join(AXES)} | marked |")
    print("|" + "---|" * (2 * len(AXES) + 4))
    for kind in FORMATS:
        y, z = np.exp(prior[kind][[UP_AXES.index("y"), UP_AXES.index("z")]])
        mixed = (y * np.mean(files[kind, "y"]) + z * np.mean(files[kind, "z"])) / (y + z)
        alone = " | ".join(share(files[kind, axis]) for axis in AXES)
        together = " | ".join(share(list(folders[kind, axis].values())) for axis in AXES)
        marked = (share(files[kind, "marked"]), share(list(folders[kind, "marked"].values()))) if kind in MARKS else ("", "")
        print(f"| {kind} | {alone} | {mixed:.1%} | {marked[0]} | {together} | {marked[1]} |")


def by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Group files by their folder."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.parent].append(path)
    return found


def share(hits: Sequence[bool]) -> str:
    """Format a share of right answers."""
    return f"{np.mean(hits):.1%}" if hits else "-"


def features(row: ShapeFile) -> np.ndarray | None:
    """Return (6, 13) of a shape, +Z up: the network's score, cues and placement of each axis."""
    mesh = load(row.path, up="z")
    if not isinstance(mesh, Mesh):
        return None
    cloud = normalise_unit_sphere(sample_surface(mesh, POINTS).points.astype(np.float64))
    cues = np.stack([upright_cues(cloud @ rotation_to_z_up(axis).T) for axis in UP_AXES])
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    return np.concatenate([axis_scores(cloud)[:, None], cues, placement(low, high)], axis=1)


def fit(rows: Sequence[ShapeFile], pool: ProcessPoolExecutor) -> None:
    """Print the weights with the least cross entropy of +Z among the six axes."""
    table = np.stack([item for item in pool.map(features, rows, chunksize=8) if item is not None])
    up = UP_AXES.index("z")

    def loss(weights: np.ndarray) -> float:
        scores = table @ weights
        return float((np.logaddexp.reduce(scores, axis=1) - scores[:, up]).mean() + RIDGE * weights @ weights)

    weights = minimize(loss, np.full(table.shape[2], 0.5)).x
    right = (table @ weights).argmax(axis=1) == up
    print(f"{len(table)} shapes, {right.mean():.1%} right among six axes\n_NETWORK = {weights[0]:.2f}")
    print(f"_CUES = {tuple(weights[1:8].round(2).tolist())}\n_PLACEMENT = {tuple(weights[8:].round(2).tolist())}")


def chosen(rows: Sequence[ShapeFile], most: int) -> dict[str, list[ShapeFile]]:
    """At most `most` shapes of each pack, the same every time."""
    packs: dict[str, list[ShapeFile]] = defaultdict(list)
    for row in rows:
        packs[row.group].append(row)
    random = np.random.default_rng(0)
    return {group: [members[i] for i in random.permutation(len(members))[:most]] for group, members in sorted(packs.items())}


def main() -> None:
    """Measure or fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of labelled shapes, its table beside it")
    parser.add_argument("--real", type=Path, help="folder of real files with files.csv")
    parser.add_argument("--part", choices=("validation", "test"), default="test", help="makers of the shapes that are written")
    parser.add_argument("--most", type=int, default=12, help="shapes of a pack")
    parser.add_argument("--fit", action="store_true", help="fit the weights to the shapes of the training makers instead")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    split = maker_split()
    with ProcessPoolExecutor(given.jobs) as pool:
        if given.fit:
            fit([row for row in list_shapes(given.shapes) if split.part(row.group) == "train"], pool)
            return
        if given.real:
            measure_real(given.real, pool)
        if given.shapes:
            rows = [row for row in list_shapes(given.shapes) if split.part(row.group) == given.part]
            measure_shapes(chosen(rows, given.most), pool)


if __name__ == "__main__":
    main()
