"""Both CLIP towers, or the text tower alone, as one torch module, with OpenDlign's tuned copies of the last blocks.

Parameter names are Hugging Face's (`vision_model`, `visual_projection`, `text_model`, `text_projection`, `logit_scale`),
with `tuned_blocks` beside them; `convert.py` brings every other layout to these names. Everything here is differentiable.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from basrelief.encoders.config import ClipConfig
from basrelief.encoders.fastvit import FastViT
from basrelief.encoders.resnet import ModifiedResNet
from basrelief.encoders.transformer import TextTransformer, VisionTransformer
from basrelief.errors import ConfigError


class ClipTowers(nn.Module):
    """Image tower, text tower and the scale between them.

    The constructor leaves parameters uninitialised: use `towers_from_state` or `random_encoder`.

    Args:
        config: The architecture.
        images: Whether to create the image tower, if there is one; `add_image_tower` brings it later.

    Attributes:
        config: The architecture.
        vision_model: The image tower, or None.
        tuned_blocks: OpenDlign's trainable copies of the last image blocks (one in the paper), or None.
        tuned_residual: Whether the tuned branch is the mean of frozen and tuned blocks, as in the paper, or the tuned ones alone.
    """

    def __init__(self, config: ClipConfig, *, images: bool = True) -> None:
        super().__init__()
        self.config = config
        vision = config.vision if images else None
        self.vision_model: Any = None if vision is None else _image_tower(config)
        self.text_model = TextTransformer(config)
        self.visual_projection: Any = None
        if isinstance(self.vision_model, VisionTransformer) and vision is not None and vision.traits.projection != "none":
            self.visual_projection = nn.Linear(vision.width, config.embed_dim, bias=vision.traits.projection == "bias")
        elif isinstance(self.vision_model, FastViT):
            self.visual_projection = nn.Linear(self.vision_model.features, config.embed_dim)
        self.text_projection = nn.Linear(config.text.width, config.embed_dim, bias=config.text.traits.projection_bias)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if config.logit_bias else None
        self.tuned_blocks: nn.ModuleList | None = None
        self.tuned_residual = True

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parameters."""
        return self.text_projection.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.text_projection.weight.device

    def cast(self, dtype: torch.dtype) -> None:
        """Change the floating point type of everything but the scale and bias of logits, which bfloat16 would move by one in a hundred."""
        kept = [(parameter, parameter.data) for parameter in (self.logit_scale, self.logit_bias) if parameter is not None]
        self.to(dtype)
        for parameter, data in kept:
            parameter.data = data

    def add_image_tower(self, state: Mapping[str, Tensor]) -> None:
        """Add the image tower to a text tower that was created without it, on its device and in its dtype.

        Args:
            state: Parameters and buffers of the image tower and of tuned blocks, as `convert_visual` gives them.
        """
        other = towers_from_state(self.config, {**self.state_dict(), **state})
        for name in ("vision_model", "visual_projection", "tuned_blocks"):
            part = getattr(other, name)
            setattr(self, name, None if part is None else part.to(self.device, self.dtype))

    def add_tuned_blocks(self, count: int = 1, *, residual: bool = True) -> None:
        """Add copies of the last image blocks for tuning, as OpenDlign does before training.

        Args:
            count: How many; the paper's choice is 1.
            residual: See `tuned_residual`.

        Raises:
            ConfigError: If the image tower is convolutional, has fewer than that, or pools by attention.
        """
        blocks = self._blocks()
        if self.vision_model.head is not None:
            raise ConfigError(_NO_CLASS_TOKEN)
        if not 1 <= count <= len(blocks):
            raise ConfigError(f"Cannot tune {count} of the tower's {len(blocks)} transformer blocks. Use 1, and a ViT encoder.")
        self.tuned_blocks = nn.ModuleList(copy.deepcopy(block) for block in blocks[-count:])
        self.tuned_residual = residual

    def tuned_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that OpenDlign trains: the attention of the tuned blocks, 4 W^2 + 4 W values each.

        Raises:
            ConfigError: If there are no tuned blocks.
        """
        return [parameter for block in self._tuned() for parameter in block.get_submodule("self_attn").parameters()]

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Encode normalised images; the features are not normalised.

        Args:
            pixels: Pictures at the tower's own size, mean and std already applied.
            tuned: True for the rows that go through the tuned blocks too; none when left out.

        Raises:
            ConfigError: If `tuned` asks for a block that is not there.
        """
        if not isinstance(self.vision_model, VisionTransformer):
            if tuned is not None and bool(tuned.any()):
                raise ConfigError(_NO_BLOCKS)
            features: Tensor = self.vision_model(pixels.to(self.dtype))
            return features if self.visual_projection is None else self.visual_projection(features)
        return self.finish(self.trunk(pixels), tuned=tuned)

    def trunk(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n tokens width"]:
        """Return the tokens before the blocks that have tuned copies, or before the last one: the trunk both branches share.

        Raises:
            ConfigError: If the image tower is convolutional.
        """
        return self._run(self._blocks()[: -self._ends()], pixels)

    def view_features(self, pixels: Float[Tensor, "shapes views 3 s s"]) -> Float[Tensor, "shapes dim"]:
        """Encode shapes from all their views at once; the features are not normalised.

        In the last `VisionConfig.joint_blocks` blocks the tokens of all views of a shape attend to each other (Lee et al. 2024,
        arXiv:2406.11579). The mean of the views' class tokens, after the final norm, is projected. The order of views has no effect.

        Args:
            pixels: Pictures at the tower's own size, mean and std already applied.

        Raises:
            ConfigError: If the image tower encodes each picture by itself.
        """
        joint = self.config.image_tower.joint_blocks
        if not joint:
            raise ConfigError("This image tower has no blocks that read several views. Choose an encoder that has, e.g. DuoduoCLIP's.")
        blocks = self._blocks()
        tokens = self.vision_model.read_jointly(blocks[-joint:], self._run(blocks[:-joint], pixels.flatten(0, 1)), views=pixels.shape[1])
        return cast(Tensor, self.visual_projection(self.vision_model.post_layernorm(tokens).mean(1)))

    def _run(self, blocks: nn.ModuleList, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n tokens width"]:
        """All tokens after the first blocks."""
        tokens: Tensor = self.vision_model.pre_layrnorm(self.vision_model.embeddings(pixels.to(self.dtype)))
        return cast(Tensor, self.vision_model.run(blocks, tokens))

    def finish(self, tokens: Float[Tensor, "n tokens width"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Return features from the trunk's tokens, through the last blocks and, if requested, the tuned ones.

        The tuned branch is `0.5 last(x) + 0.5 tuned(x)` before the final norm, as OpenDlign's code has it (its paper writes a sum).
        """
        last = self.frozen_token(tokens)
        if tuned is not None and bool(tuned.any()):
            rows = tuned.to(tokens.device).nonzero(as_tuple=True)[0]
            last = last.index_copy(0, rows, self.tuned_token(tokens[rows], last[rows]))
        return self.project(last)

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode normalised images through both branches, sharing the trunk.

        Raises:
            ConfigError: If there are no tuned blocks.
        """
        self._tuned()
        tokens = self.trunk(pixels)
        frozen = self.frozen_token(tokens)
        return self.project(frozen), self.project(self.tuned_token(tokens, frozen))

    def frozen_token(self, tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n width"]:
        """What stands for the picture after the frozen last blocks: the class token, or what attention pooling reads."""
        return cast(Tensor, self.vision_model.read(self._blocks()[-self._ends() :], tokens))

    def tuned_token(self, tokens: Float[Tensor, "n tokens width"], frozen: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        """The class token of the tuned branch.

        Args:
            tokens: From `trunk`.
            frozen: From `frozen_token`, of the same tokens.

        Raises:
            ConfigError: If there are no tuned blocks.
        """
        own: Tensor = self.vision_model.read(self._tuned(), tokens)
        return 0.5 * frozen + 0.5 * own if self.tuned_residual else own

    def project(self, token: Float[Tensor, "n width"]) -> Float[Tensor, "n dim"]:
        """Features of class tokens: the final norm, unless attention pooling came after it, and the projection, if there is one."""
        token = token if self.vision_model.head is not None else self.vision_model.post_layernorm(token)
        return token if self.visual_projection is None else cast(Tensor, self.visual_projection(token))

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Return features of token ids, not of unit length: at the first end-of-text token, or at the last one in a tower that pools there.

        In a causal tower later tokens have no effect; ids for any other must have the context's length.
        """
        return self.trimmed_text_features(self.trim_text(ids))

    def trim_text(self, ids: Int[Tensor, "n length"]) -> Int[Tensor, "n trimmed"]:
        """Return token ids without the columns that no text needs; all of them in a tower that is not causal."""
        text = self.config.text
        if text.traits.causal:
            return ids[:, : int(self._text_end(ids).max()) + 1]
        if ids.shape[1] != text.context_length:
            raise ConfigError(f"ids has {ids.shape[1]} columns; expected {text.context_length}. Pass padded=True to the tokenizer.")
        return ids

    def trimmed_text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Return features of what `trim_text` gave; no step depends on values, so that it can be exported."""
        read = self.text_model(ids)
        features: Tensor = self.text_projection(read[torch.arange(ids.shape[0], device=ids.device), self._text_end(ids)])
        return features

    def _text_end(self, ids: Int[Tensor, "n length"]) -> Int[Tensor, " n"]:
        """The position whose output is a text's feature."""
        text = self.config.text
        if text.traits.pools_last:
            return torch.full_like(ids[:, 0], ids.shape[1] - 1)
        return ids.eq(text.eot or 0).int().argmax(dim=1)

    def _blocks(self) -> nn.ModuleList:
        if not isinstance(self.vision_model, VisionTransformer):
            raise ConfigError(_NO_BLOCKS)
        blocks: nn.ModuleList = self.vision_model.encoder.layers
        return blocks

    def _ends(self) -> int:
        """How many blocks at the end are outside the trunk."""
        return 1 if self.tuned_blocks is None else len(self.tuned_blocks)

    def _tuned(self) -> nn.ModuleList:
        if self.tuned_blocks is None:
            raise ConfigError(_NO_BLOCKS if not isinstance(self.vision_model, VisionTransformer) else _NO_TUNED)
        return self.tuned_blocks


_NO_BLOCKS = "A convolutional image tower has no tuned blocks. Choose a ViT encoder."
_NO_CLASS_TOKEN = (
    "This image tower pools all tokens by attention, but tuned blocks change the class token alone. Choose an encoder that reads its "
    "class token, such as ViT-B-16."
)
_NO_TUNED = "The encoder has no tuned blocks. Load OpenDlign's weights or call add_tuned_blocks()."


def empty_towers(config: ClipConfig, *, tuned: int = 0, images: bool = True) -> ClipTowers:
    """Towers on the meta device: names and dimensions, no numbers and no memory.

    Args:
        config: The architecture.
        tuned: How many tuned blocks to add.
        images: Whether to create the image tower, if there is one.
    """
    with torch.device("meta"):
        towers = ClipTowers(config, images=images)
        if tuned:
            towers.add_tuned_blocks(tuned)
    return towers


def towers_from_state(config: ClipConfig, state: Mapping[str, Tensor]) -> ClipTowers:
    """Towers that hold the given tensors, in evaluation mode, with as many tuned blocks as the names hold, perhaps without an image tower.

    Args:
        config: The architecture.
        state: Every parameter and buffer by its name here, as `convert` gives them; used as they are, not copied.
    """
    towers = empty_towers(config, tuned=tuned_count(state), images=any(name.startswith("vision_model.") for name in state))
    towers.load_state_dict(state, strict=True, assign=True)
    return towers.eval()


def _image_tower(config: ClipConfig) -> nn.Module:
    vision = config.image_tower
    if vision.kind == "fastvit":
        return FastViT(vision)
    return ModifiedResNet(vision, config.embed_dim) if vision.kind == "resnet" else VisionTransformer(config)


def tuned_count(names: Iterable[str]) -> int:
    """How many tuned blocks the names of a state dict hold."""
    return len({name.split(".")[1] for name in names if name.startswith("tuned_blocks.")})
