"""The seam of every encoder: depth images and words in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    from basrelief.encoders.vocabulary import Vocabulary

Channels = tuple[float, float, float]


@runtime_checkable
class Encoder(Protocol):
    """Two towers that meet in one space. Features are float32 and not of unit length; whoever compares normalises."""

    @property
    def name(self) -> str:
        """What reports call it, e.g. `ViT-B-32/openai`."""
        ...

    @property
    def embedding_dim(self) -> int:
        """Length of the features."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the pictures the tower reads, pixels."""
        ...

    @property
    def mean(self) -> Channels:
        """Per channel, taken off the pictures inside."""
        ...

    @property
    def std(self) -> Channels:
        """Per channel, the pictures are divided by it inside."""
        ...

    @property
    def logit_scale(self) -> float:
        """The multiplier of cosines, already exponentiated."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when weights, tokenizer, preprocessing or dtype change."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In what it computes."""
        ...

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Names the encoder was trained on; None for an open vocabulary, such as CLIP's."""
        ...

    @property
    def has_tuned_block(self) -> bool:
        """Whether `tuned` and `encode_both` can be asked for."""
        ...

    def encode_images(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n dim"]:
        """Features of depth images (one channel) or pictures (three), values in [0, 1]; `tuned` rows through the tuned branch."""
        ...

    def encode_both(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]
    ) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Frozen and tuned features of the same images, one trunk pass."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Features of prompts."""
        ...

    def with_preprocessing(self, mean: Channels, std: Channels) -> Encoder:
        """The same towers behind another mean and std."""
        ...
