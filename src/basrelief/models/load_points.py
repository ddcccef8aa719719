"""Load point networks: published ones by recipe, and those that `basrelief train point` wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from basrelief.datasets import PromptList
from basrelief.encoders import ClipEncoder, Encoder
from basrelief.encoders.points.base import VIEW_WEIGHTS, fill_network
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.encoders.points.files import PointRecord, load_point_network, space_fingerprint
from basrelief.encoders.points.precision import choose_point_dtype
from basrelief.encoders.points.registry import network_spec
from basrelief.encoders.state_dict import read_state_dicts
from basrelief.errors import ConfigError, WeightsError
from basrelief.models.model import Model
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import Recipe
from basrelief.models.recipe_parts import CloudSettings
from basrelief.models.shape_encoder import CloudEncoder
from basrelief.models.shape_input import FRAMES
from basrelief.tasks import Pooling


@dataclass(frozen=True, eq=False)
class LoadedPoints:
    """A point network without its text side.

    Attributes:
        recipe: The recipe to run it with.
        encoder: The network.
        file: Its weights.
        record: What the file says, for a network that was trained here.
    """

    recipe: Recipe
    encoder: PointEncoder
    file: Path
    record: PointRecord | None = None

    def join(self, text: Encoder, *, prompts: PromptList | None = None) -> Model:
        """Return the model with its text side.

        Args:
            text: A CLIP, or exported embeddings of labels.
            prompts: A published prompt list that takes the place of the templates.

        Raises:
            WeightsError: If the network was trained in the space of another encoder.
        """
        if text.embedding_dim != self.encoder.embedding_dim:
            raise WeightsError(
                f"{self.file.name} has features of {self.encoder.embedding_dim} numbers, but {text.name} has {text.embedding_dim}. "
                "Use the text tower it was trained with."
            )
        trained_with, own = self.record.encoder_fingerprint if self.record else "", space_fingerprint(text)
        if trained_with and own and own != trained_with:
            raise WeightsError(f"{self.file.name} was trained with other weights of {text.name}. Load those, or train again.")
        recipe = self.recipe if isinstance(text, ClipEncoder) else replace(self.recipe, templates="label")
        return Model(recipe, text, prompter=Prompter.of(recipe, prompts), shape_encoder=CloudEncoder(recipe, self.encoder))


def load_points(recipe: Recipe, path: Path, *, device: torch.device, dtype: str = "auto", trained: bool = False) -> LoadedPoints:
    """Load the point network of a recipe.

    Args:
        recipe: With `cloud`, or any recipe on the CLIP that a network was trained with.
        path: Weights in the published layout, or what `save_point_network` wrote.
        device: Compute device.
        dtype: Of the network, see `choose_point_dtype`.
        trained: Whether the file is of the latter kind.

    Raises:
        WeightsError: If the file is broken or belongs to another network.
    """
    loaded = _trained(recipe, path, device) if trained else _published(recipe, path, device)
    choose_point_dtype(loaded.encoder, dtype)
    return loaded


def _published(recipe: Recipe, path: Path, device: torch.device) -> LoadedPoints:
    if recipe.cloud is None:
        raise ConfigError(f"{recipe.name} has no point network. Name a model that has one, e.g. openshape-pointbert.")
    network = network_spec(recipe.cloud.network).empty()
    parts = read_state_dicts(path)
    fill_network(network, network.from_published(parts), source=path.name)
    scales = [tensor for names in parts.values() for name, tensor in names.items() if name == "logit_scale" and tensor.numel() == 1]
    scale = float(scales[0].float().exp()) if scales else None
    encoder = PointEncoder(network.to(device), name=recipe.cloud.network, logit_scale=scale)
    return LoadedPoints(recipe, encoder, path)


def _trained(recipe: Recipe, path: Path, device: torch.device) -> LoadedPoints:
    network, record = load_point_network(path)
    if record.encoder != recipe.encoder:
        raise WeightsError(
            f"{path.name} was trained in the space of {record.encoder}; {recipe.name} is on {recipe.encoder}. Name that model."
        )
    if record.frame not in FRAMES:
        raise WeightsError(f"{path.name} reads clouds in an unknown frame, {record.frame!r:.40}. Train again.")
    encoder = PointEncoder(network.to(device), name=record.network, logit_scale=record.logit_scale)
    own = recipe if _is_of(recipe, record) else _trained_recipe(recipe, record, views=network.views)
    return LoadedPoints(own, encoder, path, record)


def _is_of(recipe: Recipe, record: PointRecord) -> bool:
    """Return whether a network is the one of a recipe whose weights nobody publishes."""
    cloud, own = recipe.cloud, recipe.checkpoint
    if cloud is None or own is None or own.published:
        return False
    return (cloud.network, cloud.frame, recipe.points) == (record.network, record.frame, record.points)


def _trained_recipe(recipe: Recipe, record: PointRecord, *, views: int) -> Recipe:
    """Return the recipe of a network that was trained in the space of another one."""
    return replace(
        recipe,
        name=f"{recipe.name}-points",
        title=f"{record.network}, trained in the space of {recipe.name}",
        projection="",
        projection_options={},
        shaded=None,
        tuned_views=(),
        branches="split",
        checkpoint=None,
        points=record.points,
        cloud=CloudSettings(record.network, record.frame, record.missing_color),
        pooling=Pooling("mean") if views == 1 else Pooling("concat", weights=VIEW_WEIGHTS[views]),
        datasets={},
        few_shot={},
        numbers=(),
    )
