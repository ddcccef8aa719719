"""CLIP's transformers and their variants: patches in for pictures, token ids in for words. What differs is data, in `kinds`.

Follows Radford et al. 2021 (arXiv:2103.00020), sec. 2.4 and 2.5; parameter names are those of Hugging Face's files. Written out here
because importing a library for it takes longer than a search by words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.config import ClipConfig, TextConfig, VisionConfig
from basrelief.encoders.kinds import Activation
from basrelief.encoders.rotary import Rotation, rotate, rotation


def quick_gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """OpenAI's activation: x times sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


_CURVES: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
}


class Attention(nn.Module):
    """Multi-head attention with separate projections of query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)  # in the order of the files, which fingerprints follow
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self,
        queries: Float[Tensor, "n queries width"],
        tokens: Float[Tensor, "n tokens width"],
        *,
        causal: bool = False,
        places: Rotation | None = None,
    ) -> Float[Tensor, "n queries width"]:
        """Attend from query tokens to all tokens; with `causal`, to themselves and earlier ones.

        Args:
            queries: The first of the tokens where `places` are given.
            tokens: What is read.
            causal: Whether later tokens are hidden.
            places: Rotation of queries and keys by the place of each token, or None.
        """
        query, key, value = (self._parted(rows) for rows in (self.q_proj(queries), self.k_proj(tokens), self.v_proj(tokens)))
        if places is not None:
            query, key = rotate(query, places), rotate(key, places)
        read = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        found: Tensor = self.out_proj(read.transpose(1, 2).flatten(2))
        return found

    def _parted(self, rows: Float[Tensor, "n rows width"]) -> Float[Tensor, "n heads rows part"]:
        parted: Tensor = rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return parted


class Perceptron(nn.Module):
    """Two linear maps with an activation between."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.activation = activation

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Each token by itself."""
        outputs: Tensor = self.fc2(_CURVES[self.activation](self.fc1(x)))
        return outputs


class Block(nn.Module):
    """Attention and perceptron, each on normalised tokens and added to them."""

    def __init__(self, tower: VisionConfig | TextConfig, activation: Activation, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.self_attn = Attention(tower.width, tower.heads)
        self.layer_norm1 = nn.LayerNorm(tower.width, eps=epsilon)
        self.mlp = Perceptron(tower.width, tower.mlp_width or 0, activation)
        self.layer_norm2 = nn.LayerNorm(tower.width, eps=epsilon)

    def forward(
        self, tokens: Float[Tensor, "n tokens width"], *, causal: bool = False, places: Rotation | None = None
    ) -> Float[Tensor, "n tokens width"]:
        """All tokens."""
        return self._end(tokens + self._attended(tokens, slice(None), causal=causal, places=places))

    def class_token(self, tokens: Float[Tensor, "n tokens width"], *, places: Rotation | None = None) -> Float[Tensor, "n width"]:
        """The class token alone: of a last block, about a sixth of the work."""
        return self._end(tokens[:, :1] + self._attended(tokens, slice(1), places=places))[:, 0]

    def class_tokens(self, tokens: Float[Tensor, "n tokens width"], *, pictures: int) -> Float[Tensor, "n pictures width"]:
        """The class tokens of pictures whose tokens stand one after another."""
        rows = slice(None, None, tokens.shape[1] // pictures)
        return self._end(tokens[:, rows] + self._attended(tokens, rows))

    def _attended(
        self, tokens: Float[Tensor, "n tokens width"], rows: slice, *, causal: bool = False, places: Rotation | None = None
    ) -> Float[Tensor, "n queries width"]:
        """What attention adds to some of the tokens."""
        normal = self.layer_norm1(tokens)
        attended: Tensor = self.self_attn(normal[:, rows], normal, causal=causal, places=places)
        return attended

    def _end(self, tokens: Float[Tensor, "n rows width"]) -> Float[Tensor, "n rows width"]:
        ended: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return ended


class PostNormBlock(Block):
    """Attention and perceptron, each normalised and then added to the tokens, as in EVA-02-CLIP-E (Sun et al. 2023, arXiv:2303.15389)."""

    def _attended(
        self, tokens: Float[Tensor, "n tokens width"], rows: slice, *, causal: bool = False, places: Rotation | None = None
    ) -> Float[Tensor, "n queries width"]:
        attended: Tensor = self.layer_norm1(self.self_attn(tokens[:, rows], tokens, causal=causal, places=places))
        return attended

    def _end(self, tokens: Float[Tensor, "n rows width"]) -> Float[Tensor, "n rows width"]:
        ended: Tensor = tokens + self.layer_norm2(self.mlp(tokens))
        return ended


class Blocks(nn.Module):
    """Blocks one after another.

    Attributes:
        layers: The blocks.
    """

    def __init__(
        self, tower: VisionConfig | TextConfig, activation: Activation, *, epsilon: float = 1e-5, block: type[Block] = Block
    ) -> None:
        super().__init__()
        count = tower.layers if isinstance(tower.layers, int) else 0
        self.layers = nn.ModuleList(block(tower, activation, epsilon=epsilon) for _ in range(count))

    def forward(self, tokens: Float[Tensor, "n tokens width"], *, causal: bool = False) -> Float[Tensor, "n tokens width"]:
        """All tokens through all blocks."""
        return run_blocks(self.layers, tokens, causal=causal)


def run_blocks(
    blocks: Iterable[nn.Module], tokens: Float[Tensor, "n tokens width"], *, causal: bool = False, places: Rotation | None = None
) -> Float[Tensor, "n tokens width"]:
    """All tokens through some blocks, one after another."""
    for block in blocks:
        tokens = block(tokens, causal=causal, places=places)
    return tokens


class AttentionPool(nn.Module):
    """One attention layer in which a learned query reads all tokens, then an MLP (Lee et al. 2019, arXiv:1810.00825, sec. 3.2)."""

    def __init__(self, vision: VisionConfig, activation: Activation) -> None:
        super().__init__()
        traits, width = vision.traits, vision.width
        self.probe = nn.Parameter(torch.zeros(width))
        self.attention = Attention(width, traits.pool_heads or vision.heads)
        self.layernorm = nn.LayerNorm(width, eps=traits.epsilon)
        self.mlp = Perceptron(width, (traits.pool_ratio or 0) * width or vision.mlp_width or 0, activation)

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n width"]:
        """One feature for each picture."""
        read: Tensor = self.attention(self.probe.expand(tokens.shape[0], 1, -1), tokens)[:, 0]
        pooled: Tensor = read + self.mlp(self.layernorm(read))
        return pooled


class Stem(nn.Sequential):
    """Convolutions before the patches are cut, with which a transformer learns from less (Xiao et al. 2021, arXiv:2106.14881).

    The first takes squares of 4 pixels (as Liu et al. 2022, arXiv:2201.03545), each further one halves the side; batch norm and ReLU
    follow each.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        parts: list[nn.Module] = []
        for inputs, outputs in zip((3, *channels), channels, strict=False):
            side, stride, around = (3, 2, 1) if parts else (4, 4, 0)
            parts += [nn.Conv2d(inputs, outputs, side, stride, around, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*parts)


class PatchEmbeddings(nn.Module):
    """Patches of a picture as tokens, the class token first if there is one, each with its place."""

    def __init__(self, tower: VisionConfig) -> None:
        super().__init__()
        patch = tower.patch_size or 1
        self.stem = Stem(tower.stem)
        self.class_embedding = nn.Parameter(torch.zeros(tower.width)) if tower.class_token else None
        cut, channels = patch // tower.reduction, tower.stem[-1] if tower.stem else 3
        self.patch_embedding = nn.Conv2d(channels, tower.width, cut, stride=cut, bias=tower.traits.patch_bias)
        self.position_embedding = _table(tower.tokens, tower.width)

    def forward(self, pixels: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n tokens width"]:
        """Tokens of normalised pictures at the tower's own size."""
        patches = self.patch_embedding(self.stem(pixels)).flatten(2).transpose(1, 2)
        first = [] if self.class_embedding is None else [self.class_embedding.expand(pixels.shape[0], 1, -1)]
        return torch.cat([*first, patches], dim=1) + self.position_embedding.weight


class VisionTransformer(nn.Module):
    """An image tower up to the projection; its parts are run by `ClipTowers`, which branches before the end."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.vision = vision = config.image_tower
        traits = vision.traits
        activation = traits.activation or config.activation
        self.embeddings = PatchEmbeddings(vision)
        self.pre_layrnorm = nn.LayerNorm(vision.width, eps=traits.epsilon) if traits.pre_norm else nn.Identity()  # spelled so in the files
        self.encoder = Blocks(vision, activation, epsilon=traits.epsilon, block=PostNormBlock if traits.post_norm_blocks else Block)
        self.post_layernorm = nn.LayerNorm(vision.width, eps=traits.epsilon)
        self.head = AttentionPool(vision, activation) if traits.attention_pooling else None

    def run(self, blocks: Iterable[nn.Module], tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n tokens width"]:
        """All tokens through some of the blocks."""
        return run_blocks(blocks, tokens, places=self._places(tokens))

    def read(self, blocks: nn.ModuleList, tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n width"]:
        """What stands for the picture after some last blocks, at least one: the class token, or what attention pooling reads."""
        if self.head is not None:
            pooled: Tensor = self.head(self.post_layernorm(self.run(blocks, tokens)))
            return pooled
        last: Any = blocks[-1]
        token: Tensor = last.class_token(self.run(blocks[:-1], tokens), places=self._places(tokens))
        return token

    def read_jointly(
        self, blocks: nn.ModuleList, tokens: Float[Tensor, "n tokens width"], *, views: int
    ) -> Float[Tensor, "shapes views width"]:
        """The class tokens of the views of each shape after some last blocks, at least one, in which each token reads all views."""
        together, last = tokens.unflatten(0, (-1, views)).flatten(1, 2), cast(Block, blocks[-1])
        return last.class_tokens(run_blocks(blocks[:-1], together), pictures=views)

    def _places(self, tokens: Tensor) -> Rotation | None:
        vision = self.vision
        if not vision.traits.rotary:
            return None
        return rotation(vision.side, vision.width // vision.heads, class_token=vision.class_token, like=tokens)


class TokenEmbeddings(nn.Module):
    """Token ids as vectors, each with its place."""

    def __init__(self, tower: TextConfig) -> None:
        super().__init__()
        self.token_embedding = _table(tower.vocab_size, tower.width)
        self.position_embedding = _table(tower.context_length, tower.width)

    def forward(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Vectors of prompts no longer than the context."""
        vectors: Tensor = self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]
        return vectors


class TextTransformer(nn.Module):
    """A text tower up to the projection."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        traits = config.text.traits
        self.causal = traits.causal
        self.embeddings = TokenEmbeddings(config.text)
        self.encoder = Blocks(config.text, traits.activation or config.activation, epsilon=traits.epsilon)
        self.final_layer_norm = nn.LayerNorm(config.text.width, eps=traits.epsilon)

    def forward(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Every token having read those before it, or all of them."""
        tokens: Tensor = self.final_layer_norm(self.encoder(self.embeddings(ids), causal=self.causal))
        return tokens


def _table(rows: int, width: int) -> nn.Embedding:
    """Rows without numbers: to draw some for towers that get theirs from a file would import torch's compiler."""
    table: nn.Embedding = nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
    return table
