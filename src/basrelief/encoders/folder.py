"""basrelief's own format: a folder with `encoder.safetensors` (configuration in its head) and `tokenizer.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from basrelief.encoders.cache import VectorCache
from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.config import ClipConfig
from basrelief.encoders.convert import convert
from basrelief.encoders.preprocessing import Channels, ImageFit
from basrelief.encoders.state_dict import read_metadata, read_state_dict
from basrelief.encoders.tokenizer import Tokenizer
from basrelief.encoders.towers import towers_from_state
from basrelief.encoders.vocabulary import read_vocabulary
from basrelief.errors import WeightsError
from basrelief.output import replace_file, to_json

WEIGHTS_FILE = "encoder.safetensors"
_FIELD = "basrelief"


def save_encoder(encoder: ClipEncoder, folder: Path | str, *, dtype: torch.dtype = torch.float16) -> Path:
    """Write an encoder into a folder that `load_encoder_folder` reads.

    Args:
        encoder: What to write; a tuned block is written too, and an image tower that was not read yet.
        folder: Created if needed.
        dtype: Floating point type in the file; float16 halves the size and is read back as float32.

    Returns:
        The path of the weights file.
    """
    folder = Path(folder)
    if encoder.image_weights is not None:
        encoder.read_image_tower()
    record = {"format": 1, "name": encoder.name, "config": encoder.config.to_json(), "mean": encoder.mean, "std": encoder.std}
    if encoder.image_fit != ImageFit():
        record["image_fit"] = asdict(encoder.image_fit)
    if not encoder.towers.tuned_residual:
        record["tuned_residual"] = False
    state = encoder.towers.state_dict()
    tensors = {n: (t.to(dtype) if t.is_floating_point() else t).cpu().contiguous() for n, t in state.items()}
    tensors |= {name: state[name].float().cpu() for name in ("logit_scale", "logit_bias") if name in state}
    with replace_file(folder / WEIGHTS_FILE) as part:  # the tensors may be mapped from the very file that is replaced
        save_file(tensors, part, metadata={_FIELD: to_json(record)})
    encoder.tokenizer.save(folder)
    return folder / WEIGHTS_FILE


def load_encoder_folder(folder: Path | str, *, cache: VectorCache | None = None) -> ClipEncoder:
    """Load an encoder that `save_encoder` wrote, as float32 on the CPU.

    Args:
        folder: Holds `encoder.safetensors` and `tokenizer.json`.
        cache: Where text features are kept, or None.

    Raises:
        WeightsError: If a file is broken or its head is not basrelief's.
        WeightsNotFoundError: If the tokenizer is not there.
    """
    path = Path(folder) / WEIGHTS_FILE
    try:
        record = json.loads(read_metadata(path)[_FIELD])
        config = ClipConfig.from_json(record["config"])
        name, mean, std = str(record["name"]), _channels(record["mean"]), _channels(record["std"])
        if 0 in std:
            raise ValueError("std holds 0")
        fit = ImageFit(**record.get("image_fit", {}))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{WEIGHTS_FILE} has no valid configuration in its header: {str(error)[:300]!r}. Write it with save_encoder()."
        ) from error
    towers = towers_from_state(config, convert(read_state_dict(path), config, source=path.name))
    towers.tuned_residual = bool(record.get("tuned_residual", True))
    encoder = ClipEncoder(
        towers, Tokenizer.from_folder(folder, kind=config.text.tokenizer), name=name, mean=mean, std=std, image_fit=fit, cache=cache
    )
    encoder.vocabulary = read_vocabulary(folder)
    return encoder


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"channels {values}")
    return red, green, blue
