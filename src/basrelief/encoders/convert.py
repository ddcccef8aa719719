"""Convert every known layout of CLIP weights to the parameter names of `ClipTowers`.

Layouts:
    openai: Names of OpenAI and open_clip, those of the text tower perhaps below `text.`; Meta's Perception Encoder has them, too.
    huggingface: Names of transformers, for CLIP and SigLIP.
    opendlign: The published checkpoints: names of open_clip below `clip_model.`, a copy of the last block, `logit_scale` twice.
    clip2point: The pre-training checkpoint: an image tower below `point_model.`.
    timm: open_clip's with one of timm's transformers below `visual.trunk.`: EVA-02-CLIP-E, the Perception Encoder, SigLIP.
    mobileclip: open_clip's with timm's FastViT below `visual.trunk.`, its branches added up or not.
    duoduoclip: DuoduoCLIP's checkpoint: names as in `openai` below `duoduoclip.`, and the scale of its training.
    slip: SLIP's, alone or in a checkpoint of ULIP: a text tower as in `openai`, timm's image tower, `image_projection`.

The conversion is strict: an unknown or missing name or a wrong shape raises `WeightsError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from basrelief.encoders.architecture import check_tower
from basrelief.encoders.config import ClipConfig
from basrelief.encoders.fuse import fuse_fastvit
from basrelief.encoders.pool_names import rename_pool
from basrelief.encoders.state_dict import check_finite, misfit
from basrelief.encoders.towers import empty_towers, tuned_count
from basrelief.errors import WeightsError

_NO_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}
_POSITION_IDS = re.compile(r"(vision|text)_model\.embeddings\.position_ids")
_TUNED = re.compile(r"visual\.transformer\.depth_control_visual\.resblocks\.(?P<number>\d+)\.(?P<rest>.+)")
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_VISION = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.bias": "vision_model.embeddings.patch_embedding.bias",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
    "visual.head.bias": "visual_projection.bias",
}
_TEXT = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "text_projection.weight": "text_projection.weight",
    "text_projection.bias": "text_projection.bias",
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
}
_TIMM = {
    "image_projection": "visual.proj",
    "visual.cls_token": "visual.class_embedding",
    "visual.pos_embed": "visual.positional_embedding",
    "visual.patch_embed.proj": "visual.conv1",
    "visual.norm_pre": "visual.ln_pre",
    "visual.norm": "visual.ln_post",
}
_TIMM_BLOCK = {"norm1": "ln_1", "norm2": "ln_2", "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
_TRUNK = "visual.trunk."
_TRAINED = "contrastive_loss."
_DUODUO = re.compile(rf"^(?:duoduoclip|{re.escape(_TRAINED[:-1])})\.")
_QUERY_BIAS = re.compile(r"(visual\.blocks\.\d+\.attn)\.q_bias")
_SLIP_OTHERS = ("image_mlp.", "point_encoder.", "pc_projection")
_RESBLOCK = re.compile(r"(?P<where>visual\.|)transformer\.resblocks\.(?P<number>\d+)\.(?P<rest>.+)")
_PLACES = {
    "vision_model.encoder.layers": "visual.transformer.resblocks",
    "text_model.encoder.layers": "transformer.resblocks",
    "tuned_blocks": "visual.transformer.depth_control_visual.resblocks",
}
_OURS = re.compile(rf"(?P<place>{'|'.join(map(re.escape, _PLACES))})\.(?P<number>\d+)\.(?P<part>.+)\.(?P<kind>weight|bias)")
IMAGE_PARTS = ("vision_model.", "visual_projection.", "tuned_blocks.")
"""How the names of `ClipTowers` begin that belong to the image tower."""
IMAGE_TENSORS = r"(?:module\.|_orig_mod\.)*(?:clip_model\.|duoduoclip\.)?(?:visual\.|vision_model\.|visual_projection\.|tuned_blocks\.)"
"""Regular expression for the beginning of names of the image tower in files of any layout."""
_IMAGES = (*IMAGE_PARTS, "?visual", "?vision")


def layout_of(names: Iterable[str]) -> str:
    """Return the layout that tensor names belong to, one of those above or `unknown`.

    Raises:
        WeightsError: If the names are those of a few-shot adapter, not of an encoder.
    """
    names = list(names)
    tops = {name.split(".")[0] for name in names}
    if tops & {"adapter1", "pre_model", "adapter"}:
        raise WeightsError(
            f"These weights are a few-shot adapter ({', '.join(sorted(tops))}), not an encoder. "
            "Use the pre-training checkpoint, whose names start with point_model."
        )
    marks = {"clip_model": "opendlign", "point_model": "clip2point", "vision_model": "huggingface", "text_model": "huggingface"}
    trunks = {f"{_TRUNK}stem.": "mobileclip", _TRUNK: "timm"}
    visual = next((layout for mark, layout in trunks.items() if any(name.startswith(mark) for name in names)), "openai")
    marks |= {"duoduoclip": "duoduoclip", "image_projection": "slip", "visual": visual}
    return next((layout for mark, layout in marks.items() if mark in tops), "unknown")


def convert(state: Mapping[str, Tensor], config: ClipConfig, *, images: bool = True, source: str = "The file") -> dict[str, Tensor]:
    """Rename the tensors of both towers and of tuned blocks, if any, to the names of `ClipTowers`.

    Args:
        state: Tensors by name, in any known layout except `clip2point`.
        config: Architecture of the towers.
        images: Whether to take the image tower, which `convert_visual` gives alone.
        source: Name of the file, for messages.

    Returns:
        All parameters and buffers that are taken, the floating-point ones as float32.

    Raises:
        WeightsError: If a name is unknown or missing, or a shape differs.
    """
    layout = layout_of(state)
    if layout == "clip2point":
        raise WeightsError("These weights are CLIP2Point's image tower alone. Load plain CLIP first, then pass this file to load_visual().")
    check_tower(state, config.vision, source=source)
    if layout == "mobileclip" and not images:
        state, layout = {name: tensor for name, tensor in state.items() if not name.startswith(_TRUNK)}, "openai"
    named = _rename(state, layout, config)
    if config.vision is None or not images:
        named = {name: t for name, t in named.items() if not name.startswith(_IMAGES)}
    return _fit(named, layout, empty_towers(config, tuned=tuned_count(named), images=images).state_dict())


def convert_visual(state: Mapping[str, Tensor], config: ClipConfig, *, source: str = "The file") -> dict[str, Tensor]:
    """Rename the tensors of an image tower, from any layout; ignore all other tensors.

    Args:
        state: Tensors by name.
        config: Architecture of the towers.
        source: Name of the file, for messages.

    Raises:
        WeightsError: If a name of the image tower is unknown or missing, or a shape differs.
    """
    layout = layout_of(state)
    check_tower(state, config.image_tower, source=source)
    if layout == "clip2point":
        state = {f"visual.{name.removeprefix('point_model.')}": t for name, t in state.items() if name.startswith("point_model.")}
    named = {name: t for name, t in _rename(state, layout, config).items() if name.startswith(_IMAGES)}
    expected = empty_towers(config, tuned=tuned_count(named)).state_dict().items()
    return _fit(named, layout, {name: t for name, t in expected if name.startswith(_IMAGES)})


def _rename(state: Mapping[str, Tensor], layout: str, config: ClipConfig) -> dict[str, Tensor]:
    """Rename tensors to our names; unknown names get the prefix `?`."""
    if layout == "mobileclip":
        trunk = {name.removeprefix(_TRUNK): t for name, t in state.items() if name.startswith(_TRUNK)}
        words = {name: t for name, t in state.items() if not name.startswith(_TRUNK)}
        return fuse_fastvit(trunk, config.image_tower) | _rename(words, "openai", config)
    if layout == "huggingface":
        return _from_transformers(state, config)
    if layout == "duoduoclip":  # the scale of its training comes last and takes the place of CLIP's
        state = {_DUODUO.sub("", name): t for name, t in sorted(state.items(), key=lambda pair: pair[0].startswith(_TRAINED))}
    if layout == "opendlign":
        state = {name.removeprefix("clip_model."): t for name, t in state.items()}
    if layout == "timm":
        state = {_timm_name(name): _timm_tensor(name, t) for name, t in _from_trunk(state).items()}
    if layout == "openai" and "visual.attn_pool.probe" in state and "visual.proj" in state:
        state = {**state, "visual.head.bias": state["visual.proj"].new_zeros(state["visual.proj"].shape[1:])}
    if layout == "slip":
        state = {_timm_name(name): _timm_tensor(name, t) for name, t in state.items() if not name.startswith(_SLIP_OTHERS)}
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name not in _NO_WEIGHTS:
            resnet = config.vision is not None and config.vision.kind == "resnet"
            _add(renamed, _rename_one(name.removeprefix("text."), tensor, resnet=resnet))
    return renamed


def _add(found: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    if twice := sorted(found.keys() & more.keys()):
        raise WeightsError(f"{twice[0].removeprefix('?')} is in the weights twice, under two names. Check that the file holds one model.")
    found.update(more)


def _from_transformers(state: Mapping[str, Tensor], config: ClipConfig) -> dict[str, Tensor]:
    known = empty_towers(config, tuned=tuned_count(state)).state_dict().keys()
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not _POSITION_IDS.fullmatch(name):
            own = name.replace("text_model.head.", "text_projection.")
            _add(found, rename_pool(name, tensor) or {own if own in known else f"?{name}": tensor})
    return found


def _rename_one(name: str, tensor: Tensor, *, resnet: bool) -> dict[str, Tensor]:
    if name in _TEXT:
        return {_TEXT[name]: _turned(tensor) if name == "text_projection" else tensor}
    if resnet and name.startswith("visual."):
        return {f"vision_model.{name.removeprefix('visual.')}": tensor}
    if name in _VISION:
        return {_VISION[name]: _turned(tensor) if name == "visual.proj" else tensor}
    if tuned := _TUNED.fullmatch(name):
        return _rename_block(f"tuned_blocks.{tuned['number']}.", tuned["rest"], tensor) or {f"?{name}": tensor}
    block = _RESBLOCK.fullmatch(name)
    if block is None:
        return rename_pool(name, tensor) or {f"?{name}": tensor}
    tower = "vision_model" if block["where"] else "text_model"
    return _rename_block(f"{tower}.encoder.layers.{block['number']}.", block["rest"], tensor) or {f"?{name}": tensor}


def _rename_block(prefix: str, rest: str, tensor: Tensor) -> dict[str, Tensor]:
    part, _, kind = rest.rpartition(".")
    if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = rest.rpartition("_")[2]
        parts = tensor.chunk(3) if tensor.ndim else (tensor,) * 3
        return {f"{prefix}self_attn.{p}_proj.{kind}": t for p, t in zip("qkv", parts, strict=False)}
    return {f"{prefix}{_BLOCK[part]}.{kind}": tensor} if part in _BLOCK else {}


def _timm_name(name: str) -> str:
    """OpenAI's name of a tensor of timm's image tower; other names stay."""
    part, dot, kind = name.rpartition(".")
    if name.startswith("visual.blocks."):
        number, _, inner = part.removeprefix("visual.blocks.").partition(".")
        place = f"visual.transformer.resblocks.{number}"
        return f"{place}.attn.in_proj_{kind}" if inner == "attn.qkv" else f"{place}.{_TIMM_BLOCK.get(inner, inner)}.{kind}"
    return _TIMM.get(name) or f"{_TIMM.get(part, part)}{dot}{kind}"


def _timm_tensor(name: str, tensor: Tensor) -> Tensor:
    """A tensor of timm in OpenAI's shape: class token and positions without axes of length one."""
    return tensor.squeeze() if name in ("visual.cls_token", "visual.pos_embed") else tensor


def _from_trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of an open_clip file with timm's names throughout; of EVA, one bias for query, key and value, in which the key's is zero."""
    found = {f"visual.{name.removeprefix(_TRUNK)}" if name.startswith(_TRUNK) else name: t for name, t in state.items()}
    for match in filter(None, map(_QUERY_BIAS.fullmatch, list(found))):
        if (value := found.pop(f"{match[1]}.v_bias", None)) is not None:
            query = found.pop(match[0])
            found[f"{match[1]}.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    if "visual.head.weight" in found:
        found["visual.proj"] = _turned(found.pop("visual.head.weight"))
    return found


def _turned(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.ndim == 2 else tensor


def _fit(named: dict[str, Tensor], layout: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for problem, names in (("unknown", named.keys() - expected.keys()), ("missing", expected.keys() - named.keys())):
        if names:
            raise misfit(problem, [name.removeprefix("?") for name in names], layout=layout, tensors=len(named))
    named |= {name: named[name].reshape(()) for name in ("logit_scale", "logit_bias") if name in named and named[name].numel() == 1}
    for name, own in expected.items():
        got = named[name]
        if got.shape != own.shape:
            raise WeightsError(
                f"{name} has shape {tuple(got.shape)}; expected {tuple(own.shape)}. The weights belong to another architecture."
            )
        if got.is_floating_point() != own.is_floating_point():
            raise WeightsError(f"{name} has dtype {got.dtype}; expected a type like {own.dtype}. The file is damaged.")
    fitted = {name: t.contiguous().float() if t.is_floating_point() else t.contiguous() for name, t in named.items()}
    for name, tensor in fitted.items():
        check_finite(name, tensor)
    return fitted


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of towers with tuned blocks to the layout `opendlign`, the inverse of `convert`.

    Args:
        state: Tensors under the names of `ClipTowers`; the image tower must be a vision transformer.
    """
    theirs = {ours: name for name, ours in reversed({**_VISION, **_TEXT}.items())}  # of two names OpenAI's, which comes first
    parts = {ours: name for name, ours in _BLOCK.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = _OURS.fullmatch(name)
        if name in theirs:
            turned = name in ("text_projection.weight", "visual_projection.weight")
            found[f"clip_model.{theirs[name]}"] = _turned(tensor).contiguous() if turned else tensor
        elif block and block["part"] in parts:
            found[f"clip_model.{_PLACES[block['place']]}.{block['number']}.{parts[block['part']]}.{block['kind']}"] = tensor
        elif block and block["part"] == "self_attn.q_proj":
            rows = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[f"clip_model.{_PLACES[block['place']]}.{block['number']}.attn.in_proj_{block['kind']}"] = torch.cat(rows)
    return {"logit_scale": state["logit_scale"], **found}
