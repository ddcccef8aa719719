"""OpenDlign's tuned blocks in files: alone, as training leaves them, or with all of CLIP in the published layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.convert import to_published
from basrelief.encoders.fingerprint import sampled_bytes
from basrelief.encoders.state_dict import check_finite, read_metadata, read_state_dict
from basrelief.encoders.towers import tuned_count
from basrelief.errors import WeightsError
from basrelief.output import replace_file, to_json

FORMAT = "basrelief tuned blocks 1"
_BASE = ("vision_model.", "visual_projection.")


def save_tuned(encoder: ClipEncoder, path: Path | str, *, notes: Mapping[str, Any]) -> Path:
    """Write the tuned blocks alone, whole or not at all; `load_tuned` puts them back on the same CLIP.

    Args:
        encoder: With tuned blocks, behind the preprocessing they were trained with.
        path: The file, safetensors.
        notes: What belongs to them: recipe, settings, data; plain data.

    Raises:
        WeightsError: If there are no tuned blocks.
    """
    from safetensors.torch import save_file

    state = {name: t for name, t in encoder.towers.state_dict().items() if name.startswith("tuned_blocks.")}
    if not state:
        raise WeightsError("The encoder has no tuned blocks to save. Train them with basrelief train opendlign.")
    record = {
        "base": base_fingerprint(encoder),
        "encoder": encoder.name,
        "residual": encoder.towers.tuned_residual,
        "mean": encoder.mean,
        "std": encoder.std,
        "notes": dict(notes),
    }
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}
    with replace_file(path) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "tuned": to_json(record)})
    return Path(path)


def is_tuned_file(path: Path | str) -> bool:
    """Return whether a file was written by `save_tuned`."""
    try:
        return read_metadata(path).get("format") == FORMAT
    except WeightsError:
        return False


def read_tuned_record(path: Path | str) -> dict[str, Any]:
    """Read the metadata of a file of tuned blocks: `base`, `encoder`, `residual`, `mean`, `std`, and `notes` with the `settings`.

    Raises:
        WeightsError: If it says nothing, or something of another form.
    """
    try:
        record: dict[str, Any] = json.loads(read_metadata(path)["tuned"])
        _ = record["base"], record["encoder"], record["residual"], record["mean"], record["std"]
        notes = record["notes"]
        if not isinstance(notes, dict) or not isinstance(notes.get("settings", {}), dict):
            raise ValueError("notes of another form")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        name = Path(path).name
        raise WeightsError(f"{name} has no valid record of tuned blocks. Train again.") from error
    return record


def load_tuned(encoder: ClipEncoder, path: Path | str) -> dict[str, Any]:
    """Put tuned blocks on an encoder, in place of any it has.

    Args:
        encoder: CLIP, the same numbers as in training.
        path: What `save_tuned` wrote.

    Returns:
        Its record: `notes`, and `mean` and `std` of the pictures it was trained with.

    Raises:
        WeightsError: If the file is broken, does not fit, or was trained on other weights.
    """
    name, state = Path(path).name, read_state_dict(path)
    record = read_tuned_record(path)
    try:
        base, residual, count = str(record["base"]), bool(record["residual"]), tuned_count(state)
    except IndexError as error:
        raise WeightsError(f"{name} holds other tensors than tuned blocks. Train again.") from error
    if base != base_fingerprint(encoder):
        raise WeightsError(
            f"{name} was trained on other weights ({record['encoder']}) than the loaded ones ({encoder.name}). Load the same CLIP."
        )
    blocks = encoder.config.image_tower.layers
    if not isinstance(blocks, int) or not 1 <= count <= blocks:
        raise WeightsError(f"{name} has {count} tuned blocks; expected 1 to {blocks}. Use a checkpoint of this encoder.")
    for key, tensor in state.items():
        check_finite(key, tensor)
    towers, place = encoder.towers, (encoder.device, encoder.dtype)
    towers.add_tuned_blocks(count, residual=residual)
    try:
        (towers.tuned_blocks or towers).load_state_dict({key.removeprefix("tuned_blocks."): tensor for key, tensor in state.items()})
    except RuntimeError as error:
        raise WeightsError(
            f"{name} does not fit the encoder ({str(error).splitlines()[-1].strip()}). Use a checkpoint of this encoder."
        ) from error
    (towers.tuned_blocks or towers).to(*place)
    return record


def export_published(encoder: ClipEncoder, path: Path | str) -> Path:
    """Write all of CLIP with its tuned blocks as the published checkpoints are: `model_state_dict` under the original's names.

    Args:
        encoder: With tuned blocks.
        path: The file, a PyTorch pickle of tensors.

    Raises:
        WeightsError: If there are no tuned blocks, or the layout cannot say how they are joined.
    """
    towers = encoder.towers
    if towers.tuned_blocks is None or not towers.tuned_residual:
        got = "no tuned blocks" if towers.tuned_blocks is None else "tuned blocks that replace the frozen ones"
        raise WeightsError(f"The encoder has {got}. The published layout holds only blocks that add to the frozen ones; use save_tuned.")
    with replace_file(path) as part:
        torch.save({"epoch": 0, "model_state_dict": to_published(towers.state_dict())}, part)
    return Path(path)


def base_fingerprint(encoder: ClipEncoder) -> str:
    """16 hexadecimal digits of the frozen image tower: up to 512 numbers of every tensor, in its own dtype."""
    digest = hashlib.sha256(json.dumps(encoder.config.to_json(), sort_keys=True).encode())
    for name, tensor in _base(encoder.towers.state_dict()):
        digest.update(name.encode())
        digest.update(sampled_bytes(tensor, torch.float32))
    return digest.hexdigest()[:16]


def _base(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in sorted(state.items()) if name.startswith(_BASE))
