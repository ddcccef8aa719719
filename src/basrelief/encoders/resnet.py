"""CLIP's modified ResNet: three-convolution stem, average pooling before every stride, attention pooling at the end.

Follows Radford et al. 2021 (arXiv:2103.00020), sec. 2.4; parameter names are those of OpenAI's published weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.encoders.config import VisionConfig

_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a residual; a stride is an average pooling, so that nothing is skipped."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential()
            self.downsample.add_module("-1", nn.AvgPool2d(stride))
            self.downsample.add_module("0", nn.Conv2d(inputs, outputs, 1, bias=False))
            self.downsample.add_module("1", nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs h w"]:
        """Features of the next depth, `stride` times smaller."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.avgpool(F.relu(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(nn.Module):
    """One attention layer in which the mean token asks all positions."""

    def __init__(self, positions: int, width: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.zeros(positions + 1, width))
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "batch width height w"]) -> Float[Tensor, "batch outputs"]:
        """Features of the whole picture."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + self.positional_embedding
        queries, keys, values = (
            proj(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj, t in ((self.q_proj, tokens[:, :1]), (self.k_proj, tokens), (self.v_proj, tokens))
        )
        pooled = F.scaled_dot_product_attention(queries, keys, values)
        features: Tensor = self.c_proj(pooled.transpose(1, 2).flatten(1))
        return features


class ModifiedResNet(nn.Module):
    """The image tower of CLIP's RN50 and RN101; its attention pooling is also the projection to the embedding space."""

    def __init__(self, config: VisionConfig, embed_dim: int) -> None:
        super().__init__()
        width, stages = config.width, config.layers if isinstance(config.layers, tuple) else ()
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        inputs = width
        for stage, blocks in enumerate(stages):
            planes = width * 2**stage
            first = Bottleneck(inputs, planes, 1 if stage == 0 else 2)
            inputs = planes * _EXPANSION
            rest = [Bottleneck(inputs, planes, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.attnpool = AttentionPool((config.image_size // 32) ** 2, inputs, config.heads, embed_dim)

    def forward(self, x: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch dim"]:
        """Features of normalised pictures, not of unit length."""
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(bn(conv(x)))
        x = F.avg_pool2d(x, 2)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        features: Tensor = self.attnpool(x)
        return features
