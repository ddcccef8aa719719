"""Weights files to named tensors: safetensors, and the files of any version of `torch.save`, in which nothing is ever executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from basrelief.encoders.checkpoint.read import Checkpoint, open_checkpoint
from basrelief.encoders.checkpoint.records import StoredTensor
from basrelief.errors import FileFormatError, WeightsError
from basrelief.io.checks import parser_errors

_WRAPPERS = ("model_state_dict", "state_dict", "model", "module", "weights")
_AVERAGES = ("state_dict_ema", "model_ema_state_dict", "model_ema", "ema_state_dict", "ema")
_PREFIXES = ("module.", "_orig_mod.")
_DEEPEST = 3
T = TypeVar("T")


@dataclass(frozen=True)
class StateDict:
    """The tensors of a weights file.

    Attributes:
        tensors: By name, without the prefixes of data-parallel and compiled modules.
        place: Where they stood in the file, e.g. `model_state_dict`; empty if they are all that the file holds.
        unused: Other state dicts beside them, e.g. running averages of the same weights.
        dropped: What else was in the file and was not read: where it stood, and its name.
    """

    tensors: dict[str, Tensor]
    place: str = ""
    unused: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)


def read_state_dict(path: Path | str, *, without: str = "") -> dict[str, Tensor]:
    """Read the tensors of a weights file; see `open_state_dict`.

    Args:
        path: A weights file of any format.
        without: Regular expression that matches the beginning of names, prefixes included, whose tensors are not read; empty for none.
    """

    def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in tensors.items() if not without or not re.match(without, name)}

    return _open(path, whole, lambda path, checkpoint: _choose(path, checkpoint, without=without).tensors)


def open_state_dict(path: Path | str) -> StateDict:
    """Read the tensors of a weights file, detected by its content, not its name.

    The state dict is looked for under the names that training scripts use: `model_state_dict`, `state_dict`, `model`, `module` (DeepSpeed),
    `weights`, in this order, then running averages (`state_dict_ema`, `ema` and others). `module.` and `_orig_mod.` are removed from the
    beginning of the names if all have it. Files are mapped into memory where the format allows, so a tensor costs memory when it is used.

    Args:
        path: A safetensors file, one of `torch.save`, or a TorchScript archive.

    Raises:
        WeightsError: If the file is missing, broken, or holds no state dict.
    """
    return _open(path, StateDict, _choose)


def read_state_dicts(path: Path | str) -> dict[str, dict[str, Tensor]]:
    """Read every state dict of a weights file by its place in it, e.g. `state_dict` and `image_alignment_adapter`.

    Tensors that stand beside other values at the top of the file, or are all that it holds, have the place `""`. Formats, prefixes and
    errors are those of `open_state_dict`. Values other than state dicts are left out, as is the state of optimisers.

    Args:
        path: A weights file of any format.

    Raises:
        WeightsError: If the file is missing, broken, or holds no state dict.
    """
    return _open(path, lambda tensors: {"": tensors}, _choose_all)


def _open(path: Path | str, whole: Callable[[dict[str, Tensor]], T], choose: Callable[[Path, Checkpoint], T]) -> T:
    """Call `whole` with the tensors of a safetensors file, or `choose` with a checkpoint."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path} is not a regular file. Check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {error.strerror}. Check the path.") from error
    if head[8:9] == b"{":
        return whole(_without_prefixes(_checked(path, _read_safetensors(path))))
    try:
        with parser_errors(path, "a checkpoint"):
            return choose(path, open_checkpoint(path))
    except FileFormatError as error:
        raise WeightsError(str(error)) from error


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
        raise WeightsError(f"Cannot read {Path(path).name} as safetensors: {error}. Download it again.") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"Cannot read {path.name} as safetensors: {error}. Download it again.") from error


def _choose(path: Path, checkpoint: Checkpoint, *, without: str = "") -> StateDict:
    """Find the state dict in a checkpoint, and read its tensors."""
    found, place, unused = _locate(checkpoint.content)
    stored = found if isinstance(found, Mapping) else {}
    if all(isinstance(tensor, StoredTensor) for tensor in stored.values()):
        _check_complete(path, checkpoint, place)
    if not stored or not all(isinstance(name, str) and isinstance(tensor, StoredTensor) for name, tensor in stored.items()):
        raise _no_tensors(path, checkpoint.content, stored)
    wanted = {name: tensor for name, tensor in stored.items() if not without or not re.match(without, name)}
    return StateDict(_tensors(path, checkpoint, wanted), place, unused, checkpoint.dropped)


def _choose_all(path: Path, checkpoint: Checkpoint) -> dict[str, dict[str, Tensor]]:
    """Find the state dicts in a checkpoint, and read their tensors."""
    found = {}
    for place, stored, alone in _places(checkpoint.content):
        if alone:
            _check_complete(path, checkpoint, place)
        found[place] = _tensors(path, checkpoint, stored)
    if not found:
        _check_complete(path, checkpoint, "")
        raise _no_tensors(path, checkpoint.content, checkpoint.content)
    return found


def _places(content: object, place: str = "", deeper: int = _DEEPEST - 1) -> Iterator[tuple[str, dict[str, StoredTensor], bool]]:
    """List the state dicts in a checkpoint: place, tensors, and whether they are all that stands there."""
    if not isinstance(content, Mapping):
        return
    stored = {name: tensor for name, tensor in content.items() if isinstance(name, str) and isinstance(tensor, StoredTensor)}
    alone = len(stored) == len(content)
    if stored and (alone or not place):
        yield place, stored, alone
    for name, inner in content.items() if deeper else ():
        if isinstance(name, str):
            yield from _places(inner, f"{place}.{name}".removeprefix("."), deeper - 1)


def _check_complete(path: Path, checkpoint: Checkpoint, place: str) -> None:
    """Check that no value at a place was left out when the file was opened."""
    if "" in checkpoint.dropped:
        raise WeightsError(
            f"{path.name} holds a pickled {checkpoint.dropped['']}, which is not read; expected tensors by name. "
            "Save model.state_dict() instead of the model."
        )
    above = f"{place}." if place else ""
    for name, what in checkpoint.dropped.items():
        if name.startswith(above):
            shown = name.removeprefix(above)[:80]
            raise WeightsError(f"{shown} in {path.name} is no plain tensor but {what}, which is not read. Save the state dict alone.")


def _tensors(path: Path, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    return _without_prefixes(_checked(path, {name: checkpoint.tensor(tensor) for name, tensor in stored.items()}))


def _no_tensors(path: Path, content: object, names: object) -> WeightsError:
    listed = ", ".join(str(name)[:40] for name in list(names)[:5]) if isinstance(names, Mapping) else ""
    got = f"{type(content).__name__} with {listed or 'no names'}"
    return WeightsError(f"{path.name} holds a {got}; expected tensors by name. Save the state dict alone.")


def _locate(content: object) -> tuple[object, str, tuple[str, ...]]:
    """Return the state dict in a checkpoint, its key, and the keys of other state dicts."""
    places: list[str] = []
    unused: tuple[str, ...] = ()
    for _ in range(_DEEPEST):
        inner = [name for name in (*_WRAPPERS, *_AVERAGES) if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)]
        if not inner or not isinstance(content, Mapping):
            break
        content, unused = content[inner[0]], (*unused, *inner[1:])
        places.append(inner[0])
    return content, ".".join(places), unused


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove prefixes that every name has, never anything inside a name."""
    while (prefix := next((one for one in _PREFIXES if all(name.startswith(one) and name != one for name in tensors)), None)) and tensors:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _checked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not tensors:
        raise WeightsError(f"{path.name} holds a dict with no names; expected tensors by name. Save the state dict alone.")
    for name, tensor in tensors.items():
        if not _is_plain(tensor):
            raise WeightsError(f"{name[:80]} in {path.name} is no plain tensor that holds its own numbers. Save the state dict alone.")
    return tensors


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense and stores each of its values; with strides of 0, a few bytes could declare any size."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def misfit(problem: str, names: Collection[str], *, layout: str, tensors: int) -> WeightsError:
    """Return the error for weights that do not have the names of an architecture.

    Args:
        problem: `unknown` or `missing`.
        names: The names, in any order; five are shown.
        layout: How the names look.
        tensors: How many there are.
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return WeightsError(
        f"The weights do not fit the architecture; {len(names)} {problem}: {', '.join(sorted(names)[:5])}{more} "
        f"(layout looks like {layout}, {tensors} tensors). Check that the file belongs to this encoder."
    )


def check_finite(name: str, tensor: Tensor) -> None:
    """Check that weights are finite; a fast sum decides whether each value must be checked.

    Args:
        name: For the message.
        tensor: Of any type; one on the meta device has no numbers.

    Raises:
        WeightsError: If there is another.
    """
    if tensor.is_floating_point() and not tensor.is_meta and not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise WeightsError(f"{name} holds NaN or infinity. The weights are damaged: fetch them again, or train again with a lower rate.")
