"""Encoders from the weights that were recorded beside the original code's output."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig
from basrelief.encoders.clip import IMAGENET_MEAN, IMAGENET_STD
from basrelief.encoders.convert import convert, convert_visual
from basrelief.encoders.random_weights import random_towers
from basrelief.encoders.towers import towers_from_state


def recorded_encoder(state: dict[str, torch.Tensor], *, heads: int = 4) -> ClipEncoder:
    """The recorded image tower (the originals' small vision transformer) beside a text tower that is not used."""
    width, _, patch, _ = state["visual.conv1.weight"].shape
    layers = 1 + max(int(name.split(".")[3]) for name in state if name.startswith("visual.transformer.resblocks."))
    vision = VisionConfig(image_size=224, width=width, layers=layers, heads=heads, patch_size=patch)
    tokenizer = Tokenizer.of_bytes()
    text = TextConfig(width=32, layers=1, heads=2, context_length=8, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    config = ClipConfig(embed_dim=state["visual.proj"].shape[1], vision=vision, text=text, activation="quick_gelu")
    towers = random_towers(config)
    towers.load_state_dict(convert_visual(state, config), strict=False)
    return ClipEncoder(towers, tokenizer)


def meta(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(str(arrays["meta"]))
    return record


def config_of(record: dict[str, Any], *, quick: bool) -> ClipConfig:
    vision, text = record["vision_cfg"], record["text_cfg"]
    resnet = isinstance(vision["layers"], list)
    heads = vision["width"] * (32 if resnet else 1) // vision["head_width"]
    sizes = (vision["image_size"], vision["width"], vision["layers"], heads, vision["patch_size"])
    tower = VisionConfig(*sizes, kind="resnet" if resnet else "vit")
    words = TextConfig(text["width"], text["layers"], text["heads"], text["context_length"], text["vocab_size"])
    return ClipConfig(record["embed_dim"], tower, words, "quick_gelu" if quick else "gelu")


def recorded_opendlign(arrays: dict[str, np.ndarray], act: str, tokenizer: Tokenizer) -> ClipEncoder:
    """The recorded small OpenDlign: CLIP with a tuned block."""
    state = {key.removeprefix("sd/"): torch.from_numpy(a) for key, a in arrays.items() if key.startswith("sd/")}
    config = config_of(meta(arrays)["settings"], quick=act == "quick")
    return ClipEncoder(towers_from_state(config, convert(state, config)), tokenizer, mean=IMAGENET_MEAN, std=IMAGENET_STD)
