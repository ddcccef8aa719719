"""Load encoders by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from basrelief.encoders.backends.choose import choose_backend
from basrelief.encoders.cache import VectorCache
from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.config import ClipConfig
from basrelief.encoders.convert import IMAGE_TENSORS, convert
from basrelief.encoders.kinds import Activation
from basrelief.encoders.preprocessing import read_preprocessing
from basrelief.encoders.random_weights import random_towers
from basrelief.encoders.registry import encoder_spec
from basrelief.encoders.state_dict import read_state_dict
from basrelief.encoders.tokenizer import Tokenizer
from basrelief.encoders.towers import towers_from_state
from basrelief.encoders.weights import find_tokenizer, find_weights
from basrelief.errors import ConfigError


def load_encoder(
    name: str,
    *,
    weights: Path | str | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
    cache: VectorCache | Literal["default"] | None = "default",
    activation: Activation | None = None,
    text_only: bool = False,
) -> ClipEncoder:
    """Load CLIP towers by name, with their tokenizer and preprocessing.

    Args:
        name: One of `list_encoders()`, e.g. `ViT-B-32/datacomp_xl_s13b_b90k`.
        weights: A file or folder in any layout `convert` reads, OpenDlign's checkpoints included; the hub when left out.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, ...
        backend: `auto` (measured, see `choose_backend`), `torch` or `openvino`.
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.
        cache: Cache of text features, or None.
        activation: Read the weights with another activation than they were trained with (the notes of a record say why).
        text_only: Load the text tower alone; the image tower is read from the same file when the first image is encoded.

    Raises:
        ConfigError: If the name, device, backend, dtype or activation is unknown.
        WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
        WeightsError: If the file is broken or belongs to another architecture.
    """
    spec = encoder_spec(name)
    spec = spec if activation is None else spec.with_activation(activation)
    place = choose_device(device)
    path = find_weights(spec, weights)
    text_only = text_only or spec.config.vision is None
    tensors = read_state_dict(path, without=IMAGE_TENSORS if text_only else "")
    state = convert(tensors, spec.config, images=not text_only, source=path.name)
    towers = towers_from_state(spec.config, state)
    kept = VectorCache.shared("text") if isinstance(cache, str) else cache
    vision = spec.config.vision
    found = spec.preprocessing if vision is None else read_preprocessing(path.parent, spec.preprocessing, side=vision.image_size)
    tokenizer = find_tokenizer(spec, path)
    encoder = ClipEncoder(towers.to(place), tokenizer, name=spec.name, mean=found.mean, std=found.std, image_fit=found.fit, cache=kept)
    encoder.image_weights = path if text_only and vision is not None else None
    return choose_backend(encoder, backend=backend, dtype=dtype)


def random_encoder(
    config: ClipConfig, *, seed: int = 0, tokenizer: Tokenizer | None = None, tuned: int = 0, name: str = "random"
) -> ClipEncoder:
    """Create an encoder with random weights, for tests and for training from scratch.

    Args:
        config: The architecture. Its `text.vocab_size` and `text.eot` must be the tokenizer's.
        seed: Of the weights.
        tokenizer: Words to ids; the 514 byte tokens of `Tokenizer.of_bytes` when left out.
        tuned: How many tuned blocks to add, random too.
        name: What reports call it.
    """
    towers = random_towers(config, seed=seed, tuned=tuned)
    return ClipEncoder(towers, tokenizer or Tokenizer.of_bytes(config.text.tokenizer), name=name)


def choose_device(device: str = "auto") -> torch.device:
    """Return the device of that name; `auto` is CUDA if available, else the CPU.

    Raises:
        ConfigError: If the name is unknown or there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
        if chosen.type == "meta":
            raise RuntimeError("meta tensors hold no values")
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"Device {device!r} is not available; expected auto, cpu or a CUDA device of this machine. Use --device cpu."
        ) from error
    return chosen
