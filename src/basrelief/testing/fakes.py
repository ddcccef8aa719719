"""An encoder without weights, for tests of code that uses the `Encoder` interface."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders.preprocessing import ImageFit
from basrelief.errors import ConfigError

_SIDE = 8


class FakeEncoder:
    """A deterministic `Encoder` without knowledge.

    Text features are random, seeded by a hash of the prompt. Image features are a fixed random projection of the image at 8 x 8 pixels, so
    that equal images agree and similar ones are close. Nothing is loaded or trained.

    Attributes:
        name: Name in reports.
        embedding_dim: Length of the features.
        image_size: Nominal side of its images, pixels; any size is accepted.
        mean: Per channel, subtracted inside.
        std: Per channel, divided by inside.
        image_fit: Shortest side and centre crop, bicubic.
        logit_scale: Multiplier of cosines.
        logit_bias: Always None, as of encoders that were not trained with the sigmoid loss.
        fingerprint: Hash of all of these.
        device: Always the CPU.
        dtype: Always float32.
        runtime: Always `torch float32`.
        has_tuned_block: Whether `tuned` rows get features of their own.
        vocabulary: Always None, an open vocabulary.
    """

    def __init__(self, *, embedding_dim: int = 16, image_size: int = 32, tuned: bool = True, seed: int = 0) -> None:
        self.name = f"fake-{seed}"
        self.embedding_dim, self.image_size, self.has_tuned_block = embedding_dim, image_size, tuned
        self.mean, self.std, self.logit_scale, self.logit_bias = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 100.0, None
        self.device, self.dtype, self.runtime = torch.device("cpu"), torch.float32, "torch float32"
        self.vocabulary = None
        self.image_fit = ImageFit()
        self._seed = seed
        self._frozen, self._tuned = (self._draw(word, 3 * _SIDE * _SIDE) for word in ("frozen", "tuned"))

    @property
    def fingerprint(self) -> str:
        """Hash of all options."""
        options = (self._seed, self.embedding_dim, self.image_size, self.has_tuned_block, self.mean, self.std)
        return hashlib.sha256(repr(options).encode()).hexdigest()

    def with_preprocessing(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> FakeEncoder:
        """Return the same fake with another mean and std."""
        other = FakeEncoder(embedding_dim=self.embedding_dim, image_size=self.image_size, tuned=self.has_tuned_block, seed=self._seed)
        other.mean, other.std = mean, std
        return other

    def encode_images(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n dim"]:
        """Return features of depth images (one channel) or colour images (three), values in [0, 1]; `tuned` rows use another projection.

        Raises:
            ConfigError: If the images have other dimensions, or rows are tuned and there is no tuned block.
        """
        small = self._small(images)
        if tuned is None or not bool(tuned.any()):
            return small @ self._frozen
        self._check_tuned()
        return torch.where(tuned[:, None], small @ self._tuned, small @ self._frozen)

    def encode_both(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]
    ) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Return frozen and tuned features of the same images.

        Raises:
            ConfigError: If there is no tuned block.
        """
        self._check_tuned()
        small = self._small(images)
        return small @ self._frozen, small @ self._tuned

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Return features of prompts; equal prompts have equal features.

        Raises:
            ConfigError: If there is no prompt.
        """
        if not prompts:
            raise ConfigError("prompts is empty. Pass at least one filled template.")
        return torch.cat([self._draw(f"text {prompt}", 1) for prompt in prompts])

    def _draw(self, word: str, rows: int) -> Tensor:
        digest = hashlib.sha256(f"{self._seed} {word}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return torch.randn(rows, self.embedding_dim, generator=generator)

    def _small(self, images: Tensor) -> Tensor:
        if images.ndim == 3:
            images = images[:, None].expand(-1, 3, -1, -1)
        if images.ndim != 4 or images.shape[1] != 3:
            raise ConfigError(f"images has shape {tuple(images.shape)}; expected (n, s, s) or (n, 3, s, s). Stack them first.")
        channels = (1, 3, 1, 1)
        pixels = (images - torch.tensor(self.mean).view(channels)) / torch.tensor(self.std).view(channels)
        return F.adaptive_avg_pool2d(pixels.float(), _SIDE).flatten(1)

    def _check_tuned(self) -> None:
        if not self.has_tuned_block:
            raise ConfigError("This fake has no tuned block. Create it with FakeEncoder(tuned=True).")
