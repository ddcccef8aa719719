"""Weights files to named tensors: safetensors first, a pickle only through `torch.load(weights_only=True)`.

A pickle is as safe as torch makes it: 2.6 closed a hole that ran code (CVE-2025-32434), 2.10 one that wrote to memory (CVE-2026-24747).
Older versions are not supported. Legacy tar files and TorchScript archives are refused.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basrelief.errors import WeightsError

_WRAPPERS = ("model_state_dict", "state_dict", "model")


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a weights file, detected by its content, not its name.

    A wrapping dictionary (`model_state_dict`, `state_dict`, `model`) and every `module.` of a name are removed. Files are
    mapped into memory where the format allows, so a tensor costs memory when it is used.

    Args:
        path: A safetensors file or a PyTorch pickle of tensors.

    Raises:
        WeightsError: If the file is missing, broken, a TorchScript archive, or holds anything but tensors.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise WeightsError(f"weights must be a readable file, but got {path}, which is none. Check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"weights must be a readable file, but got {path}: {error.strerror}. Check the path.") from error
    content = _read_safetensors(path) if head[8:9] == b"{" else _read_pickle(path)
    return _only_tensors(path, content)


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the text fields in the head of a safetensors file.

    Raises:
        WeightsError: If the file is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise WeightsError(f"weights must be a safetensors file, but got {Path(path).name}: {error}. Fetch it again.") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"weights must be a whole safetensors file, but got {path.name}: {error}. Fetch it again.") from error


def _read_pickle(path: Path) -> object:
    try:
        zipped = zipfile.is_zipfile(path)
        script = zipped and _is_torchscript(path)
        content: object = None if script else torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a hostile file may raise anything
        cause = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise WeightsError(f"weights must be a file of tensors alone, but got {path.name}: {cause} Take a safetensors file.") from error
    if script:
        raise WeightsError(
            f"weights must hold tensors by name, but got the TorchScript archive {path.name}. Take open_clip_model.safetensors of the "
            "encoder's hub repository, or save torch.jit.load(file).state_dict() with safetensors."
        )
    return content


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _only_tensors(path: Path, content: object) -> dict[str, Tensor]:
    mapping: Mapping[Any, Any] = content if isinstance(content, Mapping) else {}
    for wrapper in _WRAPPERS:
        if isinstance(mapping.get(wrapper), Mapping):
            mapping = mapping[wrapper]
            break
    if not mapping or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in mapping.items()):
        got = f"{type(content).__name__} with {', '.join(str(k) for k in list(mapping)[:5]) or 'no names'}"
        raise WeightsError(f"weights must hold tensors by name, but got {path.name}, a {got}. Save the state dict alone.")
    for name, tensor in mapping.items():
        if not _is_plain(tensor):
            raise WeightsError(f"{str(name)[:80]} in {path.name} is no plain tensor that holds its own numbers. Save the state dict alone.")
    return {name.replace("module.", ""): tensor for name, tensor in mapping.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor lies in memory number by number: a few bytes can say they are a tensor of any size that repeats them."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def check_finite(name: str, tensor: Tensor) -> None:
    """Check that weights hold numbers only; their sum, at the speed of reading, says when to look closer.

    Args:
        name: For the message.
        tensor: Of any type; one on the meta device has no numbers.

    Raises:
        WeightsError: If there is another.
    """
    if tensor.is_floating_point() and not tensor.is_meta and not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise WeightsError(f"{name} holds NaN or infinity. The weights are damaged: fetch them again, or train again with a lower rate.")
