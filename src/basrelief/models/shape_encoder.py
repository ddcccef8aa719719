"""Networks that turn prepared shapes into features: an image tower over drawn views, a point network over clouds."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.models.recipe import NORMALISATIONS, Recipe
from basrelief.models.shape_input import CloudInput, Prepared, ShapeInput, ViewInput

if TYPE_CHECKING:
    from basrelief.encoders import Encoder
    from basrelief.encoders.points.encoder import PointEncoder


class ShapeEncoder(ABC):
    """Turns prepared shapes into features.

    Attributes:
        input: How a shape is prepared.
        views: Features of a shape.
    """

    input: ShapeInput
    views: int

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash that changes with everything in the networks that decides a feature."""

    @property
    def runtime(self) -> str:
        """Backend and precision that compute features, e.g. `openvino bfloat16`; the fingerprint does not tell such that agree."""
        return "torch float32"

    @property
    def logit_scale(self) -> float | None:
        """Multiplier of cosines, already exponentiated; None for that of the text tower."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights that decides a feature, as plain data."""
        return self.input.settings

    @abstractmethod
    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views dim"]:
        """Encode prepared shapes; float32, not normalised."""

    def quick_features(self, prepared: Sequence[Prepared], *, views: int) -> Float[Tensor, "shapes some dim"]:
        """Encode fewer views of prepared shapes, evenly chosen, where that is cheaper; else all."""
        return self.features(prepared)

    def with_recipe(self, recipe: Recipe) -> ShapeEncoder:
        """Return the same networks under the settings of another recipe; itself if it reads none."""
        return self


class ViewEncoder(ShapeEncoder):
    """The image tower of a CLIP over drawn views; one feature for each view, or two if every view goes through both branches.

    Depth images get the recipe's normalisation, colour images the mean and standard deviation of the weights. Colour images are drawn at
    the size that the tower reads.
    """

    def __init__(self, recipe: Recipe, encoder: Encoder) -> None:
        self.recipe, self.encoder = recipe, encoder
        self.input: ViewInput = ViewInput(recipe.drawers(encoder.image_size))
        self.views = self.input.views * (2 if recipe.branches == "both" else 1)
        preprocessing = NORMALISATIONS[recipe.normalisation]
        self._depth_tower = encoder if preprocessing is None else encoder.with_preprocessing(*preprocessing)

    @property
    def fingerprint(self) -> str:
        """Hash of both towers, which are one encoder."""
        return self.encoder.fingerprint

    @property
    def runtime(self) -> str:
        """That of the image tower."""
        return self.encoder.runtime

    @property
    def settings(self) -> dict[str, Any]:
        """The rendering, and which view goes where."""
        recipe = self.recipe
        return {
            **self.input.settings,
            "normalisation": recipe.normalisation,
            "views": self.input.views,
            "tuned views": list(recipe.tuned_views),
            "branches": recipe.branches,
        }

    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views dim"]:
        """Encode views; those named in `recipe.tuned_views` go through the tuned last block, and one trunk pass serves both.

        With `recipe.branches` of `both`, all views through the frozen branch, then all through the tuned one.
        """
        images = self._stacked(prepared)
        shapes, views = images.shape[:2]
        if self.recipe.branches == "both":
            both = self._depth_tower.encode_both(images.flatten(0, 1))
            return torch.cat([branch.view(shapes, views, -1) for branch in both], dim=1)
        tuned = torch.zeros(views, dtype=torch.bool)
        tuned[list(self.recipe.tuned_views)] = True
        return self._encode(images, tuned, depth=self.input.depth_views)

    def quick_features(self, prepared: Sequence[Prepared], *, views: int) -> Float[Tensor, "shapes some dim"]:
        """Encode some of the views, evenly chosen, by the frozen branch."""
        chosen = _evenly(self.input.views, views)
        images = self._stacked(prepared)[:, chosen]
        return self._encode(images, torch.zeros(len(chosen), dtype=torch.bool), depth=int((chosen < self.input.depth_views).sum()))

    def some_features(self, prepared: Sequence[Prepared], chosen: Int[Tensor, " some"]) -> Float[Tensor, "shapes some dim"]:
        """Encode some of the views, in the order of their numbers in `chosen`, as `features` does for recipes with one branch."""
        ascending, back = chosen.sort()
        tuned = torch.isin(ascending, torch.tensor(self.recipe.tuned_views, dtype=torch.int64))
        images = self._stacked(prepared)[:, ascending]
        return self._encode(images, tuned, depth=int((ascending < self.input.depth_views).sum()))[:, back.argsort()]

    def _stacked(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views *channels side side"]:
        return torch.stack([torch.as_tensor(each) for each in prepared]).to(self.encoder.device)

    def _encode(
        self, images: Float[Tensor, "shapes views *channels side side"], tuned: Bool[Tensor, " views"], *, depth: int
    ) -> Float[Tensor, "shapes views dim"]:
        """Encode `depth` depth images and then colour images of each shape."""
        shapes, parts = len(images), []
        for tower, part, mask in (
            (self._depth_tower, images[:, :depth], tuned[:depth]),
            (self.encoder, images[:, depth:], tuned[depth:]),
        ):
            if part.shape[1]:
                rows = mask.repeat(shapes) if mask.any() else None
                parts.append(tower.encode_images(part.flatten(0, 1), tuned=rows).view(shapes, part.shape[1], -1))
        return torch.cat(parts, dim=1)

    def with_recipe(self, recipe: Recipe) -> ViewEncoder:
        """Return the same tower under another recipe."""
        return ViewEncoder(recipe, self.encoder)


class JointViewEncoder(ShapeEncoder):
    """An image tower that reads all views of a shape together, e.g. DuoduoCLIP's; one feature for each shape.

    Raises:
        ConfigError: If the recipe has views of two kinds or tuned views.
    """

    views = 1

    def __init__(self, recipe: Recipe, encoder: ClipEncoder) -> None:
        self.recipe, self.encoder = recipe, encoder
        self.input: ViewInput = ViewInput(recipe.drawers(encoder.image_size), joint=True)
        if len(self.input.drawers) > 1 or recipe.tuned_views:
            raise ConfigError(f"{encoder.name} reads all views together: recipe {recipe.name!r} cannot mix kinds of views or branches.")
        preprocessing = NORMALISATIONS[recipe.normalisation] if self.input.depth_views else None
        self._tower = encoder if preprocessing is None else encoder.with_preprocessing(*preprocessing)

    @property
    def fingerprint(self) -> str:
        """Hash of both towers, which are one encoder."""
        return self.encoder.fingerprint

    @property
    def runtime(self) -> str:
        """Torch, whatever encodes single pictures."""
        return f"torch {str(self.encoder.dtype).removeprefix('torch.')}"

    @property
    def settings(self) -> dict[str, Any]:
        """The rendering."""
        return {**self.input.settings, "normalisation": self.recipe.normalisation, "views together": self.input.views}

    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes 1 dim"]:
        """Encode the views of each shape together."""
        return self._tower.encode_views(torch.stack([torch.as_tensor(each) for each in prepared]))[:, None]

    def quick_features(self, prepared: Sequence[Prepared], *, views: int) -> Float[Tensor, "shapes 1 dim"]:
        """Encode some of the views of each shape together, evenly chosen."""
        return self.features([torch.as_tensor(each)[_evenly(self.input.views, views)] for each in prepared])

    def with_recipe(self, recipe: Recipe) -> JointViewEncoder:
        """Return the same tower under another recipe."""
        return JointViewEncoder(recipe, self.encoder)


def view_encoder(recipe: Recipe, encoder: Encoder) -> ShapeEncoder:
    """Return what encodes views as the tower does: each by itself, or those of a shape together."""
    if isinstance(encoder, ClipEncoder) and encoder.joint_views:
        return JointViewEncoder(recipe, encoder)
    return ViewEncoder(recipe, encoder)


class CloudEncoder(ShapeEncoder):
    """A point network over clouds; one feature for each cloud, or two for TAMM's adapters."""

    def __init__(self, recipe: Recipe, points: PointEncoder) -> None:
        if recipe.cloud is None:
            raise ConfigError(f"{recipe.name} has no point network. Name a model that has one, e.g. openshape-pointbert.")
        self.recipe, self.encoder, self.views = recipe, points, points.views
        cloud = recipe.cloud
        self.input: CloudInput = CloudInput(
            points=recipe.points,
            frame=cloud.frame,
            missing_color=cloud.missing_color,
            use_colors=cloud.use_colors,
            normalise=cloud.normalise,
            replace=cloud.replace,
            names=("points",) if points.views == 1 else ("text adapter", "image adapter"),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the point network."""
        return self.encoder.fingerprint

    @property
    def logit_scale(self) -> float | None:
        """The scale that was trained with the point network, or None."""
        return self.encoder.logit_scale

    @property
    def settings(self) -> dict[str, Any]:
        """The network, and how clouds are prepared."""
        return {"point network": self.encoder.name, "views": self.views, **self.input.settings}

    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views dim"]:
        """Encode clouds of any sizes."""
        return self.encoder.encode_points([torch.as_tensor(cloud) for cloud in prepared])

    def with_recipe(self, recipe: Recipe) -> CloudEncoder:
        """Return the same network under another recipe."""
        return CloudEncoder(recipe, self.encoder)


def _evenly(views: int, count: int) -> Int[Tensor, " some"]:
    """Numbers of at most `count` of the views, evenly chosen."""
    return torch.linspace(0, views, min(count, views) + 1)[:-1].long()


def combined_fingerprint(*parts: str) -> str:
    """Hash of fingerprints; equal ones count once, and a single one is its own."""
    known = list(dict.fromkeys(parts))
    return known[0] if len(known) == 1 else hashlib.sha256("\0".join(known).encode()).hexdigest()
