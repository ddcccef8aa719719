"""The picture of a prediction: the shape, what the model read of it with the best label of each view, and the ranked labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from basrelief.models.few_shot import FewShotClassifier
    from basrelief.models.model import Model
    from basrelief.models.shape_input import Prepared
    from basrelief.types import Prediction, Shape


def draw_evidence(
    model: Model | FewShotClassifier,
    shape: Shape,
    prediction: Prediction,
    *,
    prepared: Prepared | None = None,
    seed: int = 0,
    top: int = 5,
) -> Image.Image:
    """Draw what a model saw of a shape and what it concluded.

    Args:
        model: The model that made the prediction.
        shape: What it saw.
        prediction: Its prediction.
        prepared: What it read of the shape; prepared again when None.
        seed: Seed of the surface sampling, for that.
        top: How many ranked labels to draw.
    """
    from basrelief.render import evidence_sheet, render_thumbnail

    read = model.prepare([shape], seed=seed)[0] if prepared is None else prepared
    reads = model.input
    return evidence_sheet(prediction, reads.pictures(read), captions=reads.captions, picture=render_thumbnail(shape), top=top)
