"""The picture of a prediction: the shape, its depth views with the best label of each, and the ranked labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.errors import ConfigError

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

    from basrelief.models.few_shot import FewShotClassifier
    from basrelief.models.files import FileResult
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


def evidence_picture(result: FileResult, model: Model | FewShotClassifier, *, top: int = 5) -> Image.Image:
    """Draw what a model saw of a file and what it concluded.

    Args:
        result: From `classify_files`, without an error.
        model: The model that made the prediction.
        top: How many ranked labels to draw.

    Raises:
        ConfigError: If the file failed, so that there is nothing to draw.
    """
    if result.prediction is None or result.shape is None or result.images is None:
        raise ConfigError(f"{result.path} could not be classified, so there is nothing to draw: {result.error}")
    return draw_evidence(model, result.shape, result.prediction, images=result.images, top=top)
