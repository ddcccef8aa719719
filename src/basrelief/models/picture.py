"""The picture of a prediction: the shape, what the model read of it with the best label of each view, and the ranked labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.errors import ConfigError

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


def draw_views(name: str, shape: Shape, *, title: str = "", seed: int = 0) -> Image.Image:
    """Draw the views that a model reads of a shape, each with its camera; needs no weights.

    Args:
        name: Name of a model that reads views.
        shape: World frame.
        title: Heading.
        seed: Seed of the surface sampling.

    Raises:
        ConfigError: If there is no such model, or it reads points.
        GeometryError: If the shape cannot be drawn.
    """
    import torch

    from basrelief.models.load import encoder_config
    from basrelief.models.recipe import get_recipe
    from basrelief.models.shape_input import ViewInput
    from basrelief.render import contact_sheet

    recipe = get_recipe(name)
    if recipe.kind != "views":
        raise ConfigError(f"{name} reads no views. Name a model that does, e.g. tiny or views-pe-core-b16.")
    reads = ViewInput(recipe.drawers(encoder_config(recipe.encoder).image_tower.image_size))
    (seen,) = reads.prepare([shape], seed=seed)
    return contact_sheet(torch.from_numpy(reads.pictures(seen)), reads.cameras, title=title, captions=reads.kinds)
