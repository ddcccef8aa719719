"""Which models that see colour suit a user's shapes and machine, by the facts in their recipes. Loads no weights.

Rule, ours. No figure on Objaverse-LVIS is published for these models, so they are ranked by the published zero-shot accuracy of their
image tower on ImageNet's photos, and stand apart from models that were measured on shapes. A model fits if its networks, in float32,
take at most a quarter of the memory. Shapes without colours get models that read depth images beside the shaded views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from basrelief.encoders import encoder_spec
from basrelief.models.recipe import Recipe, recipes
from basrelief.models.recipe_parts import PaperNumber
from basrelief.models.recommend import (
    MEMORY_SHARE,
    MULTIPLY_ADDS,
    Recommendation,
    ShapeSummary,
    check_request,
    has_open_licence,
    make_recommendation,
)

PATIENCE = 10.0
"""Seconds to encode a shape on two cores, above which a model is not named as a better default."""

_SHOWN = 3


def recommend_colour_models(
    *, memory_gb: float, shapes: ShapeSummary | None = None, licence: str = "any", files: Sequence[str] = ("FILES",)
) -> list[Recommendation]:
    """Rank the models that see colour and suit a machine and shapes: the best of each set of weights, at most three.

    Args:
        memory_gb: Memory of the machine, in units of 10^9 bytes.
        shapes: What the shapes are like, or None if not known.
        licence: One of `basrelief.models.recommend.LICENCES`.
        files: Names of files or folders for the commands.

    Raises:
        ConfigError: If the licence is not one of these, or the memory is not positive.
    """
    check_request(memory_gb, licence)
    families: dict[str, list[Recipe]] = {}
    for recipe in sorted(_candidates(shapes), key=_accuracy, reverse=True):
        if _fits(recipe, memory_gb) and (licence == "any" or has_open_licence(recipe)):
            families.setdefault(recipe.encoder.partition("/")[2], []).append(recipe)
    shown = list(families.values())[:_SHOWN]
    return [_recommendation(recipe, shapes, files, [one.name for one in smaller]) for recipe, *smaller in shown]


def better_default(*, memory_gb: float, shapes: ShapeSummary, files: Sequence[str]) -> Recommendation | None:
    """Return the best model that sees colour, is open, and takes at most `PATIENCE` seconds a shape; None if there is none."""
    return next(iter(_quick(memory_gb=memory_gb, shapes=shapes, files=files)), None)


def _quick(*, memory_gb: float, shapes: ShapeSummary, files: Sequence[str]) -> Iterator[Recommendation]:
    for recipe in sorted(_candidates(shapes), key=_accuracy, reverse=True):
        if has_open_licence(recipe) and _least_seconds(recipe) <= PATIENCE and _fits(recipe, memory_gb):
            found = _recommendation(recipe, shapes, files, [])
            if found.seconds <= PATIENCE:
                yield found


def _fits(recipe: Recipe, memory_gb: float) -> bool:
    """Return what `fits` does, from the recorded number of parameters, so that nothing is counted."""
    return 4 * encoder_spec(recipe.encoder).parameters <= MEMORY_SHARE * memory_gb * 1e9


def _least_seconds(recipe: Recipe) -> float:
    """Return a lower bound of the time to encode a shape, which needs no counting: matrix products of the blocks alone."""
    vision = encoder_spec(recipe.encoder).config.image_tower
    views = sum(len(drawer.cameras) for drawer in recipe.drawers(vision.image_size))
    if not isinstance(vision.layers, int) or vision.patch_size is None:
        return 0.0
    block = 4 * vision.width**2 + 2 * vision.width * (vision.mlp_width or 0)
    return views * (vision.image_size // vision.patch_size) ** 2 * vision.layers * block / MULTIPLY_ADDS


def _candidates(shapes: ShapeSummary | None) -> list[Recipe]:
    """Return recipes of shaded views alone, or of both kinds of views for shapes without colours; without a second stage."""
    both = shapes is not None and not shapes.has_colors
    return [one for one in recipes().values() if one.shaded is not None and bool(one.projection) == both and one.second_stage is None]


def _figure(recipe: Recipe) -> PaperNumber | None:
    return next((number for number in recipe.numbers if number.dataset == "imagenet"), None)


def _accuracy(recipe: Recipe) -> float:
    figure = _figure(recipe)
    return 0.0 if figure is None else figure.value


def _recommendation(recipe: Recipe, shapes: ShapeSummary | None, files: Sequence[str], smaller: Sequence[str]) -> Recommendation:
    return make_recommendation(
        recipe, "any", files, figure=_figure(recipe), smaller=tuple(smaller), reason=" ".join(_reasons(recipe, shapes))
    )


def _reasons(recipe: Recipe, shapes: ShapeSummary | None) -> Iterator[str]:
    figure = _figure(recipe)
    if figure is not None:
        yield f"Its tower is right for {figure.value:.1f} % of ImageNet's photos ({figure.source})."
    if shapes is None:
        yield "Sees the colours and textures of shapes."
    elif shapes.has_colors:
        yield f"Sees colours, which {shapes.colored} of {shapes.meshes + shapes.clouds} of your shapes have."
    else:
        yield "Few of your shapes have colours, so depth images stand beside the shaded views."
