"""The picture of a prediction: the shape, its depth views with the best label of each, and the ranked labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

    from basrelief.models.few_shot import FewShotClassifier
    from basrelief.models.model import Model
    from basrelief.types import Prediction, Shape


def draw_evidence(
    model: Model | FewShotClassifier,
    shape: Shape,
    prediction: Prediction,
    *,
    images: Float[Tensor, "views side side"] | None = None,
    seed: int = 0,
    top: int = 5,
) -> Image.Image:
    """Draw what a model saw of a shape and what it concluded.

    Args:
        model: The model that made the prediction.
        shape: What it saw.
        prediction: Its prediction.
        images: The depth images it saw; rendered again when None.
        seed: Seed of the surface sampling, for that.
        top: How many ranked labels to draw.
    """
    from basrelief.render import evidence_sheet, render_thumbnail

    seen = model.depth_images([shape], seed=seed)[0] if images is None else images
    return evidence_sheet(prediction, seen.cpu().numpy(), cameras=model.projection.cameras, picture=render_thumbnail(shape), top=top)
