"""Record small Perception Encoders and SigLIPs of open_clip, and the names in their files, for the tests.

    python tests/support/record_pooled_towers.py tests/recorded

Needs open_clip_torch 3.3.0 and timm 1.0.31, which the package and its tests do not. Weights follow from their names and a seed, see
`tests/support/filled_weights.py`; none are published ones. Features are recorded in float32 and float64. Changes to the programs: smaller
towers; in float64, rotary angles are computed in float64 by timm's own function, which has float32 ones otherwise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from timm.models.eva import checkpoint_filter_fn
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.filled_weights import fill, filled

SEED, EMBED, PIXELS, CONTEXT, VOCABULARY, EOT = 11, 24, 32, 20, 514, 513
TEXT = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 16, "heads": 2, "layers": 2}
SIGLIP_TEXT = {
    **TEXT,
    **{"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}},
}
SIZES = {"img_size": PIXELS, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
PE = ("vit_pe_core_tiny_patch16_384", {**SIZES, "ref_feat_shape": (4, 4), "mlp_ratio": 3})
TOWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "pe": PE,
    "pe_without_class_token": (PE[0], {**PE[1], "class_token": False, "rope_grid_offset": 0.0}),
    "siglip": ("vit_so400m_patch16_siglip_256", {**SIZES, "embed_dim": EMBED, "num_heads": 3, "mlp_ratio": 3}),
}
FULL = ("PE-Core-T-16-384", "PE-Core-S-16-384", "PE-Core-B-16", "PE-Core-L-14-336", "ViT-B-16-SigLIP2", "ViT-SO400M-16-SigLIP2-384")


def token_ids() -> Tensor:
    """Four rows of ids of different lengths, the last one full."""
    ids = torch.zeros(4, CONTEXT, dtype=torch.int64)
    for row, length in enumerate((2, 5, 11, CONTEXT)):
        words = 3 + (np.abs(fill(f"words{row}", (length,), SEED)) * 500).astype(np.int64)
        words[-1] = EOT
        ids[row, :length] = torch.from_numpy(words)
    return ids


def build(name: str) -> nn.Module:
    """A small model without numbers: open_clip's, with a small image tower of timm."""
    kind, sizes = TOWERS[name]
    siglip = name == "siglip"
    vision = {"timm_model_name": kind, "timm_pool": "map", "timm_proj": "none" if siglip else None, "image_size": PIXELS}
    model = open_clip.CustomTextCLIP(EMBED, vision, SIGLIP_TEXT if siglip else TEXT, init_logit_bias=-10 if siglip else None)
    model.visual.trunk = timm.create_model(kind, num_classes=0 if siglip else EMBED, **sizes)
    return model.eval()


def exact_rotation(model: nn.Module) -> None:
    """Compute rotary angles in float64."""
    rope = getattr(model.visual.trunk, "rope", None)
    if rope is not None:
        pairs = rope.dim // 4
        bands = 1.0 / 10000.0 ** (torch.arange(pairs, dtype=torch.float64) / pairs)
        rope.pos_embed = rope._build_embed_cat(rope.feat_shape, bands, dtype=torch.float64)


@torch.no_grad()
def outputs(model: nn.Module, images: np.ndarray, ids: Tensor) -> dict[str, Any]:
    """Features of pictures, as values in [0, 1], and of ids; logits. In float32 and in float64."""
    found: dict[str, Any] = {}
    for dtype in (torch.float32, torch.float64):
        model = model.to(dtype)
        if dtype == torch.float64:
            exact_rotation(model)
        pixels, bits = torch.from_numpy(images).to(dtype) / 255, str(dtype).removeprefix("torch.")
        found[f"image_features/{bits}"] = model.encode_image(pixels).numpy()
        found[f"text_features/{bits}"] = model.encode_text(ids).numpy()
        found[f"logits/{bits}"] = model.get_logits(pixels, ids)[0].numpy()
    return found


def shapes(state: dict[str, Tensor]) -> dict[str, list[int]]:
    """Names and shapes of tensors."""
    return {name: list(tensor.shape) for name, tensor in state.items()}


def metas_names(width: int, layers: int, inner: int) -> dict[str, list[int]]:
    """Names and shapes in Meta's files, image tower alone, from `core/vision_encoder/pe.py` of facebookresearch/perception_models."""
    found: dict[str, list[int]] = {"class_embedding": [width], "positional_embedding": [17, width], "proj": [width, EMBED]}
    found |= {"conv1.weight": [width, 3, 8, 8], "attn_pool.probe": [1, 1, width]}
    norms = ["ln_pre", "ln_post", "attn_pool.layernorm"]
    attentions, perceptrons = ["attn_pool.attn"], [("attn_pool.mlp", 4 * width)]
    for place in (f"transformer.resblocks.{layer}" for layer in range(layers)):
        norms += [f"{place}.ln_1", f"{place}.ln_2"]
        attentions.append(f"{place}.attn")
        perceptrons.append((f"{place}.mlp", inner))
    for norm in norms:
        found |= {f"{norm}.weight": [width], f"{norm}.bias": [width]}
    for place in attentions:
        found |= {f"{place}.in_proj_weight": [3 * width, width], f"{place}.in_proj_bias": [3 * width]}
        found |= {f"{place}.out_proj.weight": [width, width], f"{place}.out_proj.bias": [width]}
    for place, hidden in perceptrons:
        found |= {f"{place}.c_fc.weight": [hidden, width], f"{place}.c_fc.bias": [hidden]}
        found |= {f"{place}.c_proj.weight": [width, hidden], f"{place}.c_proj.bias": [width]}
    return {f"visual.{name}": shape for name, shape in found.items()}


def main() -> None:
    """Write the file into the folder that is named on the command line."""
    ids, images = token_ids(), (255 * (fill("weight", (2, 3, PIXELS, PIXELS), SEED) + 3) / 6).round().clip(0, 255).astype(np.uint8)
    arrays: dict[str, Any] = {"token_ids": ids.numpy(), "images": images}
    names: dict[str, Any] = {}
    for name in TOWERS:
        model = build(name)
        names[name] = shapes(model.state_dict())
        model.load_state_dict(filled(model.state_dict(), SEED))
        arrays |= {f"{name}/{key}": array for key, array in outputs(model, images, ids).items()}
    model = build("pe")
    names["meta"] = metas_names(32, 3, 96) | {
        name.removeprefix("text."): shape for name, shape in names["pe"].items() if not name.startswith("visual.")
    }
    state = {name: torch.from_numpy(fill(name, tuple(shape), SEED)) for name, shape in names["meta"].items()}
    model.visual.trunk.load_state_dict(checkpoint_filter_fn(state, model.visual.trunk))
    texts = {name: tensor for name, tensor in state.items() if not name.startswith("visual.")}
    model.text.load_state_dict({name: tensor for name, tensor in texts.items() if name != "logit_scale"})
    model.logit_scale.data = state["logit_scale"]
    arrays |= {f"meta/{key}": array for key, array in outputs(model, images, ids).items()}
    with torch.device("meta"):
        full = {name: shapes(open_clip.create_model(name, device="meta").state_dict()) for name in FULL}
    program = {"function": "CustomTextCLIP", "open_clip": open_clip.__version__, "timm": timm.__version__, "seed": SEED, "towers": TOWERS}
    arrays |= {"meta": json.dumps(program), "names": json.dumps(names), "layouts": json.dumps(full)}
    np.savez_compressed(Path(sys.argv[1]) / "pooled_towers_small.npz", **arrays)


if __name__ == "__main__":
    main()
