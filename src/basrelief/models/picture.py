"""The picture of an answer: the shape, its depth views with each view's own best label, and the ranked labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.errors import ConfigError
from basrelief.models.files import FileResult
from basrelief.models.model import Model

if TYPE_CHECKING:
    from PIL import Image


def evidence_picture(answer: FileResult, model: Model, *, top: int = 5) -> Image.Image:
    """Draw what the model saw of one file and what it concluded.

    Args:
        answer: From `classify_files`, without an error.
        model: The model that answered.
        top: How many ranked labels to draw.

    Raises:
        ConfigError: If the file failed and there is nothing to draw.
    """
    if answer.prediction is None or answer.shape is None or answer.images is None:
        raise ConfigError(f"answer must hold a prediction, but {answer.path} failed: {answer.error}")
    from basrelief.render import evidence_sheet, portrait

    images, cameras = answer.images.cpu().numpy(), model.projection.cameras
    return evidence_sheet(answer.prediction, images, cameras=cameras, picture=portrait(answer.shape), top=top)
