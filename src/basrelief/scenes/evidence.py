"""What a model saw of each box: its depth maps, colour views or points, each with its own best label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32
from PIL import Image

from basrelief.scenes.crops import prepare_crops

if TYPE_CHECKING:
    from basrelief.scenes.crops import EmbeddedBoxes
    from basrelief.scenes.detections import Detections


@dataclass(frozen=True)
class SeenView:
    """One picture that a model read of a box.

    Attributes:
        picture: The picture, grey or RGB.
        caption: What the model calls it, e.g. number and angles of the camera.
        label: The label that fits it best; empty where pictures and embeddings do not correspond.
        similarity: Cosine of that label, 0 without one.
    """

    picture: Image.Image
    caption: str
    label: str = ""
    similarity: float = 0.0


def seen_views(detections: Detections, embedded: EmbeddedBoxes, numbers: Sequence[int]) -> Iterator[list[SeenView]]:
    """Yield the views of boxes; labels are embedded once, and boxes are rendered in batches.

    Args:
        detections: The boxes.
        embedded: What embedded them.
        numbers: Which boxes.
    """
    reads = embedded.model.input
    labels = _view_labels(detections, embedded, numbers)
    chosen = detections.proposals.select(np.array(numbers, dtype=np.int64))
    prepared = (seen for batch in prepare_crops(detections.scene, chosen, embedded.model) for seen in batch)
    for seen, best in zip(prepared, labels, strict=True):
        pictures = reads.pictures(seen)
        shown = best if len(best) == len(pictures) else [("", 0.0)] * len(pictures)  # e.g. two branches read the same pictures
        pictures = pictures / max(1.0, float(np.nanmax(pictures)))
        yield [SeenView(as_image(one), caption, *label) for one, caption, label in zip(pictures, reads.captions, shown, strict=True)]


def as_image(pixels: Float32[np.ndarray, "height width *rgb"]) -> Image.Image:
    """Return values in [0, 1] as a picture."""
    return Image.fromarray((np.nan_to_num(np.asarray(pixels, dtype=np.float32)).clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _view_labels(detections: Detections, embedded: EmbeddedBoxes, numbers: Sequence[int]) -> list[list[tuple[str, float]]]:
    """Return the best label of each view of each box with its similarity."""
    import torch

    model = embedded.model
    views = torch.from_numpy(detections.view_embeddings[np.array(numbers, dtype=np.int64)]).to(model.encoder.device)
    if len(views) == 0:
        return []
    found = model.score_views(views, model.encode_labels(detections.labels)).predictions(detections.labels)
    return [list(zip(one.view_labels, one.view_scores.max(axis=1).tolist(), strict=True)) for one in found]
