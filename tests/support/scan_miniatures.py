"""Small annotated scans in the exact formats of ScanNet's release and of VoteNet's exports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from basrelief.datasets.scans.split_lists import published_val
from basrelief.geometry.boxes import Boxes
from basrelief.geometry.transforms import axis_rotation
from basrelief.io import save
from basrelief.types import Mesh
from support.small_models import box

VAL = published_val()[:2]
TRAIN = "scene0000_00"
LABELS = (
    ("raw_category", "category", "nyu40id", "nyu40class"),
    ("chair", "chair", "5", "chair"),
    ("office chair", "office chair", "5", "chair"),
    ("couch", "couch", "6", "sofa"),
    ("trash can", "trash can", "39", "otherfurniture"),
    ("dresser", "dresser", "17", "dresser"),
    ("floor", "floor", "2", "floor"),
)


@dataclass(frozen=True)
class Thing:
    """A box-shaped object of a scan: raw category, lowest corner and size, metres in the aligned frame."""

    raw: str
    low: tuple[float, float, float]
    size: tuple[float, float, float]


FLOOR = Thing("floor", (0, 0, -0.1), (4, 3, 0.1))
THINGS = (
    FLOOR,
    Thing("office chair", (0.5, 0.5, 0), (0.6, 0.6, 0.9)),
    Thing("couch", (2, 0.4, 0), (1.8, 0.9, 0.8)),
    Thing("dresser", (0.2, 2.2, 0), (1, 0.5, 1.1)),
    Thing("trash can", (3.5, 2.5, 0), (0.3, 0.3, 0.4)),
)
NYU40 = {row[0]: int(row[2]) for row in LABELS[1:]}


@dataclass(frozen=True)
class Scan:
    """What a scan holds, and how its walls are turned in the file."""

    things: Sequence[Thing] = THINGS
    yaw: float = 0.3
    offset: tuple[float, float, float] = (1.5, -0.5, 0.25)
    matrix: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        matrix = np.eye(4)
        matrix[:3, :3] = axis_rotation("z", self.yaw)
        matrix[:3, 3] = self.offset
        object.__setattr__(self, "matrix", matrix)

    def mesh(self) -> Mesh:
        """The mesh in the aligned frame; 8 vertices a thing."""
        parts = [box(size=thing.size) for thing in self.things]
        vertices = np.concatenate([part.vertices + np.float32(thing.low) for part, thing in zip(parts, self.things, strict=True)])
        faces = np.concatenate([part.faces + 8 * i for i, part in enumerate(parts)])
        return Mesh(vertices, faces, np.full((len(vertices), 3), 0.4, dtype=np.float32))

    def unaligned(self) -> Mesh:
        """The mesh as the release stores it."""
        mesh, inverse = self.mesh(), np.linalg.inv(self.matrix)
        return Mesh((mesh.vertices @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.float32), mesh.faces, mesh.colors)

    def segments(self) -> list[int]:
        """Two segments a thing, their ids in no order."""
        return [1000 - 7 * (vertex // 4) for vertex in range(8 * len(self.things))]

    def groups(self) -> list[dict[str, object]]:
        """The objects, as `.aggregation.json` lists them."""
        own = [list(dict.fromkeys(self.segments()[8 * i : 8 * i + 8])) for i in range(len(self.things))]
        return [
            {"id": i, "objectId": i, "segments": segments, "label": thing.raw}
            for i, (segments, thing) in enumerate(zip(own, self.things, strict=True))
        ]

    def boxes(self, *raw: str) -> Boxes:
        """The boxes of the things of some raw categories, in the aligned frame."""
        low = np.array([thing.low for thing in self.things if thing.raw in raw])
        return Boxes.from_bounds(low, low + [thing.size for thing in self.things if thing.raw in raw])


def write_labels(folder: Path) -> None:
    """`scannetv2-labels.combined.tsv`, a few rows and columns of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scannetv2-labels.combined.tsv").write_text("\n".join("\t".join(row) for row in LABELS) + "\n")


def write_scan(folder: Path, name: str, scan: Scan | None = None) -> None:
    """The four files of one scan."""
    scan = scan or Scan()
    save(scan.unaligned(), folder / f"{name}_vh_clean_2.ply")
    (folder / f"{name}.aggregation.json").write_text(json.dumps({"sceneId": f"scannet.{name}", "segGroups": scan.groups()}))
    segments = {"params": {"kThresh": "0.0001"}, "sceneId": name, "segIndices": scan.segments()}
    (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    values = " ".join(f"{value:.6f}" for value in scan.matrix.ravel())
    (folder / f"{name}.txt").write_text(f"axisAlignment = {values} \ncolorHeight = 968\nsceneType = Office\n")


def scannet(root: Path, *, names: Sequence[str] = (*VAL, TRAIN), scan: Scan | None = None) -> Path:
    """`scans/ID/` with the four files of each scan, and the table of labels."""
    write_labels(root)
    for name in names:
        write_scan(root / "scans" / name, name, scan)
    return root


def votenet(root: Path, *, names: Sequence[str] = (*VAL, TRAIN), aligned: bool = True) -> Path:
    """`scannet_train_detection_data/ID_vert.npy` and its companions; if not `aligned`, as MMDetection3D writes them."""
    folder = root / "scannet_train_detection_data"
    folder.mkdir(parents=True)
    scan = Scan()
    wanted = [thing for thing in THINGS if NYU40[thing.raw] in (5, 6, 39)]
    boxes = scan.boxes(*(thing.raw for thing in wanted))
    table = np.column_stack([boxes.centers, boxes.sizes, [NYU40[thing.raw] for thing in wanted]])
    mesh = scan.mesh() if aligned else scan.unaligned()
    for name in names:
        np.save(folder / f"{name}_vert.npy", np.column_stack([mesh.vertices, 255 * mesh.colors]).astype(np.float32))
        np.save(folder / f"{name}_ins_label.npy", np.repeat(np.arange(1, 1 + len(THINGS)), 8).astype(np.uint32))
        np.save(folder / f"{name}_sem_label.npy", np.repeat([NYU40[thing.raw] for thing in THINGS], 8).astype(np.uint32))
        np.save(folder / f"{name}_{'' if aligned else 'aligned_'}bbox.npy", table)
        if not aligned:
            np.save(folder / f"{name}_axis_align_matrix.npy", scan.matrix)
    return root


def sunrgbd(root: Path, *, splits: Sequence[str] = ("train", "val"), version: int = 1) -> Path:
    """`sunrgbd_pc_bbox_votes_50k_v1_{train,val}/000001_pc.npz`: a chair whose front points to +y, and a bed."""
    for number, split in enumerate(splits):
        folder = root / f"sunrgbd_pc_bbox_votes_50k_v{version}_{split}"
        folder.mkdir(parents=True)
        for name in (f"{2 * number + 1:06d}", f"{2 * number + 2:06d}"):
            random = np.random.default_rng(int(name))
            np.savez_compressed(folder / f"{name}_pc.npz", pc=random.random((200, 6)))
            chair = (1, 2, 0.5, 0.4, 0.3, 0.5, -np.pi / 2, 3)
            np.save(folder / f"{name}_bbox.npy", np.array([chair, (0, 3, 0.3, 1, 0.8, 0.3, 0.25, 0)]))
            np.savez_compressed(folder / f"{name}_votes.npz", point_votes=np.zeros((200, 10)))
    return root
