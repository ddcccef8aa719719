"""CLIP's transformers, and timm's for pictures: blocks that normalise first, patches in for pictures, token ids in for words.

Follows Radford et al. 2021 (arXiv:2103.00020), sec. 2.4 and 2.5; parameter names are those of Hugging Face's files. Written out here
because importing a library for it takes longer than a search by words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.config import Activation, ClipConfig, TextConfig, VisionConfig


def quick_gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """OpenAI's activation: x times sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


_CURVES: Mapping[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick_gelu": quick_gelu}


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
        self, queries: Float[Tensor, "n queries width"], tokens: Float[Tensor, "n tokens width"], *, causal: bool = False
    ) -> Float[Tensor, "n queries width"]:
        """Attend from query tokens to all tokens; with `causal`, to themselves and earlier ones."""
        query, key, value = (self._parted(rows) for rows in (self.q_proj(queries), self.k_proj(tokens), self.v_proj(tokens)))
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

    def forward(self, tokens: Float[Tensor, "n tokens width"], *, causal: bool = False) -> Float[Tensor, "n tokens width"]:
        """All tokens."""
        return self._end(tokens + self._attended(tokens, tokens.shape[1], causal=causal))

    def class_token(self, tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n width"]:
        """The class token alone: of a last block, about a sixth of the work."""
        return self._end(tokens[:, :1] + self._attended(tokens, 1))[:, 0]

    def _attended(self, tokens: Float[Tensor, "n tokens width"], queries: int, *, causal: bool = False) -> Float[Tensor, "n queries width"]:
        """What attention adds to the first tokens."""
        normal = self.layer_norm1(tokens)
        attended: Tensor = self.self_attn(normal[:, :queries], normal, causal=causal)
        return attended

    def _end(self, tokens: Float[Tensor, "n rows width"]) -> Float[Tensor, "n rows width"]:
        ended: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return ended


class PostNormBlock(Block):
    """Attention and perceptron, each normalised and then added to the tokens, as in EVA-02-CLIP-E (Sun et al. 2023, arXiv:2303.15389)."""

    def _attended(self, tokens: Float[Tensor, "n tokens width"], queries: int, *, causal: bool = False) -> Float[Tensor, "n queries width"]:
        attended: Tensor = self.layer_norm1(self.self_attn(tokens[:, :queries], tokens, causal=causal))
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
    blocks: Iterable[nn.Module], tokens: Float[Tensor, "n tokens width"], *, causal: bool = False
) -> Float[Tensor, "n tokens width"]:
    """All tokens through some blocks, one after another."""
    for block in blocks:
        tokens = block(tokens, causal=causal)
    return tokens


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
    """Patches of a picture as tokens, the class token first, each with its place."""

    def __init__(self, tower: VisionConfig) -> None:
        super().__init__()
        patch = tower.patch_size or 1
        self.stem = Stem(tower.stem)
        self.class_embedding = nn.Parameter(torch.zeros(tower.width))
        cut, channels = patch // tower.reduction, tower.stem[-1] if tower.stem else 3
        self.patch_embedding = nn.Conv2d(channels, tower.width, cut, stride=cut, bias=tower.kind != "vit")
        self.position_embedding = _table((tower.image_size // patch) ** 2 + 1, tower.width)

    def forward(self, pixels: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n tokens width"]:
        """Tokens of normalised pictures at the tower's own size."""
        patches = self.patch_embedding(self.stem(pixels)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
        return tokens + self.position_embedding.weight


class VisionTransformer(nn.Module):
    """An image tower up to the projection, CLIP's or timm's; its parts are run by `ClipTowers`, which branches before the end."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        vision = config.image_tower
        timm, block = vision.kind != "vit", PostNormBlock if vision.kind == "eva-vit" else Block
        epsilon = 1e-6 if timm else 1e-5
        self.embeddings = PatchEmbeddings(vision)
        self.pre_layrnorm = nn.Identity() if timm else nn.LayerNorm(vision.width)  # spelled so in the files
        self.encoder = Blocks(vision, "gelu" if timm else config.activation, epsilon=epsilon, block=block)
        self.post_layernorm = nn.LayerNorm(vision.width, eps=epsilon)


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
    """CLIP's text tower up to the projection."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.embeddings = TokenEmbeddings(config.text)
        self.encoder = Blocks(config.text, config.activation)
        self.final_layer_norm = nn.LayerNorm(config.text.width)

    def forward(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Every token having read those before it."""
        tokens: Tensor = self.final_layer_norm(self.encoder(self.embeddings(ids), causal=True))
        return tokens


def _table(rows: int, width: int) -> nn.Embedding:
    """Rows without numbers: to draw some for towers that get theirs from a file would import torch's compiler."""
    table: nn.Embedding = nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
    return table
