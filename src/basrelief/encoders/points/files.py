"""Files of trained point networks: weights, size, what it reads, and the CLIP whose space it was trained in."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from basrelief.encoders.base import Encoder
from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.convert import IMAGE_PARTS
from basrelief.encoders.fingerprint import sampled_bytes
from basrelief.encoders.points.base import PointNetwork, fill_network
from basrelief.encoders.points.registry import NetworkSpec
from basrelief.encoders.state_dict import read_metadata, read_state_dict
from basrelief.errors import ConfigError, WeightsError
from basrelief.limits import limits
from basrelief.output import replace_file, to_json

FORMAT = "basrelief point network 1"
_LARGEST = 16384
"""Largest number in a size; the largest of a published one is 6,144."""
_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("network", "family", "frame", "encoder", "encoder_fingerprint"), str),
    **dict.fromkeys(("missing_color", "logit_scale"), (int, float)),
    "points": int,
    "size": dict,
    "notes": dict,
}


@dataclass(frozen=True)
class PointRecord:
    """What a file says about its network.

    Attributes:
        network: Name of the network, for reports.
        family: Its module, a key of `FAMILIES`.
        size: Fields of its size.
        points: Points it was trained on.
        frame: Axes it was trained with, a key of `basrelief.models.shape_input.FRAMES`.
        missing_color: Red, green and blue of points without colour.
        logit_scale: Multiplier of cosines, already exponentiated.
        encoder: Name of the CLIP weights whose space it was trained in.
        encoder_fingerprint: Its `space_fingerprint`; empty if the training read published features and never loaded it.
        notes: Settings, data and validation of the training; plain data.
    """

    network: str
    family: str
    size: Mapping[str, Any]
    points: int
    frame: str
    missing_color: float
    logit_scale: float
    encoder: str
    encoder_fingerprint: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> NetworkSpec:
        """The network's size."""
        return NetworkSpec(self.network, self.family, self.size)


def space_fingerprint(encoder: Encoder) -> str:
    """16 hexadecimal digits that tell whether two encoders have one text tower, whether or not their image towers were loaded.

    Weights are compared in bfloat16, so float32 and bfloat16 give the same; float16 rounds differently and gives an empty text.

    Args:
        encoder: A CLIP.
    """
    if not isinstance(encoder, ClipEncoder) or encoder.dtype == torch.float16:
        return ""
    digest = hashlib.sha256(encoder.tokenizer.fingerprint.encode())
    for name, tensor in sorted(encoder.towers.state_dict().items()):
        if not name.startswith((*IMAGE_PARTS, "logit_scale")):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(sampled_bytes(tensor.to(torch.bfloat16), torch.float32))
    return digest.hexdigest()[:16]


def save_point_network(network: PointNetwork, path: Path | str, *, record: PointRecord) -> Path:
    """Write a network, whole or not at all.

    Args:
        network: Its parameters and buffers are stored as float32.
        path: The file, safetensors.
        record: What belongs to it.

    Raises:
        OutputError: If the file cannot be written.
    """
    from safetensors.torch import save_file

    state = {name: t.detach().cpu() for name, t in network.state_dict().items()}
    tensors = {name: (t.float() if t.is_floating_point() else t).clone().contiguous() for name, t in state.items()}
    with replace_file(path) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "point": to_json(asdict(record))})
    return Path(path)


def is_point_file(path: Path | str) -> bool:
    """Return whether a file was written by `save_point_network`."""
    try:
        return read_metadata(path).get("format") == FORMAT
    except WeightsError:
        return False


def read_point_record(path: Path | str) -> PointRecord:
    """Read what a file says about its network.

    Raises:
        WeightsError: If it says nothing, or something of another form.
    """
    name = Path(path).name
    try:
        stored = json.loads(read_metadata(path)["point"])
        wrong = [key for key, kind in _FIELDS.items() if not isinstance(stored[key], kind) or isinstance(stored[key], bool)]
        if wrong or stored["points"] < 1 or not 0 <= stored["missing_color"] <= 1 or not 0 < stored["logit_scale"] < math.inf:
            raise ValueError(f"values of another form: {', '.join(wrong) or 'points, missing_color or logit_scale'}")
        if stored["points"] > limits().points or not all(_is_reasonable(*each) for each in stored["size"].items()):
            raise ValueError("a size beyond all reason")
        return PointRecord(**stored)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{name} has no valid record of a point network: {error}. Train again.") from error


def _is_reasonable(name: str, value: object) -> bool:
    """Whether a field of a size is small enough to be built: files of strangers could ask for a billion layers or points of a patch."""
    if isinstance(value, list):
        return len(value) <= limits().layers and all(_is_reasonable(name, each) for each in value)
    most = limits().layers if name in ("depth", "layers") else _LARGEST
    return value is None or isinstance(value, str) or (isinstance(value, bool | int | float) and abs(value) <= most)


def load_point_network(path: Path | str) -> tuple[PointNetwork, PointRecord]:
    """Load a network, in evaluation mode.

    Args:
        path: What `save_point_network` wrote.

    Raises:
        WeightsError: If the file is broken, or its network is of an unknown kind.
    """
    record = read_point_record(path)
    try:
        network = record.spec.empty()
    except (ConfigError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{Path(path).name} holds a network that cannot be built. {error} Train again.") from error
    return fill_network(network, read_state_dict(path), source=Path(path).name), record
