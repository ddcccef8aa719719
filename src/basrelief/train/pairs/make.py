"""Make the pairs of a whole library, see `basrelief.train.records`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from basrelief.train.pairs.draw import RIG, DrawnPair, PairSettings, draw_pair
from basrelief.train.records.store import Record
from basrelief.types import Shape

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


def _npy(points: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, points)
    return data.getvalue()
