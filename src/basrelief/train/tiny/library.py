"""Training data of `tiny`: shapes in memory, and a library of shapes with pictures."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from basrelief.datasets import maker_split, open_benchmark
from basrelief.errors import ConfigError
from basrelief.io import save
from basrelief.output import replace_file
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.shapes.furniture_seats import SEATS
from basrelief.shapes.furniture_tables import TABLES
from basrelief.train.data import GENERATED, ShapeSet, generated_shapes, list_shapes, made_by, merge, read_shapes
from basrelief.train.depth_aligned.make import AlignedMaker
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from basrelief.train.depth_aligned.settings import AlignedSettings
from basrelief.train.records.make import Workers, make_records
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.vision import Pictures
from basrelief.types import Progress

_LEAST_FILES = 4  # of a class that may be unseen


def training_shapes(folder: Path, settings: TinySettings, *, points: int = 4096) -> ShapeSet:
    """Sample all shapes: files in the order of their table, held-out packs included, then generated shapes.

    Args:
        folder: Folder of labelled shapes, see `read_shapes`.
        settings: Numbers of generated shapes.
        points: Points per shape.
    """
    files = read_shapes(folder, count=points, seed=settings.seed)
    return merge([files, *(generated_shapes(names, each, count=points) for names, each in _generated(settings) if names)])


def choose_unseen_classes(shapes: ShapeSet, held_out: Sequence[str], *, settings: TinySettings) -> tuple[str, ...]:
    """Sample the classes to leave out of the training, among those with four files or more.

    Raises:
        ConfigError: If there are too few.
    """
    files = torch.tensor([group != GENERATED and maker_split().part(group) != "test" for group in shapes.group])
    count = torch.bincount(shapes.label[files], minlength=len(shapes.names)).tolist()
    many = sorted(name for name, n in zip(shapes.names, count, strict=True) if n >= _LEAST_FILES)
    if settings.unseen_classes > len(many):
        raise ConfigError(f"unseen_classes is {settings.unseen_classes}; {len(many)} classes have {_LEAST_FILES} files or more. Lower it.")
    return tuple(sorted(random.Random(settings.seed).sample(many, settings.unseen_classes)))


def split(shapes: ShapeSet, held_out: Sequence[str], *, settings: TinySettings) -> tuple[np.ndarray, ShapeSet, ShapeSet]:
    """Return a mask of the training shapes, the validation shapes without unseen classes, and the files of unseen classes.

    Test shapes (`basrelief.datasets.maker_split`) are in none of them.

    Raises:
        ConfigError: If there are no validation shapes, or too few classes to leave out.
    """
    missing = choose_unseen_classes(shapes, held_out, settings=settings)
    unseen = np.isin(np.array(shapes.names)[shapes.label.numpy()], missing)
    held, test = made_by(shapes, held_out), made_by(shapes, maker_split().test)
    if not held.any():
        raise ConfigError(f"No shape comes from a validation pack or creator ({', '.join(held_out)}). Check the table beside the shapes.")
    files = np.array([group != GENERATED for group in shapes.group])
    return ~held & ~test & ~unseen, shapes.select(held & ~test & ~unseen), shapes.select(unseen & files & ~test)


def write_library_shapes(folder: Path, shapes: ShapeSet, keep: np.ndarray, out: Path, *, settings: TinySettings) -> Path:
    """Write the training shapes that get pictures as `CLASS/ROW.ply`: all files, and the first generated shapes of each category.

    Args:
        folder: Folder of the labelled shapes.
        shapes: From `training_shapes`.
        keep: Mask of the training shapes.
        out: Folder of the library; existing files are kept.
        settings: Number of generated shapes with pictures.
    """
    files = list_shapes(folder)
    made = [(name, seed) for names, each in _generated(settings) for name in names for seed in range(each)]
    for row in np.flatnonzero(keep).tolist():
        name = shapes.names[int(shapes.label[row])]
        target = out / name.replace(" ", "_") / f"{row:06d}.ply"
        generated = row - len(files)
        if target.is_file() or (generated >= 0 and made[generated][1] >= settings.images_per_class):
            continue
        with replace_file(target) as part:
            if generated >= 0:
                save(make_shape(made[generated][0], seed=made[generated][1]), part)
            else:
                shutil.copyfile(files[row].path, part)
    return out


def draw_library(library: Path, out: Path, *, settings: TinySettings, jobs: int, progress: Progress | None = None) -> AlignedSet:
    """Render contour-aware depth maps and shaded pictures of the library; existing ones are kept.

    Args:
        library: From `write_library_shapes`.
        out: Folder of the records.
        settings: Only the seed is used.
        jobs: Worker processes.
        progress: Called after each shape.
    """
    style = AlignedSettings(source="shaded", size=PROJECTION.size, points=4096, seed=settings.seed)
    make_records(open_benchmark(library, up="z"), out, maker=AlignedMaker(style), workers=Workers(jobs), progress=progress)
    return open_aligned(out)


def load_pictures(aligned: AlignedSet, keep: np.ndarray) -> Pictures:
    """Load all pictures and depth maps, with the index of their shape among the training shapes.

    Args:
        aligned: From `draw_library`.
        keep: Mask of the training shapes.
    """
    place = np.cumsum(keep) - 1
    rows = [int(place[int(key.rsplit("-", 2)[1])]) for key in aligned.keys]  # CLASS-ROW-HASH
    colour = torch.from_numpy(np.stack([aligned.pictures(row) for row in range(len(aligned))]))
    depth = torch.from_numpy(np.stack([aligned.depth(row) for row in range(len(aligned))]))
    return Pictures(colour, depth, torch.tensor(rows))


def _generated(settings: TinySettings) -> tuple[tuple[list[str], int], tuple[list[str], int]]:
    """Return categories and shapes per category, in the order of the shape set."""
    some = [name for name in CATEGORIES if name in SEATS or name in TABLES]
    return (some, settings.furniture_per_class), ([name for name in CATEGORIES if name not in some], settings.others_per_class)
