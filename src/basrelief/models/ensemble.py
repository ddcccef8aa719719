"""Ensembles: several models that answer as one. Ours; no paper reports it.

Rule. Model m gives a shape one embedding v_m (its views pooled) and a label one embedding t_m. The score of a label is the weighted sum
of their cosines,

    score = sum_m scale_m cos(v_m, t_m),

and probabilities are its softmax over the labels: a product of the models' own softmaxes, raised to powers. The scales are those the
models were trained with, or fitted on labelled validation shapes (`basrelief train ensemble`). The same sum is the product of two
concatenated vectors, so that an ensemble has embeddings like any model: for a shape the v_m one after another, for a label or a picture
scale_m t_m one after another, each at unit length. Heads, libraries and retrieval work on these.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.errors import ConfigError, FileFormatError
from basrelief.limits import limits
from basrelief.models.model import Model
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import Recipe
from basrelief.models.shape_encoder import ShapeEncoder, combined_fingerprint
from basrelief.models.shape_input import JointInput, Prepared
from basrelief.output import to_json, write_text
from basrelief.tasks import Pooling

if TYPE_CHECKING:
    from PIL import Image

    from basrelief.encoders import Encoder
    from basrelief.encoders.preprocessing import Channels, ImageFit
    from basrelief.encoders.vocabulary import Vocabulary

FORMAT = "basrelief ensemble 1"
_MOST = 8  # members


class EnsembleModel(Model):
    """Several models that answer as one; see the rule of this module.

    Each member is one "view": evidence and `view_scores` show what each says alone.

    Attributes:
        members: The models.
        scales: Multiplier of each member's cosines.
    """

    def __init__(self, members: Sequence[Model], *, scales: Sequence[float] | None = None) -> None:
        members = tuple(members)
        self.members = members
        self.scales = tuple(member.logit_scale for member in members) if scales is None else tuple(map(float, scales))
        if not 2 <= len(members) <= _MOST or any(isinstance(member, EnsembleModel) for member in members):
            raise ConfigError(f"An ensemble has 2 to {_MOST} models that are no ensembles themselves, got {len(members)}.")
        if len({member.name for member in members}) < len(members):
            raise ConfigError(f"{'+'.join(member.name for member in members)} names a model twice. Name each once.")
        if (
            len(self.scales) != len(members)
            or not all(math.isfinite(scale) and scale >= 0 for scale in self.scales)
            or not any(self.scales)
        ):
            raise ConfigError(
                f"The scales of {len(members)} models are {list(self.scales)}; expected one for each, not negative, not all 0."
            )
        towers = _JointTowers(members, self.scales)
        super().__init__(
            _recipe(members),
            towers,
            prompter=_JointPrompter(members, towers.weights),
            shape_encoder=_JointShapes(members),
        )

    def for_dataset(self, dataset: str, *, points: int | None = None, templates: str | None = None) -> EnsembleModel:
        """Return the ensemble with every member's settings for a data set, see `Recipe.for_dataset`."""
        changed = [member.for_dataset(dataset, points=points, templates=templates) for member in self.members]
        return EnsembleModel(changed, scales=self.scales)

    def for_few_shot(self) -> EnsembleModel:
        """Return the ensemble with every member's few-shot settings, see `Recipe.for_few_shot`."""
        return EnsembleModel([member.for_few_shot() for member in self.members], scales=self.scales)

    def with_recipe(self, recipe: Recipe) -> Model:
        """Refuse: an ensemble adds up its members, which have recipes of their own.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{self.name} adds up its members. Give them other recipes, then join them.")

    def with_scales(self, scales: Sequence[float]) -> EnsembleModel:
        """Return the ensemble with other scales."""
        return EnsembleModel(self.members, scales=scales)

    def member_similarity(
        self, views: Float[Tensor, "shapes members dim"], labels: Sequence[str]
    ) -> Float[Tensor, "members shapes labels"]:
        """Return the cosines of each member alone, less its class penalties.

        Args:
            views: From `embed_views`.
            labels: C names.
        """
        blocks = torch.split(views, [member.embedding_dim for member in self.members], dim=-1)
        own = [block[:, m] for m, block in enumerate(blocks)]
        return torch.stack([member.encode_labels(labels).similarity(each) for member, each in zip(self.members, own, strict=True)])

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> Float[Tensor, "images dim"]:
        """Embed colour pictures by every member's own image tower; unit length, float32."""
        return _concatenated([member.embed_images(images) for member in self.members], _weights(self.scales))

    @property
    def known_labels(self) -> tuple[str, ...]:
        """Labels that every member can embed; empty if all can embed any text."""
        known = [member.known_labels for member in self.members if member.known_labels]
        return tuple(label for label in known[0] if all(label in other for other in known)) if known else ()

    def class_penalties(self, labels: Sequence[str]) -> tuple[float, ...]:
        """Combine the members' class penalties; each view bears an equal part, because the views are added up."""
        weights, count = _weights(self.scales), len(self.members)
        each = [member.class_penalties(labels) for member in self.members]
        return tuple(sum(w * p for w, p in zip(weights, column, strict=True)) / count for column in zip(*each, strict=True))


class _JointShapes(ShapeEncoder):
    """Each member's pooled embedding of a shape, in its own block of coordinates."""

    def __init__(self, members: Sequence[Model]) -> None:
        self.members, self.views = tuple(members), len(members)
        self.input: JointInput = JointInput(tuple(member.input for member in members), tuple(member.name for member in members))
        self._sizes = [member.embedding_dim for member in members]

    @property
    def fingerprint(self) -> str:
        """Hash of all members; their scales do not change an embedding of a shape."""
        return combined_fingerprint("ensemble", *(member.shape_encoder.fingerprint for member in self.members))

    @property
    def runtime(self) -> str:
        """Those of all members."""
        return ", ".join(dict.fromkeys(member.shape_encoder.runtime for member in self.members))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of each member."""
        return {"members": {member.name: member.shape_encoder.settings for member in self.members}, "views": self.views}

    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes members dim"]:
        """Encode shapes by every member; row m is zero outside member m's block."""
        device = self.members[0].encoder.device
        found = torch.zeros(len(prepared), self.views, sum(self._sizes), device=device)
        start = 0
        for m, (member, size) in enumerate(zip(self.members, self._sizes, strict=True)):
            views = member.embed_prepared([parts[m] for parts in prepared])
            found[:, m, start : start + size] = member.pool_embeddings(views).to(device)
            start += size
        return found


class _JointPrompter(Prompter):
    """Embeds labels by every member's own templates and text tower."""

    def __init__(self, members: Sequence[Model], weights: Sequence[float]) -> None:
        super().__init__("label")
        self.members, self.weights = tuple(members), tuple(weights)

    def prompts(self, label: str) -> tuple[str, ...]:
        """Return the prompts of all members."""
        return tuple(prompt for member in self.members for prompt in member.prompter.prompts(label))

    def embed(self, labels: Sequence[str], encoder: Encoder) -> Float[Tensor, "labels dim"]:
        """Embed labels, unit length."""
        return _concatenated([member.embed_text(labels) for member in self.members], self.weights)


class _JointTowers:
    """The towers of all members as one `Encoder`."""

    def __init__(self, members: Sequence[Model], scales: Sequence[float]) -> None:
        self.members, self.scales, self.weights = tuple(members), tuple(scales), _weights(scales)
        self._first = members[0].encoder
        self.has_tuned_block = False
        self.logit_bias: float | None = None

    @property
    def name(self) -> str:
        return "+".join(member.encoder.name for member in self.members)

    @property
    def embedding_dim(self) -> int:
        return sum(member.embedding_dim for member in self.members)

    @property
    def image_size(self) -> int:
        return self._first.image_size

    @property
    def mean(self) -> Channels:
        return self._first.mean

    @property
    def std(self) -> Channels:
        return self._first.std

    @property
    def image_fit(self) -> ImageFit:
        return self._first.image_fit

    @property
    def logit_scale(self) -> float:
        """Length of the vector of scales, which makes the cosines of the concatenated vectors the score again."""
        return math.hypot(*self.scales)

    @property
    def fingerprint(self) -> str:
        parts = [*(member.fingerprint for member in self.members), repr(self.scales)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def device(self) -> torch.device:
        return self._first.device

    @property
    def dtype(self) -> torch.dtype:
        return self._first.dtype

    @property
    def runtime(self) -> str:
        return ", ".join(dict.fromkeys(member.encoder.runtime for member in self.members))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The first closed vocabulary of a member, or None."""
        return next((member.encoder.vocabulary for member in self.members if member.encoder.vocabulary), None)

    def encode_images(self, images: Tensor, *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        parts = [F.normalize(member.encoder.encode_images(images, tuned=tuned), dim=-1) for member in self.members]
        return _concatenated(parts, self.weights)

    def encode_both(self, images: Tensor) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        raise ConfigError("An ensemble has no tuned branch of its own. Use its members.")

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        return _concatenated([F.normalize(member.encoder.encode_text(prompts), dim=-1) for member in self.members], self.weights)

    def with_preprocessing(self, mean: Channels, std: Channels) -> _JointTowers:
        raise ConfigError("The members of an ensemble have their own preprocessing.")


def save_ensemble(model: EnsembleModel, path: Path | str, *, notes: dict[str, Any] | None = None) -> Path:
    """Write the names and scales of an ensemble as JSON; `load_model` takes the file's path as a name.

    Args:
        model: The ensemble.
        path: The file.
        notes: How the scales were chosen; plain data.
    """
    record = {"format": FORMAT, "members": [member.name for member in model.members], "scales": list(model.scales), "notes": notes or {}}
    write_text(Path(path), to_json(record))
    return Path(path)


def read_ensemble(path: Path | str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Read the names and scales of an ensemble.

    Raises:
        FileFormatError: If the file is no ensemble.
    """
    path = Path(path)
    try:
        if path.stat().st_size > limits().list_bytes:
            raise ValueError("too large")
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']!r}")
        return tuple(map(str, record["members"])), tuple(map(float, record["scales"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"{path.name} is no ensemble of basrelief: {str(error)[:200]}. Write one with basrelief train ensemble."
        ) from error


def _weights(scales: Sequence[float]) -> tuple[float, ...]:
    """The scales as a vector of unit length."""
    length = math.hypot(*scales)
    return tuple(scale / length for scale in scales)


def _concatenated(parts: Sequence[Float[Tensor, "n _"]], weights: Sequence[float]) -> Float[Tensor, "n dim"]:
    device = parts[0].device
    return torch.cat([weight * part.to(device) for part, weight in zip(parts, weights, strict=True)], dim=-1)


def _recipe(members: Sequence[Model]) -> Recipe:
    """The recipe of an ensemble, for reports; the members keep theirs."""
    recipes = [member.recipe for member in members]
    return Recipe(
        name="+".join(recipe.name for recipe in recipes),
        title="Ensemble of " + ", ".join(recipe.name for recipe in recipes),
        paper="",
        encoder="+".join(recipe.encoder for recipe in recipes),
        points=max(member.input.points for member in members),
        templates="label",
        pooling=Pooling("sum"),
        licence="; ".join(dict.fromkeys(recipe.licence for recipe in recipes)),
        training_data="; ".join(dict.fromkeys(recipe.training_data for recipe in recipes)),
        members=tuple(recipe.name for recipe in recipes),
    )
