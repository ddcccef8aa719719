"""TAMM's adapter of CLIP's image features (Zhang et al. 2024, arXiv:2402.18490), which narrows the gap of renderings to photos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.encoders.state_dict import check_finite, read_metadata, read_state_dict
from basrelief.errors import WeightsError
from basrelief.output import replace_file, to_json

FORMAT = "basrelief image adapter 1"
_REDUCTION = 4


class ImageAdapter(nn.Module):
    """out = ratio * A(x) + (1 - ratio) * x, where A is two linear maps without bias, each followed by ReLU.

    A scales with x, so features need not be normalised.

    Attributes:
        dim: Length of the features.
        ratio: Share of A; 0.2 in TAMM.
    """

    def __init__(self, dim: int, *, ratio: float = 0.2) -> None:
        super().__init__()
        self.dim, self.ratio = dim, ratio
        hidden = max(1, dim // _REDUCTION)
        self.fc = nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, dim, bias=False), nn.ReLU())

    def forward(self, features: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Adapt features."""
        adapted: Tensor = self.ratio * self.fc(features) + (1 - self.ratio) * features
        return adapted


def save_image_adapter(adapter: ImageAdapter, path: Path, *, notes: Mapping[str, Any]) -> Path:
    """Write an adapter, whole or not at all.

    Args:
        adapter: The adapter.
        path: The file, safetensors.
        notes: What belongs to it; plain data.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().float().cpu().clone().contiguous() for name, tensor in adapter.state_dict().items()}
    record = {"dim": adapter.dim, "ratio": adapter.ratio, "notes": dict(notes)}
    with replace_file(path) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "adapter": to_json(record)})
    return path


def load_image_adapter(path: Path | str) -> ImageAdapter:
    """Load an adapter, frozen.

    Raises:
        WeightsError: If the file is no adapter, or damaged.
    """
    name = Path(path).name
    try:
        metadata = read_metadata(path)
        if metadata.get("format") != FORMAT:
            raise ValueError("it is another kind of file")
        record = json.loads(metadata["adapter"])
        with torch.device("meta"):
            adapter = ImageAdapter(int(record["dim"]), ratio=float(record["ratio"]))
        state = read_state_dict(path)
        for key, tensor in state.items():
            check_finite(key, tensor)
        adapter.load_state_dict(state, assign=True)
    except (KeyError, ValueError, TypeError, RecursionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WeightsError(f"{name} is no image adapter: {reason}. Train one with preset=tamm-image-adapter.") from error
    return adapter.eval().requires_grad_(False)
