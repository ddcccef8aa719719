"""The interface of every encoder: depth images and words in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from basrelief.encoders.preprocessing import Channels, ImageFit
    from basrelief.encoders.vocabulary import Vocabulary


@runtime_checkable
class Encoder(Protocol):
    """An image and a text tower with one embedding space. Features are float32 and not normalised."""

    @property
    def name(self) -> str:
        """Name for reports, e.g. `ViT-B-32/openai`."""
        ...

    @property
    def embedding_dim(self) -> int:
        """Dimension of the features."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the input images in pixels; 0 if it cannot encode images."""
        ...

    @property
    def mean(self) -> Channels:
        """Mean per channel, subtracted from the images by the encoder."""
        ...

    @property
    def std(self) -> Channels:
        """Standard deviation per channel, divided out by the encoder."""
        ...

    @property
    def image_fit(self) -> ImageFit:
        """How a picture of any size becomes a square; see `basrelief.encoders.preprocessing`."""
        ...

    @property
    def logit_scale(self) -> float:
        """Multiplier of cosines, already exponentiated."""
        ...

    @property
    def logit_bias(self) -> float | None:
        """What the sigmoid loss adds to scaled cosines; None for an encoder that was not trained with it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash that changes with weights, tokenizer, preprocessing, or a precision that changes what is computed."""
        ...

    @property
    def device(self) -> torch.device:
        """Compute device."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype."""
        ...

    @property
    def runtime(self) -> str:
        """Backend and precision that compute features, e.g. `torch float32`."""
        ...

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Names the encoder was trained on; None for an open vocabulary, such as CLIP's."""
        ...

    @property
    def has_tuned_block(self) -> bool:
        """Whether there is a tuned branch, so that `tuned` and `encode_both` can be used."""
        ...

    def encode_images(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n dim"]:
        """Encode depth images (one channel) or colour images (three), values in [0, 1]; `tuned` rows go through the tuned branch."""
        ...

    def encode_both(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]
    ) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode the same images through the frozen and the tuned branch, sharing the trunk."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Encode prompts."""
        ...

    def with_preprocessing(self, mean: Channels, std: Channels) -> Encoder:
        """Return the same towers with another mean and std."""
        ...


@runtime_checkable
class CompiledTowers(Protocol):
    """Runs graphs of both towers in place of the torch modules, see `basrelief.encoders.towers.ClipTowers`.

    Attributes:
        differs: Whether features are further than a cosine of 0.999 from those of torch in float32.
    """

    differs: bool

    @property
    def towers(self) -> object:
        """The torch modules that were exported."""
        ...

    @property
    def runtime(self) -> str:
        """Backend and precision, e.g. `openvino bfloat16`."""
        ...

    @property
    def is_current(self) -> bool:
        """Whether the torch modules still hold what was exported."""
        ...

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Encode normalised images; `tuned` rows go through the tuned branch."""
        ...

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode normalised images through both branches."""
        ...

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Encode token ids."""
        ...
