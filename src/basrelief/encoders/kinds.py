"""How families of transformer towers differ from CLIP's, as data: `VisionConfig.kind` and `TextConfig.kind` name a row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["vit", "timm-vit", "eva-vit", "pe-vit", "siglip-vit", "resnet", "fastvit"]
TextKind = Literal["clip", "bidirectional", "siglip"]
TokenizerKind = Literal["clip", "gemma", "xlm-v"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
KINDS: tuple[Kind, ...] = ("vit", "timm-vit", "eva-vit", "pe-vit", "siglip-vit", "resnet", "fastvit")
TEXT_KINDS: tuple[TextKind, ...] = ("clip", "bidirectional", "siglip")
TOKENIZERS: tuple[TokenizerKind, ...] = ("clip", "gemma", "xlm-v")
ACTIVATIONS: tuple[Activation, ...] = ("gelu", "gelu_tanh", "quick_gelu")
TOKENIZER_FILES: Mapping[TokenizerKind, tuple[str, ...]] = {
    "clip": ("tokenizer.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"),
    "gemma": ("tokenizer.json",),
    "xlm-v": ("tokenizer.json",),
}
"""Names of files that may hold a vocabulary, best first."""
STAGES: Mapping[str, tuple[int, ...]] = {"resnet": (4,), "fastvit": (4, 5)}
"""Kinds of convolutional image towers, and how many stages they may have, each at half the resolution of the one before."""


@dataclass(frozen=True)
class VisionTraits:
    """What is particular to the vision transformers of a kind; the defaults are CLIP's.

    Attributes:
        patch_bias: Whether the patch embedding has a bias.
        pre_norm: Whether the tokens are normalised before the first block.
        post_norm_blocks: Whether blocks normalise what they add, not what they read.
        epsilon: Of the layer norms.
        activation: Of the MLPs; None takes that of the configuration.
        rotary: Whether queries and keys are rotated by the place of their patch (2D RoPE).
        attention_pooling: Whether the picture's feature is read from all tokens by attention; else it is the class token.
        pool_heads: Heads of the attention pooling; None takes those of the blocks.
        pool_ratio: Hidden units of its MLP per channel; None takes the hidden units of the blocks.
        projection: The map to the embedding space: without or with a bias, or none.
    """

    patch_bias: bool = False
    pre_norm: bool = True
    post_norm_blocks: bool = False
    epsilon: float = 1e-5
    activation: Activation | None = None
    rotary: bool = False
    attention_pooling: bool = False
    pool_heads: int | None = None
    pool_ratio: int | None = None
    projection: Literal["plain", "bias", "none"] = "plain"


@dataclass(frozen=True)
class TextTraits:
    """What is particular to the text towers of a kind; the defaults are CLIP's.

    Attributes:
        causal: Whether a token reads only those before it. Otherwise prompts are padded to the context length, as in training.
        pools_last: Whether the text's feature is the last token of the context; else it is the first end-of-text token.
        epsilon: Of the layer norms.
        activation: Of the MLPs; None takes that of the configuration.
        projection_bias: Whether the map to the embedding space has a bias.
    """

    causal: bool = True
    pools_last: bool = False
    epsilon: float = 1e-5
    activation: Activation | None = None
    projection_bias: bool = False


VISION_TRAITS: Mapping[Kind, VisionTraits] = {
    "vit": VisionTraits(),
    "timm-vit": VisionTraits(patch_bias=True, pre_norm=False, epsilon=1e-6, activation="gelu"),
    "eva-vit": VisionTraits(patch_bias=True, pre_norm=False, post_norm_blocks=True, epsilon=1e-6, activation="gelu", projection="bias"),
    "pe-vit": VisionTraits(rotary=True, attention_pooling=True, pool_heads=8, pool_ratio=4, projection="bias"),
    "siglip-vit": VisionTraits(patch_bias=True, pre_norm=False, epsilon=1e-6, attention_pooling=True, projection="none"),
}
"""Of timm's ViT (Dosovitskiy et al. 2021), EVA-02-CLIP-E (Sun et al. 2023, arXiv:2303.15389), the Perception Encoder (Bolya et al.
2025, arXiv:2504.13181) and SigLIP (Zhai et al. 2023, arXiv:2303.15343)."""

TEXT_TRAITS: Mapping[TextKind, TextTraits] = {
    "clip": TextTraits(),
    "bidirectional": TextTraits(causal=False),
    "siglip": TextTraits(causal=False, pools_last=True, epsilon=1e-6, projection_bias=True),
}
