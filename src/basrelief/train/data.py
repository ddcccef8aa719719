"""Training shapes in memory: surface samples of labelled files and generated shapes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.datasets import maker_split
from basrelief.errors import FileFormatError
from basrelief.geometry import normalise_unit_sphere, sample_surface, subsample
from basrelief.io import load
from basrelief.output import replace_file
from basrelief.shapes import make_shape
from basrelief.types import Mesh, Shape

GENERATED = "generated"
"""Group of shapes from `basrelief.shapes.make_shape`."""


@dataclass(frozen=True, eq=False)
class ShapeSet:
    """Labelled surface samples, each centred on its bounding box and scaled to the unit sphere, world frame.

    Attributes:
        points: (S, N, 3) float16, sampled uniformly over each surface.
        label: (S,) int64 indices of `names`.
        names: Class names.
        group: Pack and creator of each shape; a split never divides a group.
    """

    points: Float[Tensor, "shapes points 3"]
    label: Int[Tensor, " shapes"]
    names: tuple[str, ...]
    group: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def select(self, keep: Sequence[bool] | np.ndarray) -> ShapeSet:
        """Return the shapes where `keep` is true, with the same class names."""
        chosen = torch.as_tensor(np.flatnonzero(np.asarray(keep)))
        return ShapeSet(self.points[chosen], self.label[chosen], self.names, tuple(self.group[i] for i in chosen.tolist()))


def surface_points(shape: Shape, count: int, *, seed: int = 0) -> Float[np.ndarray, "points 3"]:
    """Sample points of a shape, centred on the bounding box and scaled to the unit sphere, float16."""
    cloud = sample_surface(shape, count, seed=seed) if isinstance(shape, Mesh) else subsample(shape, count, seed=seed)
    return normalise_unit_sphere(cloud.points, centre="bbox").astype(np.float16)


@dataclass(frozen=True)
class ShapeFile:
    """A labelled file.

    Attributes:
        path: Path of the file.
        name: Class name.
        group: Pack and creator.
    """

    path: Path
    name: str
    group: str


def list_shapes(folder: Path) -> list[ShapeFile]:
    """Read the table beside a folder of labelled shapes.

    Args:
        folder: Contains `<class>/<id>.ply`; `<folder>.csv` lists `class`, `id`, `source_pack` and `creator`.

    Raises:
        FileFormatError: If the table is missing.
    """
    table = folder.with_suffix(".csv")
    if not table.is_file():
        raise FileFormatError(f"There is no table {table.name} beside {str(folder)!r}. Pass the folder of labelled shapes.")
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [
        ShapeFile(folder / row["class"].replace(" ", "_") / f"{row['id']}.ply", row["class"], f"{row['source_pack']} / {row['creator']}")
        for row in rows
    ]


def read_shapes(folder: Path, *, count: int = 8192, seed: int = 0) -> ShapeSet:
    """Sample every shape in the table beside a folder, in the order of the table.

    Args:
        folder: See `list_shapes`.
        count: Points per shape.
        seed: Seed of the first shape's points; it increases by one per shape.

    Raises:
        FileFormatError: If the table is missing.
    """
    rows = list_shapes(folder)
    names = tuple(sorted({row.name for row in rows}))
    points = np.stack([surface_points(load(row.path, up="z"), count, seed=seed + i) for i, row in enumerate(rows)])
    label = torch.tensor([names.index(row.name) for row in rows])
    return ShapeSet(torch.from_numpy(points), label, names, tuple(row.group for row in rows))


def generated_shapes(categories: Sequence[str], each: int, *, count: int = 4096, seed: int = 0) -> ShapeSet:
    """Generate and sample `each` shapes of every category; shape i of a category has seed `seed + i`."""
    points = np.stack([surface_points(make_shape(name, seed=seed + i), count, seed=seed + i) for name in categories for i in range(each)])
    label = torch.arange(len(categories)).repeat_interleave(each)
    return ShapeSet(torch.from_numpy(points), label, tuple(categories), (GENERATED,) * len(points))


def merge(sets: Sequence[ShapeSet]) -> ShapeSet:
    """Join shape sets of the same number of points under the union of their class names."""
    names = tuple(sorted({name for one in sets for name in one.names}))
    position = {name: i for i, name in enumerate(names)}
    label = torch.cat([torch.tensor([position[name] for name in one.names])[one.label] for one in sets])
    return ShapeSet(torch.cat([one.points for one in sets]), label, names, tuple(group for one in sets for group in one.group))


def save_shapes(shapes: ShapeSet, path: Path) -> None:
    """Save a shape set, so that a resumed run does not sample it again."""
    record = {"points": shapes.points, "label": shapes.label, "names": list(shapes.names), "group": list(shapes.group)}
    with replace_file(path) as part:
        torch.save(record, part)


def load_shapes(path: Path) -> ShapeSet:
    """Load a shape set saved by `save_shapes`."""
    record = torch.load(path, weights_only=True)
    return ShapeSet(record["points"], record["label"], tuple(record["names"]), tuple(record["group"]))


def made_by(shapes: ShapeSet, makers: Iterable[str]) -> Bool[np.ndarray, " shapes"]:
    """Return which shapes come from one of the packs or creators, given by name or a part of it."""
    wanted = tuple(makers)
    return np.array([any(name in group for name in wanted) for group in shapes.group], dtype=bool)


def split_by_maker(shapes: ShapeSet) -> tuple[ShapeSet, ShapeSet, ShapeSet]:
    """Split into training, validation and test shapes by `basrelief.datasets.maker_split`; generated shapes are for training."""
    split = maker_split()
    parts = np.array([split.part(group) for group in shapes.group])
    train, validation, test = (shapes.select(parts == part) for part in ("train", "validation", "test"))
    return train, validation, test


def sampling_weights(shapes: ShapeSet, *, sampling_power: float, file_weight: float = 1.0) -> Float[Tensor, " shapes"]:
    """Return the sampling probability of each shape; they sum to 1.

    Args:
        shapes: Shapes to sample from.
        sampling_power: A class of n shapes is drawn in proportion to n ** sampling_power.
        file_weight: Weight of a shape read from a file; a generated shape of its class has weight 1.
    """
    each = torch.tensor([1.0 if group == GENERATED else file_weight for group in shapes.group])
    number = torch.bincount(shapes.label, minlength=len(shapes.names)).float()
    mass = torch.zeros(len(shapes.names)).index_add(0, shapes.label, each)
    weight = each / mass[shapes.label] * number[shapes.label] ** sampling_power
    return weight / weight.sum()
