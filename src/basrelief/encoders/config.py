"""Configurations of CLIP architectures, read from and written to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from basrelief.encoders.kinds import (
    ACTIVATIONS,
    KINDS,
    STAGES,
    TEXT_KINDS,
    TEXT_TRAITS,
    TOKENIZERS,
    VISION_TRAITS,
    Activation,
    Kind,
    TextKind,
    TextTraits,
    TokenizerKind,
    VisionTraits,
)
from basrelief.errors import ConfigError, unknown_choice
from basrelief.limits import limits


@dataclass(frozen=True)
class VisionConfig:
    """Image tower: a vision transformer, CLIP's modified ResNet (Radford et al. 2021, arXiv:2103.00020, sec. 2.4), or a `FastViT`.

    Attributes:
        image_size: Side of the square input, pixels; a multiple of `stride`.
        width: Length of the token vectors; for a convolutional tower, channels after the stem.
        layers: Number of blocks; for a ResNet, the blocks of each of the four stages, for a FastViT of each of four or five.
        heads: Attention heads of a block; for a ResNet, of the attention pooling, for a FastViT, of the last stage.
        patch_size: Side of a patch, pixels; None for a convolutional tower.
        mlp_width: Hidden units in the MLP of a block, for a FastViT in the first stage; 4 * `width` by default.
        kind: `vit`, CLIP's; `timm-vit`, timm's; `eva-vit`, EVA-02-CLIP-E's; `pe-vit`, the Perception Encoder's; `siglip-vit`,
            SigLIP's; `resnet`; or `fastvit`, MobileCLIP's. `VISION_TRAITS` says how they differ.
        stem: Output channels of the convolutions before the patch embedding, see `Stem`; empty in CLIP.
        class_token: Whether a class token stands before the patches; only a tower with attention pooling can do without.
        joint_blocks: How many of the last blocks read the views of a shape together, as in DuoduoCLIP; see `ClipTowers.view_features`.

    Raises:
        ConfigError: If a number is not positive or the sizes do not divide.
    """

    image_size: int
    width: int
    layers: int | tuple[int, ...]
    heads: int
    patch_size: int | None = None
    mlp_width: int | None = None
    kind: Kind = "vit"
    stem: tuple[int, ...] = ()
    class_token: bool = True
    joint_blocks: int = 0

    def __post_init__(self) -> None:
        """Check the numbers and fill the derived one."""
        if self.kind not in KINDS:
            raise ConfigError(unknown_choice("vision.kind", self.kind, KINDS))
        staged = self.kind in STAGES
        if not self.class_token and not self.traits.attention_pooling:
            raise ConfigError(f"vision.class_token is false, but a tower of kind {self.kind!r} reads its feature from it. Leave it out.")
        object.__setattr__(self, "mlp_width", self.mlp_width or 4 * self.width)
        object.__setattr__(self, "layers", self.layers if isinstance(self.layers, int) else tuple(self.layers))
        if (len(self.layers) if isinstance(self.layers, tuple) else 0) not in STAGES.get(self.kind, (0,)):
            rule = f"{' or '.join(map(str, STAGES[self.kind]))} numbers of blocks" if staged else "one number of blocks"
            raise ConfigError(f"vision.layers is {self.layers}; vision.kind {self.kind!r} needs {rule}. Change one of the two.")
        layers = self.layers if isinstance(self.layers, tuple) else (self.layers,)
        _positive("vision", image_size=self.image_size, width=self.width, heads=self.heads, layers=min(layers), mlp_width=self.mlp_width)
        _divides("vision", self.last_width, "heads", self.heads)
        if not staged and self.patch_size is None:
            raise ConfigError("vision.patch_size is missing. A vision transformer needs it; CLIP's own use 32, 16 or 14.")
        _divides("vision", self.image_size, "patch_size", self.stride)
        pool = (self.traits.pool_heads if self.traits.attention_pooling else None) or 1
        if self.width % pool or (self.traits.rotary and self.width // self.heads % 4):
            raise ConfigError(
                f"vision.width is {self.width} for {self.heads} heads, but a tower of kind {self.kind!r} needs a multiple of {pool} "
                f"channels, and of 4 for each head. Change one of the two."
            )
        most = self.layers if isinstance(self.layers, int) and not (self.traits.rotary or self.traits.attention_pooling) else 0
        if not isinstance(self.joint_blocks, int) or not 0 <= self.joint_blocks <= most:
            raise ConfigError(f"vision.joint_blocks is {self.joint_blocks!r}; a tower of this kind and depth has 0 to {most}.")
        object.__setattr__(self, "stem", tuple(self.stem))
        if self.stem:
            if len(self.stem) > _MOST_CONVOLUTIONS:
                raise ConfigError(f"vision.stem has {len(self.stem)} convolutions. Take at most {_MOST_CONVOLUTIONS}.")
            if staged:
                raise ConfigError(f"vision.stem is {self.stem}, but a convolutional tower has its own. Leave it out.")
            _positive("vision", stem=min(self.stem))
            _divides("vision", self.patch_size or 0, "stem", self.reduction)

    @property
    def traits(self) -> VisionTraits:
        """What is particular to the kind; of a ResNet, CLIP's."""
        return VISION_TRAITS.get(self.kind, VisionTraits())

    @property
    def stride(self) -> int:
        """Pixels along a side that become one place of the last layer: the patch size, or what all stages take together."""
        return 2 ** (len(self.layers) + 1) if isinstance(self.layers, tuple) else self.patch_size or 0

    @property
    def side(self) -> int:
        """Patches in a row of the picture; for a convolutional tower, places in its last feature map."""
        return self.image_size // self.stride

    @property
    def last_width(self) -> int:
        """Channels of the last block; of a ResNet, those that its attention pooling reads."""
        if not isinstance(self.layers, tuple):
            return self.width
        return 32 * self.width if self.kind == "resnet" else self.width * 2 ** (len(self.layers) - 1)

    @property
    def tokens(self) -> int:
        """Tokens that the blocks of a transformer read: patches and the class token, if there is one."""
        return self.side**2 + self.class_token

    @property
    def reduction(self) -> int:
        """Factor by which the stem downsamples: 4 with one convolution, doubled by each further one; 1 without a stem."""
        return 2 * 2 ** len(self.stem) if self.stem else 1


@dataclass(frozen=True)
class TextConfig:
    """Text tower: a transformer; in CLIP it is causal, and its output at the end-of-text token is the text's feature.

    Attributes:
        width: Length of the token vectors.
        layers: Number of blocks.
        heads: Attention heads of a block.
        context_length: Maximum number of tokens in a prompt, including start and end.
        vocab_size: Number of token ids.
        eot: Id of the end-of-text token; the last id by default.
        mlp_width: Hidden units in the MLP of a block; 4 * `width` by default.
        kind: `clip`; `bidirectional`, like CLIP's, but tokens read those after them, too; or `siglip`. `TEXT_TRAITS` says how they differ.
        tokenizer: `clip`, CLIP's byte-pair encoding; `gemma`, Gemma's; or `xlm-v`, XLM-V's.

    Raises:
        ConfigError: If a number is not positive, the sizes do not divide, or a name is unknown.
    """

    width: int
    layers: int
    heads: int
    context_length: int = 77
    vocab_size: int = 49408
    eot: int | None = None
    mlp_width: int | None = None
    kind: TextKind = "clip"
    tokenizer: TokenizerKind = "clip"

    def __post_init__(self) -> None:
        """Check the numbers and fill the derived ones."""
        if self.kind not in TEXT_KINDS:
            raise ConfigError(unknown_choice("text.kind", self.kind, TEXT_KINDS))
        if self.tokenizer not in TOKENIZERS:
            raise ConfigError(unknown_choice("text.tokenizer", self.tokenizer, TOKENIZERS))
        object.__setattr__(self, "mlp_width", self.mlp_width or 4 * self.width)
        object.__setattr__(self, "eot", self.vocab_size - 1 if self.eot is None else self.eot)
        _positive("text", width=self.width, layers=self.layers, heads=self.heads, context_length=self.context_length)
        _positive("text", vocab_size=self.vocab_size, mlp_width=self.mlp_width)
        _divides("text", self.width, "heads", self.heads)
        if not 0 <= (self.eot or 0) < self.vocab_size:
            raise ConfigError(f"text.eot is {self.eot}; expected a token id below {self.vocab_size}. Take it from the tokenizer.")

    @property
    def traits(self) -> TextTraits:
        """What is particular to the kind."""
        return TEXT_TRAITS[self.kind]


@dataclass(frozen=True)
class ClipConfig:
    """Architecture of an image tower and a text tower with a joint embedding space.

    Attributes:
        embed_dim: Dimension of the joint embeddings.
        vision: Image tower, or None for a text tower alone.
        text: Text tower.
        activation: Of the MLPs in both towers: `gelu`; `gelu_tanh`, its approximation by tanh; or OpenAI's `quick_gelu`,
            x * sigmoid(1.702 x).
        logit_bias: Whether the logits have a bias, which training with the sigmoid loss learns (Zhai et al. 2023, arXiv:2303.15343).

    Raises:
        ConfigError: If the activation is unknown, `embed_dim` is not positive, or the towers are larger than `Limits` allows.
    """

    embed_dim: int
    vision: VisionConfig | None
    text: TextConfig
    activation: Activation = "gelu"
    logit_bias: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(unknown_choice("activation", self.activation, ACTIVATIONS))
        _positive("config", embed_dim=self.embed_dim)
        if self.vision is not None and self.vision.traits.projection == "none" and self.vision.width != self.embed_dim:
            raise ConfigError(
                f"vision.width is {self.vision.width}, but a tower of kind {self.vision.kind!r} has no projection: it must be the "
                f"embed_dim, {self.embed_dim}. Change one of the two."
            )
        self._check_size()

    @property
    def image_tower(self) -> VisionConfig:
        """The image tower.

        Raises:
            ConfigError: If there is none.
        """
        if self.vision is None:
            raise ConfigError("This encoder is a text tower alone: it cannot encode images. Choose an encoder with an image tower.")
        return self.vision

    @property
    def least_parameters(self) -> int:
        """Lower bound of the number of parameters: large matrices only, without biases, norms and the first three stages of a ResNet."""
        text, embed = self.text, self.embed_dim
        read = (text.vocab_size + text.context_length + embed) * text.width + text.layers * _block_parameters(text)
        return read if self.vision is None else read + _least_image_parameters(self.vision, embed)

    def _check_size(self) -> None:
        most, layers = limits(), self.vision.layers if self.vision is not None else 0
        deepest = max(self.text.layers, *(layers if isinstance(layers, tuple) else (layers,)))
        if deepest > most.layers:
            raise ConfigError(f"A tower has {deepest} layers, more than the limit of {most.layers}. {_RAISE}")
        if self.vision is not None and self.vision.image_size**2 > most.picture_pixels:
            raise ConfigError(f"vision.image_size is {self.vision.image_size}, too large for the limit on picture_pixels. {_RAISE}")
        if self.least_parameters > most.parameters:
            raise ConfigError(f"The towers have over {self.least_parameters:.2g} numbers, the limit is {most.parameters:.2g}. {_RAISE}")

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ClipConfig:
        """Create a configuration from the result of `to_json`.

        Raises:
            ConfigError: If a field is unknown, missing or of a wrong value.
        """
        try:
            vision = VisionConfig(**record["vision"]) if "vision" in record else None
            text = TextConfig(**record["text"])
            return cls(**{**record, "vision": vision, "text": text})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"Cannot read the configuration: {error}. Compare it with a file in encoders/specs.") from error

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON types, without `vision` if there is none, and without fields that CLIP does not need."""
        record = asdict(self)
        if self.vision is None:
            del record["vision"]
        for part, defaults in _OPTIONAL.items():
            fields = record.get(part, {}) if part else record
            for name, default in defaults.items():
                if fields.get(name) == default:
                    del fields[name]
        return record


_OPTIONAL: Mapping[str, Mapping[str, object]] = {
    "": {"logit_bias": False},
    "vision": {"stem": (), "class_token": True, "joint_blocks": 0},
    "text": {"kind": "clip", "tokenizer": "clip"},
}
"""Fields that are written only where they differ from CLIP's, so that fingerprints of older weights stay."""
_MOST_CONVOLUTIONS = 8
_MOST = 2**31
_RAISE = "Check the configuration, or raise the limit with BASRELIEF_LIMITS."


def _least_image_parameters(vision: VisionConfig, embed: int) -> int:
    if vision.kind == "fastvit" and isinstance(vision.layers, tuple):
        return sum(2 * vision.width * (vision.mlp_width or 0) * 4**stage * blocks for stage, blocks in enumerate(vision.layers))
    if isinstance(vision.layers, tuple):
        width = vision.last_width
        return vision.side**2 * width + 3 * width**2 + width * embed + vision.layers[3] * (9 * (width // 4) ** 2)
    patch = vision.patch_size or 1
    positions, cut = (vision.image_size // patch) ** 2, patch // vision.reduction
    stem = sum(9 * one * other for one, other in zip(vision.stem, vision.stem[1:], strict=False))
    first = positions * vision.width + (vision.stem[-1] if vision.stem else 3) * cut**2 * vision.width + stem
    return first + vision.layers * _block_parameters(vision) + vision.width * embed


def _block_parameters(tower: VisionConfig | TextConfig) -> int:
    return 4 * tower.width**2 + 2 * tower.width * (tower.mlp_width or 0)


def _positive(part: str, **values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _MOST:
            got = f"above {_MOST - 1}" if isinstance(value, int) and value >= _MOST else repr(value)[:40]
            raise ConfigError(f"{part}.{name} is {got}; expected a whole number from 1 to {_MOST - 1}. Check the configuration.")


def _divides(part: str, whole: int, name: str, value: int) -> None:
    if value < 1 or whole % value:
        raise ConfigError(f"{part}.{name} is {value}, which does not divide {whole}. Change one of the two.")
