"""The CLIP encoder: both towers with tokenizer, preprocessing and text cache."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from basrelief.encoders.base import CompiledTowers, Encoder
from basrelief.encoders.cache import VectorCache
from basrelief.encoders.config import ClipConfig
from basrelief.encoders.convert import IMAGE_PARTS, convert_visual
from basrelief.encoders.fingerprint import sampled_bytes
from basrelief.encoders.preprocessing import Channels, ImageFit
from basrelief.encoders.state_dict import read_state_dict
from basrelief.encoders.tokenizer import Tokenizer, clean
from basrelief.encoders.towers import ClipTowers, tuned_count
from basrelief.encoders.vocabulary import Vocabulary
from basrelief.errors import ConfigError, WeightsError

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NO_MEAN, NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
_TEXT_BATCH = 256


class ClipEncoder:
    """CLIP towers that take depth images in [0, 1] and plain words; an `Encoder`.

    Attributes:
        towers: The torch module; differentiable, for training.
        tokenizer: Words to ids.
        name: Name for reports.
        mean: Mean per channel, subtracted by the encoder.
        std: Standard deviation per channel, divided out by the encoder.
        image_fit: How a picture of any size becomes the square that it takes.
        cache: Cache of text features, or None.
        batch_size: Maximum number of images per forward pass, which bounds memory.
        dtype_reason: How backend and compute dtype were chosen, for reports.
        compiled: Graphs that run in place of the towers while these hold what was exported, or None.
        float32_sample: Sampled weights as they were in float32, where the towers were cast without changing what they say; else None.
        vocabulary: Names the encoder was trained on; None for an open vocabulary, such as CLIP's.
        image_weights: File that holds the image tower where only the text tower was loaded; it is read with the first image.

    Raises:
        WeightsError: If the tokenizer and the text tower do not belong together.
    """

    def __init__(
        self,
        towers: ClipTowers,
        tokenizer: Tokenizer,
        *,
        name: str = "clip",
        mean: Channels = CLIP_MEAN,
        std: Channels = CLIP_STD,
        image_fit: ImageFit = ImageFit(),  # noqa: B008 - frozen
        cache: VectorCache | None = None,
    ) -> None:
        text = towers.config.text
        if tokenizer.eot != text.eot or tokenizer.vocab_size > text.vocab_size:
            raise WeightsError(
                f"The tokenizer has {tokenizer.vocab_size} ids with end of text {tokenizer.eot}; expected at most {text.vocab_size} "
                f"with {text.eot}. Use the tokenizer that came with the weights."
            )
        self.towers, self.tokenizer, self.name = towers, tokenizer, name
        self.mean, self.std, self.image_fit, self.cache = mean, std, image_fit, cache
        self.batch_size = 32
        self.dtype_reason = "as loaded"
        self.compiled: CompiledTowers | None = None
        self.float32_sample: bytes | None = None
        self.vocabulary: Vocabulary | None = None
        self.image_weights: Path | None = None

    @property
    def config(self) -> ClipConfig:
        """The architecture."""
        return self.towers.config

    @property
    def embedding_dim(self) -> int:
        """Dimension of the features."""
        return self.config.embed_dim

    @property
    def image_size(self) -> int:
        """Side of the input images in pixels; 0 for a text tower alone."""
        return 0 if self.config.vision is None else self.config.vision.image_size

    @property
    def logit_scale(self) -> float:
        """Multiplier of cosines, already exponentiated."""
        return float(self.towers.logit_scale.detach().float().exp())

    @property
    def logit_bias(self) -> float | None:
        """What the sigmoid loss adds to scaled cosines; None for weights that were not trained with it."""
        bias = self.towers.logit_bias
        return None if bias is None else float(bias.detach().float())

    @property
    def device(self) -> torch.device:
        """Compute device."""
        return self.towers.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the towers."""
        return self.towers.dtype

    @property
    def runtime(self) -> str:
        """Backend and precision that compute features, e.g. `torch float32` or `openvino bfloat16`."""
        compiled = self._current()
        return f"torch {str(self.dtype).removeprefix('torch.')}" if compiled is None else compiled.runtime

    @property
    def has_tuned_block(self) -> bool:
        """Whether OpenDlign's tuned blocks are there."""
        return self.towers.tuned_blocks is not None

    @property
    def joint_views(self) -> bool:
        """Whether the views of a shape are encoded together, by `encode_views`."""
        return self.config.vision is not None and self.config.vision.joint_blocks > 0

    @property
    def fingerprint(self) -> str:
        """Hash of architecture, tokenizer, preprocessing and up to 512 values of every tensor; not cached.

        Backend and precision do not count if features keep a cosine of 0.999 to those of torch in float32: embeddings of both can be
        compared. Otherwise they do. If only the text tower was loaded, the hash covers that one alone, whether or not the image tower was
        read since.
        """
        same = self.float32_sample is not None
        record: list[object] = [self.config.to_json(), self.tokenizer.fingerprint, self.mean, self.std]
        record.append(str(torch.float32 if same else self.dtype))
        compiled = self._current()
        if compiled is not None and compiled.differs:
            record.append(self.runtime)
        if not self.towers.tuned_residual:
            record.append("tuned blocks alone")
        if self.image_fit != ImageFit():
            record.append(asdict(self.image_fit))
        digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
        digest.update(self.sample() if self.float32_sample is None else self.float32_sample)
        return digest.hexdigest()

    def sample(self) -> bytes:
        """Return name, shape and up to 512 values of every tensor that counts for `fingerprint`."""
        state = self.towers.state_dict().items()
        counted = [pair for pair in state if self.image_weights is None or not pair[0].startswith(IMAGE_PARTS)]
        return b"".join(f"{name}{tuple(tensor.shape)}".encode() + sampled_bytes(tensor, torch.float64) for name, tensor in counted)

    def with_preprocessing(self, mean: Channels, std: Channels) -> ClipEncoder:
        """Return the same towers with another mean and std, e.g. ImageNet's for OpenDlign or none for PointCLIP."""
        other = copy.copy(self)
        other.mean, other.std = mean, std
        return other

    def copy_with(self, compiled: CompiledTowers) -> ClipEncoder:
        """Return the same towers, run by compiled graphs of them."""
        other = copy.copy(self)
        other.compiled = compiled
        return other

    def load_visual(self, path: Path | str) -> ClipEncoder:
        """Replace the image tower by a file's, e.g. CLIP2Point's pre-training checkpoint, and return the encoder.

        Raises:
            WeightsError: If the file is broken or its image tower does not fit.
        """
        state = convert_visual(read_state_dict(path), self.config, source=Path(path).name)
        if self.towers.vision_model is None:
            self.towers.add_image_tower(state)
            return self
        self.float32_sample = None
        if tuned := tuned_count(state):
            self.towers.add_tuned_blocks(tuned)
        self.towers.load_state_dict(state, strict=False)
        return self

    def read_image_tower(self) -> None:
        """Read the image tower unless it is there; `encode_images` does so for the first image.

        Raises:
            ConfigError: If the encoder is a text tower alone.
            WeightsError: If the file changed or its image tower does not fit.
        """
        if self.towers.vision_model is None and self.image_weights is not None:
            self.load_visual(self.image_weights)
        elif self.towers.vision_model is None:
            raise ConfigError(f"{self.name} is a text tower alone: it cannot encode images. Use an encoder with an image tower.")

    @torch.no_grad()
    def encode_images(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n dim"]:
        """Encode depth or colour images: float32, not normalised, on the encoder's device.

        Args:
            images: Values in [0, 1], one channel (made three inside) or three. Another size is resized bilinearly with antialiasing.
            tuned: True for the rows that go through OpenDlign's tuned branch; none when left out.

        Raises:
            ConfigError: If the images are not square and finite, or `tuned` does not fit.
        """
        if tuned is not None and (tuned.dtype != torch.bool or tuned.shape != images.shape[:1]):
            got = f"{tuned.dtype} {tuple(tuned.shape)}"
            raise ConfigError(
                f"tuned has {got}; expected torch.bool ({len(images)},), one for each image. Build it with torch.arange(n) >= 5."
            )
        self.read_image_tower()
        if not len(images):
            return torch.zeros(0, self.embedding_dim, device=self.device)
        chunks = torch.split(images, self.batch_size)
        masks = [None] * len(chunks) if tuned is None else torch.split(tuned, self.batch_size)
        network = self._current() or self.towers
        return torch.cat([network.image_features(self.prepare(c), tuned=m).float() for c, m in zip(chunks, masks, strict=True)])

    @torch.no_grad()
    def encode_views(self, images: Float[Tensor, "shapes views s s"] | Float[Tensor, "shapes views 3 s s"]) -> Float[Tensor, "shapes dim"]:
        """Encode each shape from all its views at once: float32, not normalised, on the encoder's device; always by torch.

        Args:
            images: Values in [0, 1], sizes and channels as for `encode_images`; at least one view.

        Raises:
            ConfigError: If the images are not square and finite, or the image tower encodes each picture by itself.
        """
        self.read_image_tower()
        views = images.shape[1]
        parts = [torch.zeros(0, self.embedding_dim, device=self.device)]
        for chunk in torch.split(images, max(1, self.batch_size // views)) if len(images) else ():
            parts.append(self.towers.view_features(self.prepare(chunk.flatten(0, 1)).unflatten(0, (-1, views))).float())
        return torch.cat(parts)

    @torch.no_grad()
    def encode_both(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]
    ) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode images through the frozen and the tuned branch, sharing the trunk; arguments as for `encode_images`.

        Raises:
            ConfigError: If the images are not square and finite, or there is no tuned block.
        """
        self.read_image_tower()
        none = torch.zeros(0, self.embedding_dim, device=self.device)
        chunks = torch.split(images, self.batch_size) if len(images) else ()
        network = self._current() or self.towers
        pairs = [(none, none), *(network.both_features(self.prepare(chunk)) for chunk in chunks)]
        return torch.cat([frozen.float() for frozen, _ in pairs]), torch.cat([tuned.float() for _, tuned in pairs])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Encode prompts: float32, not normalised, on the encoder's device; from the cache if they are in it.

        Args:
            prompts: At least one text. Text beyond the context length is cut off, as in open_clip.

        Raises:
            ConfigError: If there is no prompt or one is empty.
        """
        wanted = list(dict.fromkeys(prompts))
        if isinstance(prompts, str) or not wanted or not all(clean(p) for p in wanted):
            raise ConfigError(f"prompts is {_shown(prompts)}; expected a list of texts with words. Remove empty labels.")
        features = self.encode_uncached(wanted) if self.cache is None else self._read_through(self.cache, wanted)
        rows = {prompt: row for row, prompt in enumerate(wanted)}
        return features[[rows[p] for p in prompts]]

    def prepare(self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n 3 size size"]:
        """Pixels for the towers: three channels, the tower's size, mean and std applied, on the encoder's device, float32.

        Raises:
            ConfigError: If the images are not square and finite.
        """
        square = images.ndim in (3, 4) and images.shape[-1] == images.shape[-2] and (images.ndim == 3 or images.shape[1] == 3)
        if not square or not images.is_floating_point():
            raise ConfigError(
                f"images has {images.dtype} {tuple(images.shape)}; expected floats (n, s, s) or (n, 3, s, s). "
                "Crop them to a square; divide 8-bit values by 255."
            )
        pixels = images.to(device=self.device, dtype=torch.float32)
        if not bool(pixels.isfinite().all()):
            raise ConfigError("images contains NaN or infinity. Make depth images of depth maps first: projection.image(depth).")
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels
        if pixels.shape[-1] != self.image_size:
            pixels = F.interpolate(pixels, (self.image_size, self.image_size), mode="bilinear", align_corners=False, antialias=True)
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (pixels - mean) / std

    @torch.no_grad()
    def encode_uncached(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Encode prompts as `encode_text` does, without checks and cache; prompts of like length share a pass."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        features = torch.empty(len(prompts), self.embedding_dim, device=self.device)
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            text = self.config.text
            few = [prompts[i] for i in rows]
            ids = self.tokenizer.encode(few, context_length=text.context_length, padded=not text.traits.causal)
            features[rows] = (self._current() or self.towers).text_features(ids.to(self.device)).float()
        return features

    def _current(self) -> CompiledTowers | None:
        """The compiled graphs, if they hold what the towers do."""
        compiled = self.compiled
        return compiled if compiled is not None and compiled.towers is self.towers and compiled.is_current else None

    def _read_through(self, cache: VectorCache, prompts: Sequence[str]) -> Tensor:
        fingerprint = cache_key(self)
        known = {p: v for p, v in cache.get(fingerprint, prompts).items() if v.shape == (self.embedding_dim,)}
        missing = [p for p in prompts if p not in known]
        if missing:
            fresh = dict(zip(missing, self.encode_uncached(missing).cpu().numpy(), strict=True))
            cache.put(fingerprint, fresh)
            known.update(fresh)
        return torch.from_numpy(np.stack([known[p] for p in prompts])).to(self.device)


def cache_key(encoder: Encoder) -> str:
    """Return the fingerprint with what computes features where that is not torch in float32: equal keys mean equal numbers."""
    return encoder.fingerprint if encoder.runtime == "torch float32" else f"{encoder.fingerprint} {encoder.runtime}"


def _shown(prompts: object) -> str:
    text = repr(prompts)
    return text if len(text) <= 80 else f"{text[:77]}..."
