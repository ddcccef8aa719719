"""Checkpoints of a training run: written atomically, read without executing code, and validated before use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basrelief.errors import WeightsError
from basrelief.output import replace_file


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Raises:
        OutputError: If it cannot be written.
    """
    with replace_file(path) as part:
        torch.save(dict(state), part)


def read_checkpoint(path: Path, *, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; a file with anything but tensors and plain data is rejected.

    Args:
        path: Path of the file.
        device: Device for its tensors.

    Raises:
        WeightsError: If it is damaged.
    """
    try:
        state = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # a damaged or hostile file may raise any exception
        raise damaged_checkpoint(path, str(error).strip().split("\n")[0][:200] or type(error).__name__) from error
    if not isinstance(state, dict):
        raise damaged_checkpoint(path, f"it holds a {type(state).__name__}")
    return state


def damaged_checkpoint(path: Path, reason: str) -> WeightsError:
    """Return the error for a checkpoint that cannot be used."""
    return WeightsError(f"Cannot resume from {str(path)!r}: {reason}. Remove the file to start the run again, or name another folder.")


def check_matches(expected: object, found: object, *, path: Path, where: str) -> None:
    """Check that data from a checkpoint has the names, shapes and types of this run, and finite numbers.

    Args:
        expected: The corresponding state of this run.
        found: State in the checkpoint.
        path: Path of the checkpoint, for the message.
        where: Name of the state, for the message.

    Raises:
        WeightsError: If they differ.
    """
    if isinstance(expected, Mapping):
        names = set(found) if isinstance(found, Mapping) else set()
        if different := sorted(map(str, names ^ set(expected)))[:3]:
            raise damaged_checkpoint(path, f"{where} has other names: {', '.join(different)}")
        for name, inner in expected.items():
            check_matches(inner, found[name], path=path, where=f"{where}.{name}")  # type: ignore[index]
    elif isinstance(expected, list | tuple):
        numbered = dict(enumerate(found)) if isinstance(found, type(expected)) else None
        check_matches(dict(enumerate(expected)), numbered, path=path, where=where)
    elif isinstance(expected, Tensor):
        _check_tensor(found, (tuple(expected.shape),), path=path, where=where)
    elif _number(expected) and _number(found):
        if not math.isfinite(found):  # type: ignore[arg-type]
            raise damaged_checkpoint(path, f"{where} is {found}")
    elif type(expected) is not type(found):
        raise damaged_checkpoint(path, f"{where} is of type {type(found).__name__}; expected {type(expected).__name__}")


def load_optimiser(optimiser: torch.optim.Optimizer, found: object, *, path: Path, where: str) -> None:
    """Load the state of an optimiser from a checkpoint.

    Args:
        optimiser: Optimiser of this run.
        found: State in the checkpoint.
        path: Path of the checkpoint, for the message.
        where: Name of the optimiser, for the message.

    Raises:
        WeightsError: If the state belongs to other parameters or another optimiser.
    """
    state = found.get("state") if isinstance(found, Mapping) else None
    groups = found.get("param_groups") if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping):
        raise damaged_checkpoint(path, f"{where} has no state")
    own = optimiser.state_dict()["param_groups"]
    check_matches(own, groups, path=path, where=f"{where}.param_groups")
    if [group["params"] for group in own] != [group["params"] for group in groups or ()]:
        raise damaged_checkpoint(path, f"{where} belongs to other parameters")
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    names: set[Any] | None = None
    for number, entry in state.items():
        if number not in range(len(parameters)) or not isinstance(entry, Mapping):
            raise damaged_checkpoint(path, f"{where} has a state for parameter {str(number)[:20]}")
        names = set(entry) if names is None else names
        if set(entry) != names:
            raise damaged_checkpoint(path, f"{where}.{number} has other names than the states before it")
        for name, tensor in entry.items():
            _check_tensor(tensor, (tuple(parameters[number].shape), ()), path=path, where=f"{where}.{number}.{name}")
    optimiser.load_state_dict(dict(found))  # type: ignore[call-overload]


def _check_tensor(found: object, shapes: tuple[tuple[int, ...], ...], *, path: Path, where: str) -> None:
    if not isinstance(found, Tensor) or tuple(found.shape) not in shapes:
        got = f"has dimensions {tuple(found.shape)}" if isinstance(found, Tensor) else f"is a {type(found).__name__}"
        raise damaged_checkpoint(path, f"{where} must have dimensions {shapes[0]}, but {got}")
    if not found.isfinite().all():
        raise damaged_checkpoint(path, f"{where} holds NaN or infinity")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
