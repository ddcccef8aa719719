"""Labelled boxes in a scan: what `detect` returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64

from basrelief.errors import GeometryError
from basrelief.scenes.scene import Scene
from basrelief.types import PointCloud

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from basrelief.geometry.boxes import Boxes
    from basrelief.scenes.crops import EmbeddedBoxes
    from basrelief.scenes.label import LabelSettings
    from basrelief.scenes.proposals import Proposals
    from basrelief.types import Prediction

NONE_OF_THESE = "none of these"
"""Name of a box that fits none of the labels."""


@dataclass(frozen=True, eq=False)
class Detections:
    """K labelled boxes, best first.

    Attributes:
        scene: The scan, in the scene frame.
        proposals: The K boxes with their objectness and points.
        labels: C labels in the caller's words.
        probabilities: (K, C) float32, of each label; what is missing to 1 belongs to the background labels.
        label_ids: (K,) int64, index of the best label; -1 if none fits.
        scores: (K,) float32 in [0, 1], for ranking; not a calibrated probability.
        view_embeddings: (K, V, D) float32, unit-length embedding of each view of each box: other labels need no new rendering.
        model: Name of the model that labelled.
        settings: How boxes were cropped, scored and suppressed.
        seconds: Time of each stage.
        embedded: All boxes that were embedded, those that were suppressed or fit no label among them; None if only the K boxes are known.
    """

    scene: Scene
    proposals: Proposals
    labels: tuple[str, ...]
    probabilities: Float32[np.ndarray, "boxes labels"]
    label_ids: Int64[np.ndarray, " boxes"]
    scores: Float32[np.ndarray, " boxes"]
    view_embeddings: Float32[np.ndarray, "boxes views dim"]
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    embedded: EmbeddedBoxes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that every field has a row for each box."""
        for name in ("probabilities", "label_ids", "scores", "view_embeddings"):
            if len(getattr(self, name)) != len(self.proposals):
                raise GeometryError(f"{name} has {len(getattr(self, name))} rows for {len(self.proposals)} boxes. Pass one for each box.")

    def __len__(self) -> int:
        """Return K."""
        return len(self.proposals)

    def __repr__(self) -> str:
        """Return the number of boxes of each label."""
        counted = ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common(6))
        return f"Detections({len(self)} boxes: {counted or 'nothing found'})"

    @property
    def boxes(self) -> Boxes:
        """The K boxes in the scene frame; `Scene.boxes_in_file` gives them in the coordinates of the file."""
        return self.proposals.boxes

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each box, or `none of these`."""
        return tuple(NONE_OF_THESE if label < 0 else self.labels[label] for label in self.label_ids)

    @property
    def points(self) -> tuple[np.ndarray, ...]:
        """The rows of the scene's points that belong to each box."""
        if self.proposals.points is None:
            raise GeometryError("These boxes came without points. Use Detections from basrelief.detect.")
        return self.proposals.points

    def crop(self, number: int) -> PointCloud:
        """Return the points of one box in the scene frame."""
        return self.scene.select(self.points[number])

    def prediction(self, number: int) -> Prediction:
        """Return how the labels rank for one box, view by view; its `picture` shows what the model saw.

        The background does not compete here.

        Raises:
            GeometryError: If the model is not at hand.
        """
        import torch

        from basrelief.models.picture import draw_evidence

        model = self._embedded().model
        names = self.labels if len(self.labels) > 1 else (*self.labels, NONE_OF_THESE)
        (found,) = model.classify_views(torch.from_numpy(self.view_embeddings[[number]]), names, sources=[f"{self.scene.source}#{number}"])
        return replace(found, evidence=partial(draw_evidence, model, self._crop(number)))

    def evidence(self, number: int) -> list[tuple[Image.Image, str]]:
        """Return what the model saw of one box: each picture with its caption, e.g. the view and its best label."""
        from basrelief.scenes.evidence import seen_views

        (views,) = seen_views(self, self._embedded(), [number])
        return [(view.picture, ": ".join(filter(None, (view.caption, view.label)))) for view in views]

    def relabel(self, labels: str | Sequence[str], settings: LabelSettings | None = None) -> Detections:
        """Ask for other labels; no box is rendered or embedded again.

        Args:
            labels: As for `detect`.
            settings: How labels are chosen; the defaults when None.

        Raises:
            ConfigError: If the labels are wrong.
            GeometryError: If the embeddings of the boxes are not at hand.
        """
        from basrelief.scenes.label import label_boxes

        return label_boxes(self._embedded(), labels, settings)

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:  # noqa: ANN401 - of the format
        """Write the boxes to a file: .json, .csv, .ply, .glb, .txt (KITTI), .npz or a page to look at them, .html.

        See `basrelief.scenes.export.save.save_detections`.

        Raises:
            FileFormatError: If the suffix is another one.
            OutputError: If the file cannot be written.
        """
        from basrelief.scenes.export.save import save_detections

        return save_detections(self, path, **options)

    def embeddings(self) -> Float32[np.ndarray, "boxes dim"]:
        """Return one unit-length embedding for each box, as for a shape: for libraries, duplicates, or queries by a picture or a shape."""
        import torch

        pooled: np.ndarray = self._embedded().model.pool_embeddings(torch.from_numpy(self.view_embeddings)).cpu().numpy()
        return pooled

    def query(self, text: str) -> list[tuple[int, float]]:
        """Rank the boxes by a phrase, e.g. `something to sit on`: the number of each box and its cosine with the phrase, best first."""
        model = self._embedded().model
        cosines = self.embeddings() @ model.embed_text([text])[0].cpu().numpy()
        return [(int(number), float(cosines[number])) for number in np.argsort(-cosines, kind="stable")]

    def _embedded(self) -> EmbeddedBoxes:
        if self.embedded is None:
            raise GeometryError("These boxes came without their model. Use Detections from basrelief.detect, or load them with model=...")
        return self.embedded

    def _crop(self, number: int) -> PointCloud:
        from basrelief.scenes.crops import upright_crop

        return upright_crop(self.scene, self.proposals, number)

    def records(self) -> list[dict[str, Any]]:
        """Return one JSON-ready record for each box, in the coordinates and the unit of the file.

        `center`, `size` (along the box's own axes) and `rotation` (3 x 3, columns are those axes) place the box; `yaw` is its angle about
        the axis that is up, radians; `bounds` is the aligned box around it in the file's axes. `height` is that of its lowest side above
        the floor in metres, None without a floor. `probabilities` has the five best labels.
        """
        from basrelief.scenes.export.coordinates import file_yaws

        centers, sizes, rotations = self.scene.boxes_in_file(self.boxes)
        yaws = file_yaws(self.scene, rotations)
        half = np.einsum("nij,nj->ni", np.abs(rotations), sizes / 2)
        bottoms = self.boxes.bounds()[:, 0, 2]
        best = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :5]
        return [
            {
                "id": number,
                "label": self.names[number],
                "score": round(float(self.scores[number]), 4),
                "objectness": round(float(self.proposals.scores[number]), 4),
                "probabilities": {self.labels[label]: round(float(self.probabilities[number, label]), 4) for label in best[number]},
                "center": _rounded(centers[number]),
                "size": _rounded(sizes[number]),
                "rotation": _rounded(rotations[number]),
                "bounds": _rounded([centers[number] - half[number], centers[number] + half[number]]),
                "yaw": round(float(yaws[number]), 6),
                "height": None if self.scene.floor is None else round(float(bottoms[number] - self.scene.floor), 4),
                "points": len(self.points[number]),
            }
            for number in range(len(self))
        ]


def _rounded(values: Any) -> Any:  # noqa: ANN401 - nested lists of floats
    return np.round(np.asarray(values, dtype=np.float64), 6).tolist()
