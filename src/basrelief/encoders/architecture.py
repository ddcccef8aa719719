"""The image tower of weights in any layout, and of a configuration, in the few numbers that tell architectures apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from basrelief.encoders.config import VisionConfig
from basrelief.encoders.kinds import STAGES, Kind
from basrelief.encoders.registry import encoder_spec, list_encoders
from basrelief.errors import WeightsError

_TIMM = "visual.patch_embed.proj.weight"
_POOL = ("visual.attn_pool.latent", "visual.attn_pool.probe", "vision_model.head.probe")
_PRE_NORM = ("visual.norm_pre.weight", "visual.ln_pre.weight", "vision_model.pre_layrnorm.weight")
_EVA = ("visual.blocks.0.attn.q_bias", "visual_projection.bias")
_FIRST = ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", "vision_model.conv1.weight", _TIMM)
_STAGES = ("visual.layer", "vision_model.layer")
_FASTVIT = re.compile(r"(?:visual|vision_model)\.stem\.0\.(?:conv|reparam_conv|conv_kxk\.0\.conv)\.weight")
_FASTVIT_BLOCK = re.compile(r"(?:visual|vision_model)\.stages\.(\d+\.blocks\.\d+)\.")
_BLOCKS = ("visual.transformer.resblocks.", "vision_model.encoder.layers.", "visual.blocks.")
_FAMILIES = {"timm-vit": "a timm ViT", "eva-vit": "an EVA ViT", "pe-vit": "a Perception Encoder", "siglip-vit": "a SigLIP ViT"}


@dataclass(frozen=True)
class ImageTower:
    """An architecture of image towers.

    Attributes:
        width: Channels.
        patch: Side of a patch in pixels; 0 for a convolutional tower.
        blocks: Number of blocks.
        kind: As in `VisionConfig`.
    """

    width: int
    patch: int
    blocks: int
    kind: Kind = "vit"

    def __str__(self) -> str:
        """Describe it, e.g. `a ViT of width 768, patch 32, 12 blocks`."""
        if self.kind in STAGES:
            return f"a {'ResNet' if self.kind == 'resnet' else 'FastViT'} of width {self.width}, {self.blocks} blocks"
        return f"{_FAMILIES.get(self.kind, 'a ViT')} of width {self.width}, patch {self.patch}, {self.blocks} blocks"

    @property
    def known_as(self) -> str:
        """Names of known encoders with it, e.g. `ViT-B-32`, without variants such as `ViT-B-32-worldwide`; empty if there are none."""
        towers = [(name.split("/")[0], encoder_spec(name).config.vision) for name in list_encoders()]
        same = {name for name, vision in towers if vision is not None and not vision.joint_blocks and tower_in(vision) == self}
        return " and ".join(sorted(name for name in same if not any(name.startswith(f"{other}-") for other in same)))


def tower_in(vision: VisionConfig) -> ImageTower:
    """Return the image tower of a configuration."""
    layers = vision.layers if isinstance(vision.layers, int) else sum(vision.layers)
    return ImageTower(vision.width, vision.patch_size or 0, layers, vision.kind)


def tower_of(state: Mapping[str, Tensor]) -> ImageTower | None:
    """Return the image tower that weights in any layout hold, or None.

    Args:
        state: Tensors by name.
    """
    names = {_visual(name): tensor for name, tensor in state.items()}
    if first := next((name for name in names if _FASTVIT.fullmatch(name)), None):
        blocks = {match[1] for match in map(_FASTVIT_BLOCK.match, names) if match}
        return ImageTower(int(names[first].shape[0]) if names[first].ndim else 0, 0, len(blocks), "fastvit")
    conv = next((names[name] for name in _FIRST if name in names), None)
    if conv is None or conv.ndim != 4:
        return None
    stages = {tuple(name.split(".")[1:3]) for name in names if name.startswith(_STAGES)}
    if stages:
        return ImageTower(int(conv.shape[0]) * 2, 0, len(stages), "resnet")
    numbers = {name[len(mark) :].split(".")[0] for name in names for mark in _BLOCKS if name.startswith(mark)}
    stem = sum(".embeddings.stem." in name and tensor.ndim == 4 for name, tensor in names.items())
    kind: Kind = "timm-vit" if _TIMM in names or "vision_model.embeddings.patch_embedding.bias" in names else "vit"
    if any(name in names for name in _EVA):
        kind = "eva-vit"
    if any(name in names for name in _POOL):
        kind = "pe-vit" if any(name in names for name in _PRE_NORM) else "siglip-vit"
    return ImageTower(int(conv.shape[0]), int(conv.shape[-1]) * (2 * 2**stem if stem else 1), len(numbers), kind)


def check_tower(state: Mapping[str, Tensor], vision: VisionConfig | None, *, source: str) -> None:
    """Check that weights hold an image tower of the size that is needed.

    Args:
        state: Tensors by name, in any layout; weights without a known image tower pass.
        vision: The image tower that is needed; any passes if None is.
        source: Name of the file.

    Raises:
        WeightsError: If they hold another one; the message names both.
    """
    found = None if vision is None else tower_of(state)
    if vision is not None and found is not None and found != (wanted := tower_in(vision)):
        raise WeightsError(
            f"{source} is {_named(found)}; this model needs {_named(wanted)}. "
            "Choose the model with this backbone, or download the weights of that one."
        )


def _visual(name: str) -> str:
    name = name.removeprefix("clip_model.").removeprefix("duoduoclip.").replace("visual.trunk.", "visual.", 1)
    return f"visual.{name.removeprefix('point_model.')}" if name.startswith("point_model.") else name


def _named(tower: ImageTower) -> str:
    return f"{tower} ({tower.known_as or 'an architecture unknown to basrelief'})"
