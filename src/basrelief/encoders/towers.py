"""Both CLIP towers as one torch module, with OpenDlign's tuned second last block.

Parameter names are Hugging Face's (`vision_model`, `visual_projection`, `text_model`, `text_projection`, `logit_scale`),
with `tuned_block` beside them; `convert.py` brings every other layout to these names. Everything here is differentiable.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from basrelief.encoders.config import ClipConfig, TextConfig, VisionConfig
from basrelief.encoders.resnet import ModifiedResNet
from basrelief.errors import ConfigError


class ClipTowers(nn.Module):
    """Image tower, text tower and the scale between them.

    Built without usable numbers in it: take `towers_from_state` (or `random_encoder`) for a module that runs.

    Attributes:
        config: The architecture.
        tuned_block: OpenDlign's trainable twin of the last image block, or None.
    """

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model: Any = _vision(config)
        self.text_model: Any = _text(config)
        resnet = config.vision.kind == "resnet"  # its attention pooling projects already
        self.visual_projection: Any = None if resnet else nn.Linear(config.vision.width, config.embed_dim, bias=False)
        self.text_projection = nn.Linear(config.text.width, config.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.tuned_block: nn.Module | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parameters."""
        return self.text_projection.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.text_projection.weight.device

    def cast(self, dtype: torch.dtype) -> None:
        """Change the floating point type of everything but `logit_scale`, which bfloat16 would move by one in a hundred."""
        scale = self.logit_scale.data
        self.to(dtype)
        self.logit_scale.data = scale

    def add_tuned_block(self) -> None:
        """Add a second last image block, a copy of the last one, as OpenDlign does before training.

        Raises:
            ConfigError: If the image tower is a ResNet, which has no such block.
        """
        self.tuned_block = copy.deepcopy(self._blocks[-1])

    def tuned_parameters(self) -> list[nn.Parameter]:
        """What OpenDlign trains: the attention of the tuned block (4 W^2 + 4 W numbers), nothing else.

        Raises:
            ConfigError: If there is no tuned block.
        """
        return list(self._tuned.get_submodule("self_attn").parameters())

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Features of normalised pictures, not of unit length.

        Args:
            pixels: Pictures at the tower's own size, mean and std already applied.
            tuned: True for the rows that go through the tuned block too; none when left out.

        Raises:
            ConfigError: If `tuned` asks for a block that is not there.
        """
        if isinstance(self.vision_model, ModifiedResNet):
            if tuned is not None and bool(tuned.any()):
                raise ConfigError(_NO_BLOCKS)
            features: Tensor = self.vision_model(pixels.to(self.dtype))
            return features
        return self.finish(self.trunk(pixels), tuned=tuned)

    def trunk(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n tokens width"]:
        """Tokens before the last block: what the frozen and the tuned branch share.

        Raises:
            ConfigError: If the image tower is a ResNet.
        """
        blocks = self._blocks[:-1]
        tokens: Tensor = self.vision_model.pre_layrnorm(self.vision_model.embeddings(pixels.to(self.dtype)))
        for block in blocks:
            tokens = block(tokens, attention_mask=None)
        return tokens

    def finish(self, tokens: Float[Tensor, "n tokens width"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Features from the trunk's tokens, through the last block and, where asked, half of the tuned one.

        The tuned branch is `0.5 last(x) + 0.5 tuned(x)` before the final norm, as OpenDlign's code has it (its paper writes a sum).
        """
        last: Tensor = self._blocks[-1](tokens, attention_mask=None)
        if tuned is not None and bool(tuned.any()):
            rows = tuned.to(tokens.device).nonzero(as_tuple=True)[0]
            mixed = 0.5 * last[rows] + 0.5 * self._tuned(tokens[rows], attention_mask=None)
            last = last.index_copy(0, rows, mixed)
        return self._project(last)

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Frozen and tuned features of normalised pictures, for the price of one trunk and two blocks.

        Raises:
            ConfigError: If there is no tuned block.
        """
        tuned_block, tokens = self._tuned, self.trunk(pixels)
        last: Tensor = self._blocks[-1](tokens, attention_mask=None)
        return self._project(last), self._project(0.5 * last + 0.5 * tuned_block(tokens, attention_mask=None))

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Features of token ids at the first end-of-text token, not of unit length; what stands after it has no effect."""
        hidden = self.text_model(input_ids=ids).last_hidden_state
        end = ids.eq(self.config.text.eot or 0).int().argmax(dim=1)
        features: Tensor = self.text_projection(hidden[torch.arange(len(ids), device=ids.device), end])
        return features

    def _project(self, tokens: Tensor) -> Tensor:
        features: Tensor = self.visual_projection(self.vision_model.post_layernorm(tokens[:, 0]))
        return features

    @property
    def _blocks(self) -> nn.ModuleList:
        if isinstance(self.vision_model, ModifiedResNet):
            raise ConfigError(_NO_BLOCKS)
        blocks: nn.ModuleList = self.vision_model.encoder.layers
        return blocks

    @property
    def _tuned(self) -> nn.Module:
        if self.tuned_block is None:
            raise ConfigError(_NO_BLOCKS if isinstance(self.vision_model, ModifiedResNet) else _NO_TUNED)
        return self.tuned_block


_NO_BLOCKS = "tuned must name a branch of a vision transformer, but got a ResNet. Choose a ViT encoder."
_NO_TUNED = (
    "tuned must name a branch that exists, but got an encoder without tuned block. Load OpenDlign's weights or call add_tuned_block()."
)


def empty_towers(config: ClipConfig, *, tuned: bool = False) -> ClipTowers:
    """Towers on the meta device: names and dimensions, no numbers and no memory.

    Args:
        config: The architecture.
        tuned: Add the tuned block.
    """
    with torch.device("meta"):
        towers = ClipTowers(config)
        if tuned:
            towers.add_tuned_block()
    return towers


def towers_from_state(config: ClipConfig, state: Mapping[str, Tensor]) -> ClipTowers:
    """Towers that hold the given tensors, in evaluation mode; a tuned block is built when the names hold one.

    Args:
        config: The architecture.
        state: Every parameter and buffer by its name here, as `convert` gives them; used as they are, not copied.
    """
    towers = empty_towers(config, tuned=any(name.startswith("tuned_block.") for name in state))
    towers.load_state_dict(state, strict=True, assign=True)
    for module in towers.modules():
        ids = getattr(module, "position_ids", None)
        if isinstance(ids, Tensor):
            module.register_buffer("position_ids", torch.arange(ids.shape[-1]).expand(1, -1), persistent=False)
    return towers.eval()


def _vision(config: ClipConfig) -> nn.Module:
    vision = config.vision
    if vision.kind == "resnet":
        return ModifiedResNet(vision, config.embed_dim)
    from transformers.models.clip.configuration_clip import CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPVisionModel

    own: dict[str, Any] = {"image_size": vision.image_size, "patch_size": vision.patch_size}
    model = CLIPVisionModel(CLIPVisionConfig(**_settings(vision, config.activation), **own))
    inner: nn.Module = getattr(model, "vision_model", model)
    return inner


def _text(config: ClipConfig) -> nn.Module:
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    text = config.text
    own: dict[str, Any] = {"vocab_size": text.vocab_size, "max_position_embeddings": text.context_length, "eos_token_id": text.eot}
    settings = CLIPTextConfig(**_settings(text, config.activation), **own, bos_token_id=None, pad_token_id=None)
    model = CLIPTextModel(settings)
    inner: nn.Module = getattr(model, "text_model", model)
    return inner


def _settings(tower: VisionConfig | TextConfig, activation: str) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.mlp_width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "hidden_act": activation,
        "attn_implementation": "sdpa",
    }
