"""Cut the points of proposed boxes out of a scan and embed them: once, whatever is asked of them later."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from basrelief.checks import check_at_least, check_positive
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.box_iou import points_in_boxes
from basrelief.geometry.boxes import Boxes
from basrelief.geometry.transforms import axis_rotation
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene
from basrelief.types import PointCloud, Progress

if TYPE_CHECKING:
    from basrelief.models import Model
    from basrelief.models.shape_input import Prepared

SOURCES = ("own", "box", "objects")
_BOXES_PER_PASS = 8


@dataclass(frozen=True)
class CropSettings:
    """Which points stand for a box.

    Attributes:
        source: `own`: the points that the proposal was made of, or `objects` if the method gives none; `objects`: all points in the box
            without floor, walls and ceiling; `box`: all points in the box.
        margin: Metres by which a box grows on every side when points are cut out, because boxes of one-sided scans are tight.
        min_points: A box with fewer points is dropped.

    Raises:
        ConfigError: If a value is out of range.
    """

    source: str = "objects"
    margin: float = 0.03
    min_points: int = 32

    def __post_init__(self) -> None:
        """Check every field."""
        if self.source not in SOURCES:
            raise ConfigError(unknown_choice("crop source", self.source, SOURCES))
        check_positive("margin", self.margin, "Pass metres.", zero=True)
        check_at_least("min_points", self.min_points, 1, "An empty box cannot be labelled.")


@dataclass(frozen=True)
class FirstPass:
    """A cheap look at every box, for models that are slow: only the most promising ones are embedded in full.

    Attributes:
        labels: What is looked for.
        keep: Boxes to embed in full: those with the largest product of objectness and likeness to a label.
        views: Views that the first look takes; a point network has one only and takes it.

    Raises:
        ConfigError: If there is no label, or a number is below 1.
    """

    labels: tuple[str, ...]
    keep: int
    views: int = 3

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least("labels", len(self.labels), 1, "Name what is looked for.")
        check_at_least("keep", self.keep, 1, "Leave the first pass out to embed every box.")
        check_at_least("views", self.views, 1, "Leave the first pass out to embed every box.")


@dataclass(frozen=True, eq=False)
class EmbeddedBoxes:
    """Proposed boxes with what the model sees in them.

    Attributes:
        scene: The scan.
        proposals: N boxes with the rows of their points.
        views: (N, V, D) float32, unit-length embedding of each view of each box.
        model: What embedded them.
        seconds: Spent on it.
    """

    scene: Scene
    proposals: Proposals
    views: Float32[np.ndarray, "boxes views dim"]
    model: Model
    seconds: float = 0.0

    def __len__(self) -> int:
        """Return N."""
        return len(self.proposals)


def embed_boxes(
    scene: Scene,
    proposals: Proposals,
    model: Model,
    *,
    crops: CropSettings | None = None,
    first_pass: FirstPass | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> EmbeddedBoxes:
    """Embed the points of every proposed box; boxes with too few points are left out.

    Args:
        scene: The scan.
        proposals: N boxes in it.
        model: Any model: of depth images or of points.
        crops: Which points stand for a box.
        first_pass: Embed only boxes that a cheap look found promising; every box when None.
        seed: Of the sampling of points.
        progress: Called after each batch of boxes.
    """
    start = time.perf_counter()
    found = crop_points(scene, proposals, crops or CropSettings())
    if first_pass is not None and len(found) > first_pass.keep:
        found = found.select(_promising(scene, found, model, first_pass, seed))
    parts = [np.zeros((0, model.views, model.embedding_dim), dtype=np.float32)]
    for prepared in prepare_crops(scene, found, model, seed=seed):
        parts.append(model.embed_prepared(prepared).float().cpu().numpy())
        if progress:
            progress(sum(map(len, parts)), len(found))
    return EmbeddedBoxes(scene, found, np.concatenate(parts), model, time.perf_counter() - start)


def prepare_crops(scene: Scene, proposals: Proposals, model: Model, *, seed: int = 0) -> Iterator[Sequence[Prepared]]:
    """Yield what the model reads of the boxes, a few at a time."""
    for first in range(0, len(proposals), _BOXES_PER_PASS):
        numbers = range(first, min(first + _BOXES_PER_PASS, len(proposals)))
        yield model.prepare([upright_crop(scene, proposals, number) for number in numbers], seed=seed)


def _promising(scene: Scene, proposals: Proposals, model: Model, first_pass: FirstPass, seed: int) -> np.ndarray:
    """Rows of the boxes that are worth a full embedding, in the order of the proposals."""
    import torch
    from torch.nn import functional as F

    labels = model.encode_labels(first_pass.labels)
    best = []
    for prepared in prepare_crops(scene, proposals, model, seed=seed):
        views = F.normalize(model.shape_encoder.quick_features(prepared, views=first_pass.views), dim=-1)
        best.append(labels.similarity(views).mean(dim=1).amax(dim=1))
    chances = torch.sigmoid((torch.cat(best) - torch.cat(best).median()) * model.logit_scale).cpu().numpy()
    return np.sort(np.argsort(-chances * proposals.scores, kind="stable")[: first_pass.keep])


def crop_points(scene: Scene, proposals: Proposals, settings: CropSettings) -> Proposals:
    """Return the proposals that hold enough points, with the rows of the points that stand for each."""
    rows = crop_rows(scene, proposals, settings)
    enough = np.array([number for number, inside in enumerate(rows) if len(inside) >= settings.min_points], dtype=np.int64)
    return dataclasses.replace(proposals, points=rows).select(enough)


def crop_rows(scene: Scene, proposals: Proposals, settings: CropSettings) -> tuple[Int[np.ndarray, " inside"], ...]:
    """Return the rows of the points that stand for each proposal, however few."""
    if settings.source == "own" and proposals.points is not None:
        return proposals.points
    grown = Boxes(proposals.boxes.centers, proposals.boxes.sizes + 2 * settings.margin, proposals.boxes.yaws)
    rows = tuple(points_in_boxes(scene.cloud.points, grown))
    if settings.source == "box":
        return rows
    objects = scene.objects
    return tuple(inside[objects[inside]] for inside in rows)


def upright_crop(scene: Scene, proposals: Proposals, number: int) -> PointCloud:
    """Return the points of one box as a shape of its own: turned so that the box is aligned, its centre at the origin."""
    rows: Int[np.ndarray, " inside"] = _rows(proposals)[number]
    cloud = scene.select(rows)
    turned = (cloud.points - proposals.boxes.centers[number]) @ axis_rotation("z", -float(proposals.boxes.yaws[number])).T
    return PointCloud(turned, cloud.colors)


def _rows(proposals: Proposals) -> tuple[np.ndarray, ...]:
    if proposals.points is None:
        raise ConfigError("These proposals came without points. Pass them through embed_boxes.")
    return proposals.points
