"""Helpers: findings by check, upright and lying shapes, and small weights files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from basrelief.encoders.points.registry import network_spec
from basrelief.geometry import rotation_to_z_up
from basrelief.io import save
from basrelief.models import Pose
from basrelief.shapes import make_shape
from basrelief.types import Finding, PointCloud, Shape

Vote = Callable[[Sequence[Shape]], list[Pose]]
Put = Callable[..., Path]


def of(findings: Sequence[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def levels(findings: Sequence[Finding]) -> dict[str, str]:
    """Level of each check."""
    return {finding.check: finding.level for finding in findings}


def standing(axis: str = "z", confidence: float = 0.99) -> Vote:
    """A vote that says of every shape that an axis is up."""
    return lambda shapes: [Pose(rotation_to_z_up(axis), axis, confidence, "by what the test says") for _ in shapes]


def published_network(network: str, place: str, folder: Path) -> Path:
    """A file in the layout of a point network; its numbers are bytes, so that it is small."""
    state = {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in network_spec(network).empty().state_dict().items()}
    torch.save({place: state, "epoch": 3}, folder / "model.pt")
    return folder / "model.pt"


def lying(name: str, path: Path, *, axis: str = "y") -> Path:
    """A generated mesh, saved as if an axis were up."""
    from basrelief.geometry import rotate

    save(rotate(make_shape(name, seed=7), rotation_to_z_up(axis).T), path)
    return path


@pytest.fixture
def cloud(tmp_path: Path) -> Put:
    """Writes a cloud: `cloud(points, name=...)`."""

    def put(points: int = 2000, *, name: str = "cloud.ply", colors: np.ndarray | None = None, scale: float = 1.0) -> Path:
        rows = np.random.default_rng(0).normal(size=(points, 3)) * [1, 1, 2] * scale
        save(PointCloud(rows.astype(np.float32), None if colors is None else colors.astype(np.float32)), tmp_path / name)
        return tmp_path / name

    return put


@pytest.fixture
def weights(tmp_path: Path) -> Put:
    """Writes tensors: `weights(name, {key: tensor})`."""

    def put(name: str, state: dict[str, Tensor]) -> Path:
        if name.endswith(".safetensors"):
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / name)
        else:
            torch.save(state, tmp_path / name)
        return tmp_path / name

    return put


def vit(width: int = 32, patch: int = 16, blocks: int = 2, *, prefix: str = "visual.") -> dict[str, Tensor]:
    """The names by which an image tower in OpenAI's layout is known; one number for each big tensor."""
    state = {f"{prefix}conv1.weight": torch.zeros(width, 3, patch, patch), f"{prefix}proj": torch.zeros(width, 8)}
    for block in range(blocks):
        state[f"{prefix}transformer.resblocks.{block}.ln_1.weight"] = torch.zeros(width)
    return state


def text(width: int = 8) -> dict[str, Tensor]:
    """The names by which a text tower in OpenAI's layout is known."""
    return {"token_embedding.weight": torch.zeros(4, width), "text_projection": torch.zeros(width, 8), "logit_scale": torch.zeros(())}


B32 = {"width": 768, "patch": 32, "blocks": 12}
B16 = {"width": 768, "patch": 16, "blocks": 12}
