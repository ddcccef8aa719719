"""Files of point networks in the layouts of their authors, with small random networks under the published names."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from basrelief.encoders.points import registry
from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.points.files import PointRecord, save_point_network
from basrelief.encoders.points.registry import NetworkSpec, network_spec
from basrelief.models import Recipe

State = dict[str, Tensor]
DIM = 16
_PATCHES = {"dim": 16, "depth": 1, "heads": 1, "mlp_dim": 24, "patch_dim": 16, "patches": 8, "radius": 0.4, "samples": 4}
_VOXELS = {"stem": 4, "planes": [4, 6, 8, 8], "layers": [1, 1, 1, 1], "width": 16, "voxel_size": 0.1}
_GROUPS = {"width": 16, "depth": 1, "heads": 2, "groups": 8, "neighbours": 4, "group_width": 16, "embedding_dim": DIM}
_SMALL: Mapping[str, dict[str, Any]] = {
    "point_bert": _GROUPS,
    "uni3d": {**_GROUPS, "mlp_width": 24},
    "point_patch": _PATCHES,
    "tamm_point_patch": {**_PATCHES, "hidden": 20, "embedding_dim": DIM},
    "mink_resnet": {**_VOXELS, "hidden": 16, "embedding_dim": DIM},
    "tamm_sparse_conv": {**_VOXELS, "shared": 20, "hidden": 18, "embedding_dim": DIM},
}
"""A small size of each family; everything else of a published size is kept."""


def shrink_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every point network small sizes."""
    known = {name: (family, _small(family, size)) for name, (family, size) in registry._sizes().items()}
    monkeypatch.setattr(registry, "_sizes", lambda: known)


def _small(family: str, size: Mapping[str, Any]) -> dict[str, Any]:
    small = {**size, **_SMALL[family]}
    return {**small, "projection": DIM} if "projection" in size else small


def random_network(spec: NetworkSpec, seed: int) -> PointNetwork:
    """Build a network, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return spec.build().eval()


def trained_file(recipe: Recipe, path: Path, *, seed: int = 0) -> Path:
    """Write a random network of a recipe as `basrelief train point` does."""
    assert recipe.cloud is not None
    spec, cloud = network_spec(recipe.cloud.network), recipe.cloud
    record = PointRecord(spec.name, spec.family, spec.size, recipe.points, cloud.frame, cloud.missing_color, 14.28, recipe.encoder)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_point_network(random_network(spec, seed), path, record=record)


def published_file(recipe: Recipe, seed: int, *, towers: State | None = None) -> bytes:
    """The weights of a recipe as their authors' training writes them.

    Args:
        recipe: With a point network.
        seed: Of the weights.
        towers: SLIP's text and image towers under its own names, for a checkpoint of ULIP.
    """
    assert recipe.cloud is not None
    assert recipe.checkpoint is not None
    state = random_network(network_spec(recipe.cloud.network), seed).state_dict()
    content = {
        "openshape": _demo if recipe.cloud.frame == "y-up" else _openshape,
        "tamm": _tamm,
        "uni3d": lambda state: {"module": {**state, **_images(state), "logit_scale": torch.tensor(2.7)}},
        "ulip": lambda state: _ulip({**(towers or {}), **state}),
        "ulip2": _ulip,
    }[recipe.checkpoint.layout](state)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _demo(state: State) -> State:
    """The files of OpenShape's demo; the network without a projection has no `ppat.` before its names."""
    bare = "proj.weight" not in state
    return {f"pc_encoder.{name.removeprefix('ppat.') if bare else name}": tensor for name, tensor in state.items()}


def _openshape(state: State) -> dict[str, Any]:
    return {"state_dict": _wrapped(state), "logit_scale": {"module.logit_scale": torch.tensor(2.7)}, "optimizer": _OPTIMIZER, "epoch": 9}


def _tamm(state: State) -> dict[str, Any]:
    adapters = ("image_alignment_adapter", "text_alignment_adapter")
    inner = {name: tensor for name, tensor in state.items() if not name.startswith(adapters)}
    parts = {
        place: _wrapped({name.removeprefix(f"{place}."): tensor for name, tensor in state.items() if name.startswith(place)})
        for place in adapters
    }
    scale = {"module.logit_scale": torch.tensor(2.7)}
    return {"state_dict": _wrapped(inner), **parts, "logit_scale": scale, "optimizer": _OPTIMIZER, "scheduler": {"last_epoch": 3}}


def _ulip(state: State) -> dict[str, Any]:
    own = {**state, "logit_scale": torch.tensor(2.7)}
    return {"epoch": 9, "state_dict": _wrapped(own), "optimizer": _OPTIMIZER, "args": argparse.Namespace(lr=3e-3)}


def _images(state: State) -> State:
    """What the trunk of Uni3D has for images."""
    width, trunk = state["point_encoder.cls_token"].shape[-1], "point_encoder.visual."
    return {
        f"{trunk}cls_token": torch.zeros(1, 1, width),
        f"{trunk}pos_embed": torch.zeros(1, 5, width),
        f"{trunk}patch_embed.proj.weight": torch.zeros(width, 3, 14, 14),
        f"{trunk}patch_embed.proj.bias": torch.zeros(width),
    }


def _wrapped(state: State) -> State:
    return {f"module.{name}": tensor for name, tensor in state.items()}


_OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3}]}
