"""Embedding views a few at a time, until a shape's best label is decided."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.models.model import Model
from basrelief.models.shape_encoder import ViewEncoder
from basrelief.models.shape_input import Prepared
from basrelief.tasks.early_exit import EarlyExit, embed_until_decided, view_weights
from basrelief.tasks.scoring import LabelEmbeddings


def embed_decisive_views(
    model: Model, prepared: Sequence[Prepared], labels: LabelEmbeddings, rule: EarlyExit
) -> tuple[Float[Tensor, "shapes views dim"], Int[Tensor, " shapes"]]:
    """Embed the views of prepared shapes, leaving out those that the rule finds needless.

    Args:
        model: Reads views, each through one branch, and adds up their cosines.
        prepared: From `model.prepare`.
        labels: What is to be decided between.
        rule: When to stop.

    Returns:
        As `basrelief.tasks.early_exit.embed_until_decided`.

    Raises:
        ConfigError: If the model reads no such views, or compares in two stages.
    """
    encoder = model.shape_encoder
    if not isinstance(encoder, ViewEncoder) or encoder.recipe.branches == "both" or labels.second_stage is not None:
        raise ConfigError(f"{model.name} cannot leave out views: early exit needs views of one branch and one stage of prompts.")

    def embed(rows: Int[Tensor, " rows"], chosen: Int[Tensor, " some"]) -> Float[Tensor, "rows some dim"]:
        return F.normalize(encoder.some_features([prepared[row] for row in rows.tolist()], chosen), dim=-1)

    weights = view_weights(model.recipe.pooling, encoder.views)
    return embed_until_decided(embed, labels, rule, shapes=len(prepared), weights=weights)
