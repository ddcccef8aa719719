"""Find the things in a scan in a worker process: a box, a picture and the points of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from basrelief.errors import GeometryError
from basrelief.geometry.box_iou import suppress
from basrelief.geometry.descriptor import DESCRIPTOR_SIZE
from basrelief.index.files import FileEntry
from basrelief.index.places import place_row
from basrelief.index.read import FileOptions, thumbnail_of, view_sheet
from basrelief.index.schema import BOX_MARK
from basrelief.models import Model
from basrelief.scenes import CropSettings, Proposals, Scene, embed_boxes, prepare_scene, propose
from basrelief.scenes.crops import crop_points, upright_crop

LIMIT = 200
"""Boxes of a scan at most."""

_SAME_THING = 0.5  # boxes that overlap a better one by more are left out
_POINTS = 20_000  # of a box at most


@dataclass(frozen=True, eq=False)
class ScanBoxes:
    """What the library stores of the things in a scan, embeddings excepted.

    Attributes:
        scene: The points of the boxes, in the scene frame.
        proposals: N boxes with their points in `scene`, best first.
        counts: Number of points of each box in the scan.
        thumbnails: WebP picture of each.
        sheets: What the model reads of each, as pictures side by side, WebP.
    """

    scene: Scene
    proposals: Proposals
    counts: tuple[int, ...]
    thumbnails: tuple[bytes, ...]
    sheets: tuple[bytes, ...]

    def __len__(self) -> int:
        """Return N."""
        return len(self.proposals)


def find_boxes(path: Path, options: FileOptions) -> ScanBoxes | None:
    """Propose boxes in a scan and draw a picture of each.

    Args:
        path: The file.
        options: How files become what the model reads.

    Returns:
        At most `LIMIT` boxes; None if the file cannot be used as a scan, or turns out to show a single object after all.

    Raises:
        FileFormatError: If it cannot be read.
    """
    shape = options.load(path)
    try:
        scene = prepare_scene(shape)
    except GeometryError:
        return None
    if scene.kind == "object" and options.scenes != "all":
        return None
    del shape
    found = crop_points(scene, propose(scene, limit=LIMIT, seed=options.seed), CropSettings())
    found = found.select(suppress(found.boxes, found.scores, iou=_SAME_THING))
    counts = tuple(len(rows) for rows in found.points or ())
    scene, found = _smaller(scene, found, seed=options.seed)
    crops = [upright_crop(scene, found, number) for number in range(len(found))]
    sheets = tuple(view_sheet(options.input, options.prepare(crop)) for crop in crops)
    return ScanBoxes(scene, found, counts, tuple(thumbnail_of(crop) for crop in crops), sheets)


def _smaller(scene: Scene, found: Proposals, *, seed: int) -> tuple[Scene, Proposals]:
    """Keep the points of boxes only, and of each box at most `_POINTS`, because they pass between processes."""
    random = np.random.default_rng(seed)
    rows = [inside if len(inside) <= _POINTS else np.sort(random.choice(inside, _POINTS, replace=False)) for inside in found.points or ()]
    kept = np.unique(np.concatenate(rows)) if rows else np.zeros(1, dtype=np.int64)
    points = tuple(np.searchsorted(kept, inside) for inside in rows)
    return replace(scene, cloud=scene.select(kept), structure=scene.structure[kept]), replace(found, points=points)


def box_rows(model: Model, file: FileEntry, boxes: ScanBoxes | None, *, seed: int) -> list[dict[str, Any]]:
    """Embed the boxes of a scan and return their rows, without tags; no rows for no scan."""
    if boxes is None:
        return []
    own = CropSettings("own", min_points=1)
    embedded = embed_boxes(boxes.scene, boxes.proposals, model, crops=own, seed=seed)
    vectors = model.pool_embeddings(torch.from_numpy(embedded.views)).numpy()
    places = map(place_row, *boxes.scene.boxes_in_file(boxes.proposals.boxes))
    return [
        {
            **box_columns(file, str(number)),
            **place,
            "format": file.suffix,
            "kind": "box",
            "faces": 0,
            "points": boxes.counts[number],
            "form": np.zeros(DESCRIPTOR_SIZE, dtype=np.float32),  # never compared; LanceDB wants a vector
            "vector": vectors[number],
            "views": embedded.views[number].ravel().astype(np.float16),
            "thumbnail": boxes.thumbnails[number],
            "sheet": boxes.sheets[number],
        }
        for number, place in enumerate(places)
    ]


def box_columns(file: FileEntry, number: str) -> dict[str, Any]:
    """Return the columns of a box that say which file it belongs to."""
    end = f"{BOX_MARK}{number}"
    return {**asdict(file.state), "path": file.key + end, "relative_path": file.relative_path + end, "name_words": "", "scan": file.key}
