"""FastViT, the image tower of MobileCLIP and MobileCLIP2: stages of convolutions, and attention in the last.

Follows Vasu et al. 2023 (arXiv:2303.14189) and Faghri et al. 2025 (arXiv:2508.20691). In training, each convolution is a sum of branches
with batch norms (Ding et al. 2021, arXiv:2101.03697). Here each is one convolution with a bias: `fuse.py` adds the branches up when weights
are read, which gives equal outputs in less time.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.encoders.config import VisionConfig
from basrelief.encoders.transformer import Attention

_MIXER, _LARGE = 3, 7
"""Sides of the kernels of token mixers, and of all other convolutions that look far."""


class SqueezeExcite(nn.Module):
    """Scale channels by gates that are computed from their means (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """Gated channels."""
        gates: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * gates


class ConvUnit(nn.Module):
    """Convolution, squeeze and excitation if `squeeze` is not 0, GELU."""

    def __init__(self, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1, squeeze: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups)
        self.se = SqueezeExcite(outputs, squeeze) if squeeze else nn.Identity()

    def forward(self, x: Float[Tensor, "n inputs height width"]) -> Float[Tensor, "n outputs h w"]:
        """Features at the resolution divided by the stride."""
        return F.gelu(self.se(self.conv(x)))


class ConvMlp(nn.Module):
    """Depthwise 7x7 convolution, then two linear maps of the channels with a GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv = _depthwise(width, _LARGE)
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.fc2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Float[Tensor, "n width height w"]) -> Float[Tensor, "n width height w"]:
        """What a block adds."""
        added: Tensor = self.fc2(F.gelu(self.fc1(self.conv(x))))
        return added


class MixerBlock(nn.Module):
    """Depthwise 3x3 convolution that mixes positions, then a `ConvMlp` with a residual."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.token_mixer = _depthwise(width, _MIXER)
        self.mlp = ConvMlp(width, inner)

    def forward(self, x: Float[Tensor, "n width height w"]) -> Float[Tensor, "n width height w"]:
        """All positions."""
        x = self.token_mixer(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class AttentionBlock(nn.Module):
    """Attention among all positions with a residual, then a `ConvMlp` with a residual.

    The design with four stages normalises with a batch norm, which is part of the attention's projections here; that with five with a
    layer norm.
    """

    def __init__(self, width: int, heads: int, inner: int, *, normalises: bool) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width) if normalises else nn.Identity()
        self.self_attn = Attention(width, heads)
        self.mlp = ConvMlp(width, inner)

    def forward(self, x: Float[Tensor, "n width height w"]) -> Float[Tensor, "n width height w"]:
        """All positions."""
        tokens = self.layer_norm1(x.flatten(2).transpose(1, 2))
        x = x + self.self_attn(tokens, tokens).transpose(1, 2).unflatten(2, x.shape[2:])
        mixed: Tensor = x + self.mlp(x)
        return mixed


class Stage(nn.Module):
    """Half the resolution and twice the channels, except in the first stage; in stages with attention, positions; then blocks."""

    def __init__(self, config: VisionConfig, number: int) -> None:
        super().__init__()
        layers = config.layers if isinstance(config.layers, tuple) else ()
        width, last, large = config.width * 2**number, len(layers) - 1, len(layers) == 5
        inner = (config.mlp_width or 0) * 2**number
        attends = number == last or (large and number == last - 1)
        self.downsample: nn.Module = nn.Identity()
        if number:
            squeeze = width // 4 if number >= 2 and not large else 0
            far = ConvUnit(width // 2, width, _LARGE, stride=2, groups=width // 2, squeeze=squeeze)
            self.downsample = nn.Sequential(far, ConvUnit(width, width, 1))
        self.pos_emb = _depthwise(width, _LARGE) if attends else nn.Identity()
        heads = config.heads // 2 ** (last - number)
        self.blocks = nn.Sequential(
            *(AttentionBlock(width, heads, inner, normalises=large) if attends else MixerBlock(width, inner) for _ in range(layers[number]))
        )

    def forward(self, x: Float[Tensor, "n inputs height width"]) -> Float[Tensor, "n outputs h w"]:
        """Features of the next resolution."""
        features: Tensor = self.blocks(self.pos_emb(self.downsample(x)))
        return features


class FastViT(nn.Module):
    """The image tower of MobileCLIP2 up to its projection.

    With four stages it is MCi0 to MCi2 (MobileCLIP-S0 to S2), with five MCi3 and MCi4 (S3, S4): no squeeze and excitation, attention in
    two stages instead of one.

    Attributes:
        features: How many it gives for a picture.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, last = config.width, config.last_width
        self.features = 2 * last
        self.stem = nn.Sequential(
            ConvUnit(3, width, 3, stride=2), ConvUnit(width, width, 3, stride=2, groups=width), ConvUnit(width, width, 1)
        )
        stages = len(config.layers) if isinstance(config.layers, tuple) else 0
        self.stages = nn.Sequential(*(Stage(config, number) for number in range(stages)))
        self.final_conv = ConvUnit(last, self.features, 3, groups=last, squeeze=self.features // 16)

    def forward(self, x: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n features"]:
        """Mean features of normalised pictures, twice as many as the last stage has channels."""
        features: Tensor = self.final_conv(self.stages(self.stem(x))).mean((2, 3))
        return features


def _depthwise(width: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, side, padding=side // 2, groups=width)
