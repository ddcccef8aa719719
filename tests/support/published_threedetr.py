"""Files of 3DETR as its authors and torch-pointcloud publish them, with small networks in place of the published sizes."""

from __future__ import annotations

import argparse
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from basrelief.scenes.threedetr import proposer, sizes, weights
from basrelief.scenes.threedetr.sizes import ThreeDetrSpec
from support.recorded_threedetr import SMALL

State = dict[str, Tensor]


def small_sizes(monkeypatch: pytest.MonkeyPatch) -> dict[str, ThreeDetrSpec]:
    """Replace the numbers of all published sizes; what distinguishes them stays."""
    small = {name: replace(spec, size=replace(spec.size, **SMALL), points=600) for name, spec in sizes.published_sizes().items()}
    for module in (sizes, weights):
        monkeypatch.setattr(module, "published_sizes", lambda: small)
    proposer._load.cache_clear()
    return small


def copied(state: State) -> State:
    """The names and shapes of torch-pointcloud's copies."""
    return {_copied_name(name): tensor[:, :, 0, 0] if tensor.ndim == 4 else tensor for name, tensor in state.items()}


def _copied_name(name: str) -> str:
    name = re.sub(r"\.mlp_module\.layer(\d)\.conv\.weight", r".sa.convs.0.local_nn.lins.\1.weight", name)
    name = re.sub(r"\.mlp_module\.layer(\d)\.bn\.bn\.", r".sa.convs.0.local_nn.norms.\1.module.", name)
    norms = {"encoder_to_decoder_projection": "147", "mlp_heads": "15"}
    if (places := norms.get(name.split(".")[0])) is not None:
        name = re.sub(rf"\.layers\.([{places}])\.", r".layers.\1.module.", name)
    return name.replace("gauss_B", "gauss_b")


def copied_file(state: State) -> bytes:
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in copied(state).items()})


def authors_file(state: State) -> bytes:
    """A checkpoint with all that the authors' training script writes."""
    arguments = argparse.Namespace(model_name="3detr", enc_type="masked", nqueries=256)
    content: dict[str, Any] = {
        "model": state,
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-6, "params": [0]}]},
        "epoch": 1079,
        "args": arguments,
        "best_val_metrics": {0.25: {"mAP": np.float64(0.65)}},
    }
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()
