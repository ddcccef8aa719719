"""Encoders from the weights that were recorded beside the original code's output."""

from __future__ import annotations

import torch

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig
from basrelief.encoders.convert import convert_visual
from basrelief.encoders.random_weights import random_towers


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
