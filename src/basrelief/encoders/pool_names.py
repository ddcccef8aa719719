"""Names of attention pooling in published image towers: Meta's, timm's and transformers'."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_POOL = re.compile(r"(?:visual\.attn_pool|vision_model\.head)\.(?:attn\.|attention\.)?(?P<part>.+?)(?:[._](?P<kind>weight|bias))?")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "probe": ("probe",),
    "latent": ("probe",),
    "in_proj": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "q": ("attention.q_proj",),
    "kv": ("attention.k_proj", "attention.v_proj"),
    "proj": ("attention.out_proj",),
    "out_proj": ("attention.out_proj",),
    "norm": ("layernorm",),
    "layernorm": ("layernorm",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
    "mlp.c_fc": ("mlp.fc1",),
    "mlp.c_proj": ("mlp.fc2",),
}


def rename_pool(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Rename a tensor of attention pooling to the names of `AttentionPool`; empty if it is none.

    Args:
        name: In any of the three layouts, e.g. `visual.attn_pool.kv.weight`.
        tensor: Rows of several parts are divided; a query with axes of length one loses them.
    """
    found = _POOL.fullmatch(name)
    parts = _PARTS.get(found["part"], ()) if found else ()
    if found is None or not parts:
        return {}
    if parts == ("probe",):
        return {"vision_model.head.probe": tensor.reshape(-1)}
    rows = tensor.chunk(len(parts)) if tensor.ndim else (tensor,) * len(parts)
    return {f"vision_model.head.{part}.{found['kind']}": one for part, one in zip(parts, rows, strict=False)}
