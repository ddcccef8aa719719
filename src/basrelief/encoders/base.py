"""The seam of every encoder: depth images and words in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@runtime_checkable
class Encoder(Protocol):
    """Two towers that meet in one space. Features are float32 and not of unit length; whoever compares normalises.

    Attributes:
        name: What reports call it, e.g. `ViT-B-32/openai`.
        embedding_dim: Length of the features.
        image_size: Side of the pictures the tower reads, pixels.
        mean: Per channel, taken off the pictures inside.
        std: Per channel, the pictures are divided by it inside.
        logit_scale: The multiplier of cosines, already exponentiated.
        fingerprint: Changes when weights, tokenizer, preprocessing or dtype change.
        device: Where it computes.
        dtype: In what it computes.
        has_tuned_block: Whether `tuned` can be asked for.
    """

    name: str

    @property
    def embedding_dim(self) -> int: ...  # noqa: D102
    @property
    def image_size(self) -> int: ...  # noqa: D102
    @property
    def mean(self) -> tuple[float, float, float]: ...  # noqa: D102
    @property
    def std(self) -> tuple[float, float, float]: ...  # noqa: D102
    @property
    def logit_scale(self) -> float: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def dtype(self) -> torch.dtype: ...  # noqa: D102
    @property
    def has_tuned_block(self) -> bool: ...  # noqa: D102

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
