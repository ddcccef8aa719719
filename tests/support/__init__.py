"""Helpers shared by the tests: paths of the repository, recorded arrays, scripts as modules."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
RECORDED = REPOSITORY / "tests" / "recorded"


def parity_path(name: str) -> Path:
    """A file recorded from the original programs: of `tests/recorded`, or of the folder named by `BASRELIEF_PARITY`."""
    return Path(os.environ.get("BASRELIEF_PARITY") or RECORDED) / name


def parity_arrays(name: str) -> dict[str, np.ndarray]:
    """All arrays of a recorded `.npz`; an array that reads `=FILE:NAME` is taken from there."""
    with np.load(parity_path(name), allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    others: dict[str, list[tuple[str, str]]] = {}
    for key, array in found.items():
        if array.dtype.kind == "U" and str(array).startswith("="):
            file, _, other = str(array)[1:].partition(":")
            others.setdefault(file, []).append((key, other))
    for file, names in others.items():
        with np.load(parity_path(file), allow_pickle=False) as arrays:
            found |= {key: arrays[other] for key, other in names}
    return found


def parity_json(name: str) -> Any:
    """A recorded JSON file."""
    return json.loads(parity_path(name).read_text(encoding="utf-8"))


def same_texts(ours: str | Sequence[str], recorded: str | list[str]) -> bool:
    """Whether texts are the recorded ones, which `tests/recorded` holds as a hash and a full recording as they are."""
    ours = ours if isinstance(ours, str) else list(ours)
    if isinstance(recorded, str) and recorded.startswith("sha256:"):
        return recorded == f"sha256:{hashlib.sha256(json.dumps(ours).encode()).hexdigest()}"
    return ours == recorded


def shared_path(name: str) -> Path:
    """A file or folder of the shared assets, or a skip."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared folder {name} is absent")
    return path


def load_script(path: str) -> ModuleType:
    """A script of the repository as a module, e.g. `benchmarks/pose.py`."""
    name = f"script_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str((REPOSITORY / path).parent))  # scripts import each other by name
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module
