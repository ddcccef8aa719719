"""The layouts in which weights are published, written the slow way round from our names."""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def to_openai(state: State) -> State:
    """Rename to OpenAI's and open_clip's names."""
    out: State = {
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "ln_final.weight": state["text_model.final_layer_norm.weight"],
        "ln_final.bias": state["text_model.final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
    }
    _blocks(state, "text_model.encoder.layers.", "transformer.resblocks.", out)
    if "visual_projection.weight" not in state:
        return out | {n.replace("vision_model.", "visual.", 1): t for n, t in state.items() if n.startswith("vision_model.")}
    for theirs, ours in (
        ("class_embedding", "embeddings.class_embedding"),
        ("positional_embedding", "embeddings.position_embedding.weight"),
        ("conv1.weight", "embeddings.patch_embedding.weight"),
        ("ln_pre.weight", "pre_layrnorm.weight"),
        ("ln_pre.bias", "pre_layrnorm.bias"),
        ("ln_post.weight", "post_layernorm.weight"),
        ("ln_post.bias", "post_layernorm.bias"),
    ):
        out[f"visual.{theirs}"] = state[f"vision_model.{ours}"]
    out["visual.proj"] = state["visual_projection.weight"].T
    _blocks(state, "vision_model.encoder.layers.", "visual.transformer.resblocks.", out)
    return out


def to_opendlign(state: State) -> State:
    """Rename to those of OpenDlign's checkpoints."""
    out = {f"clip_model.{name}": t for name, t in to_openai(state).items()}
    _blocks(state, "tuned_blocks.", "clip_model.visual.transformer.depth_control_visual.resblocks.", out)
    return out | {"logit_scale": out["clip_model.logit_scale"]}


def to_slip(state: State) -> State:
    """Rename to SLIP's names: OpenAI's for the text tower, timm's for the image tower."""
    out = {name: t for name, t in to_openai(state | _ABSENT).items() if not name.startswith("visual.")}
    out["image_projection"] = state["visual_projection.weight"].T
    out["visual.cls_token"] = state["vision_model.embeddings.class_embedding"][None, None]
    out["visual.pos_embed"] = state["vision_model.embeddings.position_embedding.weight"][None]
    for kind in ("weight", "bias"):
        out[f"visual.patch_embed.proj.{kind}"] = state[f"vision_model.embeddings.patch_embedding.{kind}"]
        out[f"visual.norm.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
    ours, theirs = "vision_model.encoder.layers.", "visual.blocks."
    for n in {name.removeprefix(ours).split(".")[0] for name in state if name.startswith(ours)}:
        for kind in ("weight", "bias"):
            parts = [state[f"{ours}{n}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            out[f"{theirs}{n}.attn.qkv.{kind}"] = torch.cat(parts)
            for a, b in (("layer_norm1", "norm1"), ("layer_norm2", "norm2"), ("self_attn.out_proj", "attn.proj"), *_SAME):
                out[f"{theirs}{n}.{b}.{kind}"] = state[f"{ours}{n}.{a}.{kind}"]
    return out


_SAME = (("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2"))
_ABSENT = {f"vision_model.pre_layrnorm.{kind}": torch.zeros(0) for kind in ("weight", "bias")}


def _blocks(state: State, ours: str, theirs: str, out: State) -> None:
    numbers = {name.removeprefix(ours).split(".")[0] for name in state if name.startswith(ours)}
    for n in numbers:
        for kind in ("weight", "bias"):
            parts = [state[f"{ours}{n}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            out[f"{theirs}{n}.attn.in_proj_{kind}"] = torch.cat(parts)
            for a, b in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj")):
                out[f"{theirs}{n}.{b}.{kind}"] = state[f"{ours}{n}.{a}.{kind}"]
            for a, b in (("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                out[f"{theirs}{n}.{b}.{kind}"] = state[f"{ours}{n}.{a}.{kind}"]


def to_clip2point(state: State) -> State:
    """Rename the image tower as CLIP2Point's pre-training saves it; the text tower is left out."""
    named = to_openai(state).items()
    return {name.replace("visual.", "point_model.", 1): tensor for name, tensor in named if name.startswith("visual.")}


def contiguous(state: State) -> State:
    """Copy tensors that are views, which safetensors refuses."""
    return {name: tensor.contiguous() for name, tensor in state.items()}
