"""Make the pairs of a whole library, see `basrelief.train.records`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.datasets import Benchmark
from basrelief.train.pairs.draw import RIG, DrawnPair, PairSettings, draw_pair
from basrelief.train.records import Record, Workers, make_records
from basrelief.types import Progress, Shape

FORMAT = "basrelief pairs 1"


@dataclass(frozen=True)
class PairMaker:
    """A `RecordMaker` of ten pictures and points of every shape: `points.npy`, `0.png` to `9.png`."""

    style: PairSettings = field(default_factory=PairSettings)
    format: str = FORMAT
    batch_size: int = 1

    def manifest(self) -> dict[str, Any]:
        """Return rig and settings."""
        return {"rig": RIG, "style": asdict(self.style)}

    @property
    def draw(self) -> Callable[[Shape, str], DrawnPair]:
        """Render one shape."""
        return partial(draw_pair, style=self.style)

    def finish(self, drawn: Sequence[tuple[str, DrawnPair]]) -> list[Record]:
        """Return the files of each shape."""
        return [
            {"points.npy": _npy(pair.points), **{f"{view}.png": picture for view, picture in enumerate(pair.pictures)}} for _, pair in drawn
        ]


def make_pairs(
    library: Benchmark,
    out: Path,
    *,
    style: PairSettings | None = None,
    layout: str = "shards",
    jobs: int = 0,
    progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """Render every shape of a library, see `make_records`.

    Args:
        library: From `open_benchmark`, such as ShapeNetCore or any tree of class folders.
        out: Folder for the pairs; `failed.jsonl` in it lists shapes that could not be drawn.
        style: Settings; the paper's when None.
        layout: `shards` (tar files of 100 shapes) or `folders` (one for each shape).
        jobs: Worker processes; 0 renders in this process, without a time or memory limit.
        progress: Called after each shape.

    Returns:
        Name and reason of every failure, of this run and earlier ones.

    Raises:
        ConfigError: If the layout is unknown or the folder holds other pairs.
    """
    return make_records(library, out, maker=PairMaker(style or PairSettings()), layout=layout, workers=Workers(jobs), progress=progress)


def _npy(points: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, points)
    return data.getvalue()
