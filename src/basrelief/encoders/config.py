"""Configurations of CLIP architectures, read from and written to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from basrelief.errors import ConfigError, unknown_choice
from basrelief.limits import limits

Kind = Literal["vit", "timm-vit", "eva-vit", "resnet"]
Activation = Literal["gelu", "quick_gelu"]
ACTIVATIONS: tuple[Activation, ...] = ("gelu", "quick_gelu")
KINDS: tuple[Kind, ...] = ("vit", "timm-vit", "eva-vit", "resnet")


@dataclass(frozen=True)
class VisionConfig:
    """Image tower: a vision transformer, or CLIP's modified ResNet (Radford et al. 2021, arXiv:2103.00020, sec. 2.4).

    Attributes:
        image_size: Side of the square input, pixels; a multiple of 32 for a ResNet, else of `patch_size`.
        width: Length of the token vectors; for a ResNet, channels after the stem.
        layers: Number of blocks; for a ResNet, the blocks of each of the four stages.
        heads: Attention heads of a block; for a ResNet, of the attention pooling.
        patch_size: Side of a patch, pixels; None for a ResNet.
        mlp_width: Hidden units in the MLP of a block; 4 * `width` by default.
        kind: `vit`, CLIP's; `timm-vit`, timm's: a bias in the patch embedding, no norm before the blocks, norms with epsilon 1e-6, GELU
            whatever the text tower has; `eva-vit`, EVA-02-CLIP-E's: like `timm-vit`, but blocks normalise what they add, not what they
            read, and the projection has a bias; or `resnet`.
        stem: Output channels of the convolutions before the patch embedding, see `Stem`; empty in CLIP.

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

    def __post_init__(self) -> None:
        """Check the numbers and fill the derived one."""
        if self.kind not in KINDS:
            raise ConfigError(unknown_choice("vision.kind", self.kind, KINDS))
        resnet = self.kind == "resnet"
        object.__setattr__(self, "mlp_width", self.mlp_width or 4 * self.width)
        object.__setattr__(self, "layers", self.layers if isinstance(self.layers, int) else tuple(self.layers))
        if isinstance(self.layers, int) == resnet or (isinstance(self.layers, tuple) and len(self.layers) != 4):
            rule = "four numbers of blocks" if resnet else "one number of blocks"
            raise ConfigError(f"vision.layers is {self.layers}; vision.kind {self.kind!r} needs {rule}. Change one of the two.")
        layers = self.layers if isinstance(self.layers, tuple) else (self.layers,)
        _positive("vision", image_size=self.image_size, width=self.width, heads=self.heads, layers=min(layers), mlp_width=self.mlp_width)
        _divides("vision", 32 * self.width if resnet else self.width, "heads", self.heads)
        if not resnet and self.patch_size is None:
            raise ConfigError("vision.patch_size is missing. A vision transformer needs it; CLIP's own use 32, 16 or 14.")
        _divides("vision", self.image_size, "patch_size", 32 if resnet else self.patch_size or 0)
        object.__setattr__(self, "stem", tuple(self.stem))
        if self.stem:
            if len(self.stem) > _MOST_CONVOLUTIONS:
                raise ConfigError(f"vision.stem has {len(self.stem)} convolutions. Take at most {_MOST_CONVOLUTIONS}.")
            if resnet:
                raise ConfigError(f"vision.stem is {self.stem}, but a ResNet has its own. Leave it out.")
            _positive("vision", stem=min(self.stem))
            _divides("vision", self.patch_size or 0, "stem", self.reduction)

    @property
    def reduction(self) -> int:
        """Factor by which the stem downsamples: 4 with one convolution, doubled by each further one; 1 without a stem."""
        return 2 * 2 ** len(self.stem) if self.stem else 1


@dataclass(frozen=True)
class TextConfig:
    """Text tower: a causal transformer whose output at the end-of-text token is the text's feature.

    Attributes:
        width: Length of the token vectors.
        layers: Number of blocks.
        heads: Attention heads of a block.
        context_length: Maximum number of tokens in a prompt, including start and end.
        vocab_size: Number of token ids.
        eot: Id of the end-of-text token; the last id by default.
        mlp_width: Hidden units in the MLP of a block; 4 * `width` by default.

    Raises:
        ConfigError: If a number is not positive or the sizes do not divide.
    """

    width: int
    layers: int
    heads: int
    context_length: int = 77
    vocab_size: int = 49408
    eot: int | None = None
    mlp_width: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers and fill the derived ones."""
        object.__setattr__(self, "mlp_width", self.mlp_width or 4 * self.width)
        object.__setattr__(self, "eot", self.vocab_size - 1 if self.eot is None else self.eot)
        _positive("text", width=self.width, layers=self.layers, heads=self.heads, context_length=self.context_length)
        _positive("text", vocab_size=self.vocab_size, mlp_width=self.mlp_width)
        _divides("text", self.width, "heads", self.heads)
        if not 0 <= (self.eot or 0) < self.vocab_size:
            raise ConfigError(f"text.eot is {self.eot}; expected a token id below {self.vocab_size}. Take it from the tokenizer.")


@dataclass(frozen=True)
class ClipConfig:
    """Architecture of an image tower and a text tower with a joint embedding space.

    Attributes:
        embed_dim: Dimension of the joint embeddings.
        vision: Image tower, or None for a text tower alone.
        text: Text tower.
        activation: Of the MLPs in both towers: `gelu`, or OpenAI's `quick_gelu`, x * sigmoid(1.702 x).

    Raises:
        ConfigError: If the activation is unknown, `embed_dim` is not positive, or the towers are larger than `Limits` allows.
    """

    embed_dim: int
    vision: VisionConfig | None
    text: TextConfig
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(unknown_choice("activation", self.activation, ACTIVATIONS))
        _positive("config", embed_dim=self.embed_dim)
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
        """Return the fields as JSON types, without `vision` if there is none, and without `vision.stem` if it is empty."""
        record = asdict(self)
        if self.vision is None:
            del record["vision"]
        elif not self.vision.stem:
            del record["vision"]["stem"]
        return record


_MOST_CONVOLUTIONS = 8
_MOST = 2**31
_RAISE = "Check the configuration, or raise the limit with BASRELIEF_LIMITS."


def _least_image_parameters(vision: VisionConfig, embed: int) -> int:
    if isinstance(vision.layers, tuple):
        width = 32 * vision.width
        return (vision.image_size // 32) ** 2 * width + 3 * width**2 + width * embed + vision.layers[3] * (9 * (width // 4) ** 2)
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
