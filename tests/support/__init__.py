"""Helpers shared by the tests: paths of the repository, recorded arrays, scripts as modules."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"


def parity_path(name: str) -> Path:
    """A file of the recorded arrays, or a skip that says which is missing."""
    folder = Path(os.environ.get("BASRELIEF_PARITY") or SHARED / "parity")
    if not (folder / name).is_file():
        pytest.skip(f"recorded arrays {name} are absent: set BASRELIEF_PARITY to the folder that holds them")
    return folder / name


def parity_arrays(name: str) -> dict[str, np.ndarray]:
    """All arrays of a recorded `.npz`."""
    with np.load(parity_path(name), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def parity_json(name: str) -> Any:
    """A recorded JSON file."""
    return json.loads(parity_path(name).read_text(encoding="utf-8"))


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
