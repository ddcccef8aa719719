"""Measure one scan: propose boxes, embed them and the true ones, compare with the classes. One pass serves every row of the grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.scan_set import AnnotatedScan
from basrelief.errors import GeometryError, WeightsNotFoundError
from basrelief.evaluate.detection.protocol import DetectionProtocol
from basrelief.evaluate.detection.record import Labelled, ScanRecord
from basrelief.geometry import subsample
from basrelief.geometry.box_iou import points_in_boxes
from basrelief.geometry.boxes import Boxes
from basrelief.models import Model
from basrelief.models.detectors import detectors
from basrelief.models.fetch import find_detector
from basrelief.scenes.crops import CropSettings, crop_rows, embed_boxes
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.label import known_background, label_logits
from basrelief.scenes.proposals import Proposals, propose
from basrelief.scenes.scene import Scene

ANCHORS = 256
"""Random boxes of a scan, for the baseline."""


@dataclass(frozen=True, eq=False)
class ScanMeasure:
    """Measures scans of one data set with one model.

    Attributes:
        model: Labels the boxes.
        classes: Of the true boxes.
        protocol: Every choice.
        dataset: Name of the data set, which decides the published weights of a proposer.
        seed: Of random choices.
    """

    model: Model
    classes: ScanClasses
    protocol: DetectionProtocol
    dataset: str
    seed: int = 0

    @property
    def background(self) -> tuple[str, ...]:
        """The background labels that the model knows and that are no class."""
        return known_background(self.model, self.classes.names, self.protocol.background_labels)

    def measure(self, scan: AnnotatedScan) -> ScanRecord:
        """Measure one scan.

        Raises:
            GeometryError: If the scan is empty or degenerate.
            WeightsNotFoundError: If the weights of the proposer are not on this machine.
        """
        scene, truth = self._scene(scan)
        sample = subsample(scene.cloud, self.protocol.sample, seed=self.seed)
        own = {} if self.weights is None else {"weights": self.weights}
        proposals = propose(scene, self.protocol.proposals, limit=self.protocol.limit, seed=self.seed, **own)
        inside = points_in_boxes(sample.points, proposals.boxes)
        given = Proposals(truth, np.ones(len(truth), dtype=np.float32), "ground truth")
        return ScanRecord(
            proposals=self._label(scene, proposals),
            objectness=proposals.scores.astype(np.float32),
            point_counts=np.array([len(rows) for rows in inside], dtype=np.int64),
            class_probs=self._class_head(proposals),
            truth=self._label(scene, given),
            labels=scan.labels,
            anchors=self._anchors(scene),
        )

    def _scene(self, scan: AnnotatedScan) -> tuple[Scene, Boxes]:
        """Return the scene, which is only moved, and the true boxes in it."""
        shape = dataclasses.replace(scan.shape, origin=None)
        scene = prepare_scene(shape, up="z", unit="m", align=False, kind="room", trim=False)
        if not np.allclose(scene.to_file[:3, :3], np.eye(3), atol=1e-6):
            raise GeometryError("The scan was turned while it was prepared. Report this as a bug.")
        if self.protocol.cloud == "sample":
            kept = np.random.default_rng(self.seed).permutation(len(scene.cloud.points))[: self.protocol.sample]
            scene = dataclasses.replace(scene, cloud=scene.select(kept), structure=scene.structure[kept])
        return scene, Boxes(scan.boxes.centers - scene.to_file[:3, 3], scan.boxes.sizes, scan.boxes.yaws)

    @cached_property
    def weights(self) -> Path | None:
        """Weights of the proposer for this data set; None if it has none, or finds its own.

        Raises:
            WeightsNotFoundError: If they are not on this machine.
        """
        if self.protocol.proposal_weights:
            return Path(self.protocol.proposal_weights)
        detector = detectors().get(f"{self.protocol.proposals}-{self.dataset}")
        if detector is None:
            return None
        path = find_detector(detector)
        if path is None:
            raise WeightsNotFoundError(
                f"Proposals {self.protocol.proposals} need {detector.checkpoint.file} (licence: {detector.checkpoint.licence}). "
                f"Run: basrelief models fetch {detector.name}, or choose others, e.g. --set proposals=segments."
            )
        return path

    def _label(self, scene: Scene, proposals: Proposals) -> Labelled:
        """Embed the boxes that hold enough points and compare them with the classes and the background."""
        crops, names = self.protocol.crops, self._names()
        rows = crop_rows(scene, proposals, crops)
        enough = np.array([number for number, inside in enumerate(rows) if len(inside) >= crops.min_points], dtype=np.int64)
        cut = dataclasses.replace(proposals, points=rows).select(enough)
        own_points = CropSettings(source="own", margin=crops.margin, min_points=crops.min_points)
        embedded = embed_boxes(scene, cut, self.model, crops=own_points, seed=self.seed)
        logits, own = label_logits(embedded, [name for wordings in names for name in wordings])
        groups = [len(wordings) for wordings in names]
        best = _spread(_grouped(logits, groups, np.max), enough, len(proposals))
        return Labelled(proposals.boxes, best, None if own is None else _spread(_grouped(own, groups, np.sum), enough, len(proposals)))

    def _names(self) -> list[tuple[str, ...]]:
        """Wordings of each class, then each background label."""
        wordings = [self.classes.wordings(name) if self.protocol.synonyms else (name,) for name in self.classes.names]
        return [*wordings, *((name,) for name in self.background)]

    def _class_head(self, proposals: Proposals) -> Float32[np.ndarray, "boxes classes"] | None:
        """Probabilities of the proposer's classes in the order of the data set; None if they are others."""
        names = {_plain(name): column for column, name in enumerate(proposals.class_names)}
        wanted = [_plain(name) for name in self.classes.names]
        if proposals.class_probs is None or set(names) != set(wanted):
            return None
        ordered: np.ndarray = proposals.class_probs[:, [names[name] for name in wanted]].astype(np.float32)
        return ordered

    def _anchors(self, scene: Scene) -> Float32[np.ndarray, "anchors 3"]:
        rows = np.flatnonzero(scene.objects)
        rows = rows if len(rows) else np.arange(len(scene.cloud.points))
        anchors: np.ndarray = scene.cloud.points[np.random.default_rng(self.seed).choice(rows, ANCHORS)]
        return anchors


def _grouped(values: np.ndarray, groups: Sequence[int], combine: Callable[..., np.ndarray]) -> np.ndarray:
    """Combine the columns of each group."""
    starts = np.cumsum([0, *groups])
    if len(values) == 0:
        return np.zeros((0, len(groups)), dtype=np.float32)
    return np.stack([combine(values[:, first:last], axis=1) for first, last in pairwise(starts)], axis=1)


def _spread(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Put rows at their places among `count`; the others are NaN."""
    everything = np.full((count, values.shape[1]), np.nan, dtype=np.float32)
    everything[rows] = values
    return everything


def _plain(name: str) -> str:
    return name.replace(" ", "").replace("_", "").lower()
