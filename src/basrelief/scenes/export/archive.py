""".npz: everything about detections, so that other labels need no new rendering. Pickles are neither written nor read."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.io.archive import open_archive, read_member
from basrelief.io.checks import check_count, parser_errors
from basrelief.io.formats.npy_array import read_header
from basrelief.limits import limits
from basrelief.markup import visible
from basrelief.output import replace_file, to_json
from basrelief.scenes.crops import EmbeddedBoxes
from basrelief.scenes.detections import Detections
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene, SceneKind
from basrelief.types import Finding, PointCloud

if TYPE_CHECKING:
    import io

    from basrelief.models import Model

FORMAT = "basrelief-detections-npz"
VERSION = 1

_BOXES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "centers": ("<f8", 2),
        "sizes": ("<f8", 2),
        "yaws": ("<f8", 1),
        "objectness": ("<f4", 1),
        "class_probs": ("<f4", 2),
        "box_points": ("<u4", 1),
        "box_point_counts": ("<u4", 1),
        "view_embeddings": ("<f4", 3),
    }
)
_ALL = "all_"
"""Before the names of `_BOXES`, for the boxes that were embedded, suppressed ones among them."""

_ARRAYS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "points": ("<f4", 2),
        "colors": ("|u1", 2),
        "structure": ("|i1", 1),
        "to_file": ("<f8", 2),
        "probabilities": ("<f4", 2),
        "label_ids": ("<i8", 1),
        "scores": ("<f4", 1),
        "info": ("|u1", 1),
        **_BOXES,
        **{f"{_ALL}{name}": kind for name, kind in _BOXES.items()},
    }
)
"""Type and number of dimensions of each array; colours, class probabilities and `all_` arrays may be missing."""


def save_npz(detections: Detections, path: Path) -> None:
    """Write the scan, the boxes and the embeddings of their views; `load_detections` reads them back. Colours have 8 bits.

    Raises:
        OutputError: If the file cannot be written.
    """
    arrays = {name: np.ascontiguousarray(value, dtype=_ARRAYS[name][0]) for name, value in _arrays(detections).items()}
    with replace_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def holds_detections(path: Path) -> bool:
    """Return whether a file is an .npz of `save_npz`, by the names of its arrays; other .npz files hold points."""
    try:
        with open_archive(path) as archive:
            return {"info.npy", "view_embeddings.npy"} <= set(archive.namelist())
    except (FileFormatError, OSError, zipfile.BadZipFile, ValueError):
        return False


def load_detections(path: str | os.PathLike[str], *, model: Model | None = None) -> Detections:
    """Read detections that were saved as .npz.

    Nothing in the file is executed, and its size is checked before it is unpacked (see `basrelief.Limits`).

    Args:
        path: The file.
        model: The model that labelled the boxes; with it `relabel` works. No box is rendered again.

    Returns:
        The detections.

    Raises:
        FileFormatError: If the file is missing, broken, too large or of another kind.
        ConfigError: If `model` has other weights than the one that embedded the boxes.
    """
    file = Path(path)
    if not file.is_file():
        raise FileFormatError(f"File {str(path)!r} not found. Check the path.")
    with parser_errors(file, "detections"):
        try:
            with open_archive(file) as archive:
                arrays = {name: _read(file, archive, name) for name in _ARRAYS if f"{name}.npy" in archive.namelist()}
            info = _info_of(file, arrays)
            found = _detections(info, arrays)
            embedded = None if model is None else _embedded(info, arrays, found.scene, model)
        except GeometryError as error:
            raise FileFormatError(f"{file.name} does not hold detections as basrelief saves them: {error}") from error
    if model is not None and info.get("fingerprint") != model.fingerprint:
        raise ConfigError(
            f"The boxes of {file.name} were embedded by {visible(found.model)!r} with other weights than those of {model.name!r}. "
            "Load the same model."
        )
    return replace(found, embedded=embedded)


def _arrays(detections: Detections) -> dict[str, np.ndarray]:
    scene, embedded = detections.scene, detections.embedded
    arrays: dict[str, np.ndarray] = {
        "info": np.frombuffer(to_json(_info(detections)).encode("ascii"), dtype=np.uint8),
        "points": scene.cloud.points,
        "structure": scene.structure,
        "to_file": scene.to_file,
        **{name: getattr(detections, name) for name in ("probabilities", "label_ids", "scores")},
        **_box_arrays(detections.proposals, detections.view_embeddings),
    }
    if scene.cloud.colors is not None:
        arrays["colors"] = np.round(scene.cloud.colors * 255)
    if embedded is not None:
        arrays |= {f"{_ALL}{name}": array for name, array in _box_arrays(embedded.proposals, embedded.views).items()}
    return arrays


def _box_arrays(proposals: Proposals, views: np.ndarray) -> dict[str, np.ndarray]:
    rows = proposals.points or ()
    return {
        **{name: getattr(proposals.boxes, name) for name in ("centers", "sizes", "yaws")},
        "objectness": proposals.scores,
        "box_points": np.concatenate([np.zeros(0, dtype=np.int64), *rows]),
        "box_point_counts": np.array([len(inside) for inside in rows]),
        "view_embeddings": views,
        **({} if proposals.class_probs is None else {"class_probs": proposals.class_probs}),
    }


def _info(detections: Detections) -> dict[str, Any]:
    scene, embedded = detections.scene, detections.embedded
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": scene.source,
        "kind": scene.kind,
        "floor": scene.floor,
        "findings": [[one.check, one.level, one.fact, one.remedy] for one in scene.findings],
        "method": detections.proposals.method,
        "class_names": list(detections.proposals.class_names),
        "labels": list(detections.labels),
        "model": detections.model,
        "fingerprint": None if embedded is None else embedded.model.fingerprint,
        "settings": dict(detections.settings),
        "seconds": dict(detections.seconds),
    }


def _info_of(file: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is not an array, after checking the format."""
    info = json.loads(arrays["info"].tobytes()) if "info" in arrays else None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise FileFormatError(f"{file.name} does not hold detections. Save them with Detections.save.")
    if info.get("version") != VERSION:
        raise FileFormatError(
            f"{file.name} has version {str(info.get('version'))[:20]} of the format, but this version of basrelief reads {VERSION}. "
            "Update basrelief."
        )
    return info


def _read(file: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read an array whose type and dimensions must be the expected ones."""
    expected, axes = _ARRAYS[name]
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as opened:
        header = read_header(file, cast("io.BufferedIOBase", opened))
        start = opened.tell()
    fits = header.dtype == np.dtype(expected) and len(header.shape) == axes and start + header.nbytes == member.file_size
    if not fits or (header.fortran and axes > 1):
        raise FileFormatError(f"The array {name!r} of {file.name} has another type or size than basrelief writes. Save it again.")
    if name == "points":
        check_count(file, header.shape[0], limits().points, of="points")
    if name.removeprefix(_ALL) in ("centers", "box_point_counts"):
        check_count(file, header.shape[0], limits().boxes, of="boxes")
    if name == "info":
        check_count(file, header.nbytes, limits().list_bytes, of="bytes of text")
    return np.frombuffer(bytearray(read_member(archive, member.filename)), dtype=expected, offset=start).reshape(header.shape)


def _detections(info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Detections:
    scene = Scene(
        PointCloud(arrays["points"], arrays.get("colors")),
        to_file=arrays["to_file"],
        structure=arrays["structure"],
        kind=_kind(info["kind"]),
        floor=None if info["floor"] is None else float(info["floor"]),
        findings=tuple(Finding(*map(str, one)) for one in info["findings"]),  # type: ignore[arg-type] # levels are only displayed
        source=str(info["source"]),
    )
    labels, ids = tuple(map(str, info["labels"])), arrays["label_ids"]
    if arrays["probabilities"].shape[1] != len(labels) or ((ids < -1) | (ids >= len(labels))).any():
        raise ValueError("labels and probabilities differ in number")
    if not all(np.isfinite(arrays[name]).all() for name in ("scores", "probabilities")):
        raise ValueError("scores are not finite")
    return Detections(
        scene,
        _proposals(info, arrays, scene),
        labels,
        arrays["probabilities"],
        ids,
        arrays["scores"],
        _views(arrays["view_embeddings"]),
        model=str(info["model"]),
        settings=MappingProxyType(dict(info["settings"])),
        seconds=MappingProxyType({str(name): float(value) for name, value in info["seconds"].items()}),
    )


def _embedded(info: Mapping[str, Any], arrays: Mapping[str, np.ndarray], scene: Scene, model: Model) -> EmbeddedBoxes:
    """Return all boxes that were embedded; those that were kept, where the file has no others."""
    prefix = _ALL if f"{_ALL}centers" in arrays else ""
    views = _views(arrays[f"{prefix}view_embeddings"])
    proposals = _proposals(info, arrays, scene, prefix=prefix)
    if len(views) != len(proposals):
        raise ValueError("boxes and embeddings differ in number")
    return EmbeddedBoxes(scene, proposals, views, model)


def _proposals(info: Mapping[str, Any], arrays: Mapping[str, np.ndarray], scene: Scene, *, prefix: str = "") -> Proposals:
    boxes = Boxes(arrays[f"{prefix}centers"], arrays[f"{prefix}sizes"], arrays[f"{prefix}yaws"])
    rows, counts = arrays[f"{prefix}box_points"], arrays[f"{prefix}box_point_counts"]
    if int(counts.sum(dtype=np.int64)) != len(rows) or (len(rows) and int(rows.max()) >= len(scene.cloud.points)):
        raise ValueError("points of boxes are not points of the scan")
    inside = tuple(np.split(rows.astype(np.int64), np.cumsum(counts, dtype=np.int64)[:-1])) if len(counts) else ()
    scores = arrays[f"{prefix}objectness"]
    if not np.isfinite(scores).all():
        raise ValueError("scores are not finite")
    names = tuple(map(str, info["class_names"]))
    return Proposals(boxes, scores, str(info["method"]), points=inside, class_probs=arrays.get(f"{prefix}class_probs"), class_names=names)


def _views(stored: np.ndarray) -> np.ndarray:
    if not np.isfinite(stored).all():
        raise ValueError("embeddings are not finite")
    return stored


def _kind(value: object) -> SceneKind:
    if value not in get_args(SceneKind):
        raise ValueError(f"{str(value)[:40]!r} is not a kind of scan")
    return cast("SceneKind", value)
