"""Write detections to a file; the suffix chooses the format."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from basrelief.errors import ConfigError, FileFormatError, unknown_choice

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

FORMATS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "json": ("basrelief.scenes.export.records", "save_json"),
        "csv": ("basrelief.scenes.export.spreadsheet", "save_csv"),
        "ply": ("basrelief.scenes.export.ply", "save_ply"),
        "glb": ("basrelief.scenes.export.gltf", "save_glb"),
        "txt": ("basrelief.scenes.export.kitti", "save_kitti"),
        "npz": ("basrelief.scenes.export.archive", "save_npz"),
        "html": ("basrelief.scenes.viewer.viewer", "save_viewer"),
    }
)
"""Module and function of each suffix; imported when it is used."""


def save_detections(detections: Detections, path: str | os.PathLike[str], **options: Any) -> Path:  # noqa: ANN401 - of the format
    """Write detections to a file, completely or not at all.

    Coordinates are those of the scan's file, in its unit; `.txt` and the heights are metres.

    Args:
        detections: From `detect`.
        path: The suffix chooses the format: one of `FORMATS`. An existing file is replaced, a missing folder is created.
        options: Of the format, see its function: `edges` and `colors` of .ply; `max_points`, `views` and `evidence_bytes` of .html.

    Returns:
        The path.

    Raises:
        FileFormatError: If the suffix is not one of `FORMATS`.
        ConfigError: If an option is unknown or has an invalid value.
        OutputError: If the file cannot be written.
    """
    file = Path(path)
    suffix = check_suffix(file)
    module, function = FORMATS[suffix]
    saver: Callable[..., None] = getattr(importlib.import_module(module), function)
    known = [name for name, one in inspect.signature(saver).parameters.items() if one.kind is one.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ConfigError(
                unknown_choice(f"option of .{suffix} files", name, known)
                if known
                else f".{suffix} files take no options, but {name!r} was given. Leave it out."
            )
    saver(detections, file, **options)
    return file


def check_suffix(path: Path) -> str:
    """Return the format of a path.

    Raises:
        FileFormatError: If its suffix is not one of `FORMATS`.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise FileFormatError(unknown_choice("format of detections", suffix, FORMATS))
    return suffix
