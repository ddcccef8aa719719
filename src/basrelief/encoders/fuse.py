"""The published weights of FastViT, in which a convolution is a sum of branches with batch norms, as one convolution each.

Ding et al. 2021 (arXiv:2101.03697): every branch is linear once its batch norm is fixed, so their kernels and biases add up, smaller ones
padded with zeros. Sums are computed in float64, so that outputs differ from those of the branches by the rounding of float32 only.
Files whose branches were added up already (`reparam_conv`) are read, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders.config import VisionConfig
from basrelief.encoders.state_dict import misfit
from basrelief.errors import WeightsError

_EPSILON = 1e-5
_COUNTERS = ".num_batches_tracked"

Layer = tuple[Tensor, Tensor]
"""Kernel and bias of a convolution or matrix."""


def fuse_fastvit(state: Mapping[str, Tensor], config: VisionConfig) -> dict[str, Tensor]:
    """Rename the tensors of an image tower from timm's names to those of `ClipTowers`, branches added up.

    Args:
        state: Tensors by their names in timm's `fastvit_mci0` and its like.
        config: The architecture.

    Returns:
        `vision_model.*` and `visual_projection.*`; names that the architecture does not have begin with `?visual.trunk.`.

    Raises:
        WeightsError: If a branch is missing, or the shapes of branches do not fit each other.
    """
    branches = _Branches({name: tensor for name, tensor in state.items() if not name.endswith(_COUNTERS)})
    try:
        found = dict(_tower(branches, config))
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise WeightsError(
            f"The branches of the image tower have types or shapes that do not fit each other: {reason}. "
            "The weights belong to another architecture."
        ) from error
    return {**found, **{f"?visual.trunk.{name}": tensor for name, tensor in branches.left.items()}}


class _Branches:
    """Tensors by name, each taken once.

    Attributes:
        left: Those that were not taken.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.left, self._count = state, len(state)

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            raise misfit("missing", [f"visual.trunk.{name}"], layout="mobileclip", tensors=self._count)
        if not self.left[name].is_floating_point():
            raise ValueError(f"{name} has dtype {self.left[name].dtype}")
        return self.left.pop(name).double()

    def layer(self, place: str) -> Layer:
        return self.take(f"{place}.weight"), self.take(f"{place}.bias")

    def norm(self, place: str) -> Layer:
        """Factor and offset of a batch norm."""
        (gain, bias), mean, variance = self.layer(place), self.take(f"{place}.running_mean"), self.take(f"{place}.running_var")
        _check_vectors(place, len(gain), gain, bias, mean, variance)
        factor = gain / (variance + _EPSILON).sqrt()
        return factor, bias - mean * factor

    def normed(self, place: str, side: int) -> Layer:
        """A convolution without bias and its batch norm, padded to a kernel of that side."""
        kernel = self.take(f"{place}.conv.weight")
        factor, offset = self.norm(f"{place}.bn")
        border = (side - kernel.shape[-1]) // 2
        return F.pad(kernel * factor[:, None, None, None], [border] * 4), offset

    def identity(self, place: str, like: Tensor) -> Layer:
        """A batch norm alone, as a convolution with a kernel of that shape."""
        factor, offset = self.norm(f"{place}.identity")
        return factor[:, None, None, None] * _identity(like), offset

    def unit(self, place: str, side: int, *, skip: bool = False, scale: bool = False) -> Layer:
        """A unit of a kernel, a kernel of side 1 if it has one (`scale`), and a skip connection if it has one."""
        if f"{place}.reparam_conv.weight" in self.left:
            return self.layer(f"{place}.reparam_conv")
        parts = [self.normed(f"{place}.conv_kxk.0", side)]
        if scale:
            parts.append(self.normed(f"{place}.conv_scale", side))
        if skip:
            parts.append(self.identity(place, parts[0][0]))
        return _sum(parts)

    def large(self, place: str) -> Layer:
        """A large kernel and a small one."""
        if f"{place}.reparam_conv.weight" in self.left:
            return self.layer(f"{place}.reparam_conv")
        return _sum([self.normed(f"{place}.large_conv", 7), self.normed(f"{place}.small_conv", 7)])

    def mixer(self, place: str) -> Layer:
        """The sum of x and scale (mixer(x) - norm(x))."""
        if f"{place}.reparam_conv.weight" in self.left:
            return self.layer(f"{place}.reparam_conv")
        kernel, bias = self.unit(f"{place}.mixer", 3, skip=True, scale=True)
        own, offset = self.identity(f"{place}.norm", kernel)
        scale = self.take(f"{place}.layer_scale.gamma").flatten()
        _check_vectors(place, len(kernel), scale)
        return _identity(kernel) + scale[:, None, None, None] * (kernel - own), scale * (bias - offset)

    def positions(self, place: str) -> Layer:
        """The sum of x and pos_enc(x)."""
        if f"{place}.reparam_conv.weight" in self.left:
            return self.layer(f"{place}.reparam_conv")
        kernel, bias = self.layer(f"{place}.pos_enc")
        return kernel + _identity(kernel), bias

    def scaled(self, place: str, gamma: str) -> Layer:
        """A layer whose outputs are scaled."""
        kernel, bias = self.layer(place)
        scale = self.take(f"{gamma}.gamma").flatten()
        _check_vectors(place, len(kernel), bias, scale)
        return kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)), bias * scale


def _check_vectors(place: str, length: int, *vectors: Tensor) -> None:
    for vector in vectors:
        if vector.shape != (length,):
            raise ValueError(f"{place} has {tuple(vector.shape)} beside {length} channels")


def _tower(branches: _Branches, config: VisionConfig) -> Iterator[tuple[str, Tensor]]:
    layers = config.layers if isinstance(config.layers, tuple) else ()
    large, last = len(layers) == 5, len(layers) - 1
    for number, side in enumerate((3, 3, 1)):
        unit = branches.unit(f"stem.{number}", side, skip=number == 2, scale=number < 2 and not large)
        yield from _named(f"stem.{number}.conv", unit)
    for number, blocks in enumerate(layers):
        stage, attends = f"stages.{number}", number == last or (large and number == last - 1)
        if number:
            yield from _named(f"{stage}.downsample.0.conv", branches.large(f"{stage}.downsample.proj.0"))
            if number >= 2 and not large:
                yield from _squeeze(branches, f"{stage}.downsample.proj.0.se", f"{stage}.downsample.0.se")
            unit = branches.unit(f"{stage}.downsample.proj.1", 1, skip=True)
            yield from _named(f"{stage}.downsample.1.conv", unit)
        if attends:
            yield from _named(f"{stage}.pos_emb", branches.positions(f"{stage}.pos_emb"))
        for block in range(blocks):
            place = f"{stage}.blocks.{block}"
            if attends:
                yield from _attention(branches, place, normalises=large)
            else:
                yield from _named(f"{place}.token_mixer", branches.mixer(f"{place}.token_mixer"))
            yield from _named(f"{place}.mlp.conv", branches.normed(f"{place}.mlp.conv", 7))
            yield from _named(f"{place}.mlp.fc1", branches.layer(f"{place}.mlp.fc1"))
            yield from _named(f"{place}.mlp.fc2", branches.scaled(f"{place}.mlp.fc2", f"{place}.layer_scale{'_2' if attends else ''}"))
    yield from _named("final_conv.conv", branches.unit("final_conv", 3, scale=True))
    yield from _squeeze(branches, "final_conv.se", "final_conv.se")
    weight, bias = branches.layer("head.fc")
    yield from (("visual_projection.weight", weight.float()), ("visual_projection.bias", bias.float()))


def _attention(branches: _Branches, place: str, *, normalises: bool) -> Iterator[tuple[str, Tensor]]:
    """Attention with a bias in its projections, which holds the offset of a batch norm."""
    weight = branches.take(f"{place}.token_mixer.qkv.weight")
    if normalises:
        yield from _named(f"{place}.layer_norm1", branches.layer(f"{place}.norm"))
        bias = weight.new_zeros(len(weight))
    else:
        factor, offset = branches.norm(f"{place}.norm")
        weight, bias = weight * factor, weight @ offset
    for part, own, offset in zip("qkv", weight.chunk(3), bias.chunk(3), strict=True):
        yield from _named(f"{place}.self_attn.{part}_proj", (own, offset))
    yield from _named(f"{place}.self_attn.out_proj", branches.scaled(f"{place}.token_mixer.proj", f"{place}.layer_scale_1"))


def _squeeze(branches: _Branches, place: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    for part in ("fc1", "fc2"):
        yield from _named(f"{ours}.{part}", branches.layer(f"{place}.{part}"))


def _named(place: str, layer: Layer) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"vision_model.{place}.{kind}", tensor.float()) for kind, tensor in zip(("weight", "bias"), layer, strict=True))


def _identity(like: Tensor) -> Tensor:
    """The kernel of that shape that returns its input; input channels in groups as the shape says."""
    outputs, inputs, side = like.shape[:3]
    kernel, rows = torch.zeros_like(like), torch.arange(outputs, device=like.device)
    kernel[rows, rows % inputs, side // 2, side // 2] = 1
    return kernel


def _sum(parts: list[Layer]) -> Layer:
    return torch.stack([kernel for kernel, _ in parts]).sum(0), torch.stack([bias for _, bias in parts]).sum(0)
