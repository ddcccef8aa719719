"""The compute dtype of the towers, chosen by benchmarking."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.resnet import ModifiedResNet
from basrelief.errors import ConfigError, unknown_choice

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST_COSINE = 0.999
LEAST_GAIN = 1.2
SMALL = 20_000_000
_RUNS = 5
_PROMPTS = ("a depth map of a chair", "point cloud of a big airplane")


def choose_dtype(encoder: ClipEncoder, requested: str = "auto") -> ClipEncoder:
    """Put the towers into a number type and note the reason in `encoder.dtype_reason`.

    `auto` leaves towers of fewer than 20 million numbers in float32: they are quick anyway, and a result should not depend on how busy
    the processor was while it was measured. For larger ones it takes bfloat16 when one image block runs at least 1.2 times faster in it
    than in float32 on this very processor, and then only if the features of a probe keep a cosine of at least 0.999 to float32 in both
    towers. Anything else stays float32. Of a text tower alone, a text block and text features decide.

    Args:
        encoder: Loaded in float32, on the device it will run on.
        requested: `auto`, `float32`, `bfloat16` or `float16`; the others are applied without benchmarking.

    Raises:
        ConfigError: If the name is unknown.
    """
    if requested != "auto":
        if requested not in DTYPES:
            raise ConfigError(unknown_choice("dtype", requested, ("auto", *DTYPES)))
        encoder.dtype_reason = "requested"
        encoder.towers.cast(DTYPES[requested])
        return encoder
    if sum(p.numel() for p in encoder.towers.parameters()) < SMALL:
        encoder.dtype_reason = "float32: the towers are small"
        return encoder
    gain = bfloat16_gain(encoder)
    if gain < LEAST_GAIN:
        encoder.dtype_reason = f"float32: a block in bfloat16 is {gain:.2f} times as fast here"
        return encoder
    other = copy.copy(encoder)
    other.towers = copy.deepcopy(encoder.towers)
    other.towers.cast(torch.bfloat16)
    cosine = least_cosine(encoder, other)
    if not cosine >= LEAST_COSINE:
        encoder.dtype_reason = f"float32: bfloat16 keeps a cosine of {cosine:.5f} only, at least {LEAST_COSINE} is required"
        return encoder
    other.dtype_reason = f"bfloat16: {gain:.2f} times as fast in a block, cosine to float32 {cosine:.5f}"
    return other


def bfloat16_gain(encoder: ClipEncoder) -> float:
    """How many times faster one image block (a ResNet's first stage) runs in bfloat16 than in float32; below 1 is slower.

    Of a text tower alone, a text block is timed.
    """
    model, generator = encoder.towers.vision_model, torch.Generator().manual_seed(0)
    shape: tuple[int, ...]
    if model is None:
        text = encoder.config.text
        part, shape = encoder.towers.text_model.encoder.layers[0], (4, text.context_length, text.width)
    elif isinstance(model, ModifiedResNet):
        config = encoder.config.image_tower
        part, shape = model.get_submodule("layer1"), (4, config.width, config.image_size // 4, config.image_size // 4)
    else:
        config = encoder.config.image_tower
        part, shape = model.encoder.layers[0], (4, config.tokens, config.width)
    probe = torch.randn(shape, generator=generator)
    dtypes = (torch.float32, torch.bfloat16)
    full, half = best_seconds([partial(copy.deepcopy(part).to(dtype), probe.to(encoder.device, dtype)) for dtype in dtypes])
    return full / half


def least_cosine(encoder: ClipEncoder, other: ClipEncoder) -> float:
    """The smallest cosine between the features of two encoders over a fixed probe of prompts and, if there is an image tower, images."""
    pairs = [(_text(e), *_images(e)) for e in (encoder, other)]
    return min(float(F.cosine_similarity(a, b).min()) for a, b in zip(*pairs, strict=True))


def _images(encoder: ClipEncoder) -> tuple[Tensor, ...]:
    if encoder.towers.vision_model is None:
        return ()
    size = encoder.image_size
    ramp = torch.linspace(0, 1, size).expand(2, size, size).clone()
    ramp[1, size // 4 : size // 2, size // 4 :] = 0.2
    return (encoder.encode_images(ramp),)


def _text(encoder: ClipEncoder) -> Tensor:
    uncached = copy.copy(encoder)
    uncached.cache = None
    return uncached.encode_text(_PROMPTS)


@torch.no_grad()
def best_seconds(works: Sequence[Callable[[], object]]) -> list[float]:
    """Best time of each over a few rounds in turn, after one round to warm up."""
    rounds = [[_once(work) for work in works] for _ in range(_RUNS + 1)]
    return [min(times) for times in zip(*rounds[1:], strict=True)]


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
