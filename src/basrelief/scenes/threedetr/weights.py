"""Weights of 3DETR: the authors' checkpoints and their safetensors copies, loaded strictly into the same network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from torch import Tensor

from basrelief.encoders.points.base import Parts, fill_network, published_part
from basrelief.encoders.state_dict import read_state_dicts
from basrelief.errors import WeightsError
from basrelief.scenes.threedetr.network import ThreeDetr
from basrelief.scenes.threedetr.sizes import ThreeDetrSpec, published_sizes

_COPY = (  # names of torch-pointcloud and those of the authors
    (re.compile(r"\.sa\.convs\.0\.local_nn\.lins\.(\d+)\.weight$"), r".mlp_module.layer\1.conv.weight"),
    (re.compile(r"\.sa\.convs\.0\.local_nn\.norms\.(\d+)\.module\."), r".mlp_module.layer\1.bn.bn."),
    (re.compile(r"(?<=\.layers\.)(\d+)\.module\."), r"\1."),
    (re.compile(r"^pos_embedding\.gauss_b$"), "pos_embedding.gauss_B"),
)
_CONVOLUTION = re.compile(r"\.mlp_module\.layer\d+\.conv\.weight$")


def load_threedetr(path: Path | str) -> tuple[ThreeDetr, ThreeDetrSpec]:
    """Load trained weights, in evaluation mode.

    Which of the published networks a file holds follows from the shapes of its tensors. Nothing in a file is executed.

    Args:
        path: A checkpoint of github.com/facebookresearch/3detr (`.pth`), or its copy by torch-pointcloud (`.safetensors`).

    Raises:
        WeightsError: If the file is broken, is no 3DETR, or a name or shape fits none of the published sizes.
    """
    source = Path(path).name
    state = from_published(read_state_dicts(path))
    spec = _nearest(state)
    if spec is None:
        raise WeightsError(
            f"{source} holds no 3DETR: none of its {len(state):,} tensors has a name and a shape of that network. "
            "Run: basrelief models fetch 3detr-m-scannet."
        )
    return fill_network(spec.empty(), state, source=source), spec


def from_published(parts: Parts) -> dict[str, Tensor]:
    """Return the tensors of a file under the authors' names.

    Args:
        parts: State dicts of the file: `model` in a checkpoint of the authors, the whole file in a copy.

    Raises:
        WeightsError: If the weights are elsewhere in the file, or two names stand for one.
    """
    state = published_part(parts, "model", "")
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        own = name
        for pattern, replacement in _COPY:
            own = pattern.sub(replacement, own)
        if own in tensors:
            raise WeightsError(f"{name} and another tensor of the file both stand for {own}. Download the file again.")
        narrow = own != name and _CONVOLUTION.search(own) and tensor.ndim == 2
        tensors[own] = tensor[:, :, None, None] if narrow else tensor
    return tensors


def recognise_threedetr(state: Mapping[str, Tensor]) -> ThreeDetrSpec | None:
    """Return the published size that tensors fit exactly, or None.

    Args:
        state: Tensors of a file; names of either kind.
    """
    if not {"pos_embedding.gauss_B", "pos_embedding.gauss_b"} & state.keys():
        return None
    try:
        shapes = _shapes(from_published({"": state}))
    except WeightsError:
        return None
    return next((spec for spec in published_sizes().values() if shapes == _expected(spec)), None)


def _nearest(state: Mapping[str, Tensor]) -> ThreeDetrSpec | None:
    """The size with which a file shares the most tensors; None if it shares none."""
    found = _shapes(state).items()
    shared = {name: len(found & _expected(spec).items()) for name, spec in published_sizes().items()}
    name = max(shared, key=lambda name: shared[name])
    return published_sizes()[name] if shared[name] else None


@cache
def _expected(spec: ThreeDetrSpec) -> dict[str, tuple[int, ...]]:
    return _shapes(spec.empty().state_dict())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
