"""Labelled boxes in a scan, from words: the whole path in one function."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from basrelief.datasets import parse_labels
from basrelief.scenes.crops import CropSettings, FirstPass, embed_boxes
from basrelief.scenes.detections import Detections
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.label import LabelSettings, label_boxes
from basrelief.scenes.proposals import Proposals, propose
from basrelief.scenes.scene import Scene
from basrelief.types import Progress

if TYPE_CHECKING:
    from basrelief.models import Model
    from basrelief.models.inputs import ShapeLike


def detect(
    scan: ShapeLike | Scene,
    labels: str | Sequence[str] | None = None,
    *,
    model: Model | str = "tiny",
    proposals: str | Proposals = "segments",
    limit: int | None = 200,
    first_pass: int | None = None,
    crops: CropSettings | None = None,
    settings: LabelSettings | None = None,
    guard: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Detections:
    """Find and label the things in a scan, from geometry alone.

    Args:
        scan: A file, points, a mesh, or a `Scene` from `prepare_scene`.
        labels: A list of names, a comma list or a label set's name; the names the model was trained on when None.
        model: A model or its name.
        proposals: A method of `PROPOSERS`, or boxes.
        limit: Label this many proposals at most, the best ones; all when None.
        first_pass: Look at every box from three sides, and at this many, the most promising, from all; for slow models. All when None.
        crops: Which points stand for a box.
        settings: How labels are chosen and boxes suppressed.
        guard: Arguments of `prepare_scene`, such as `up` and `unit`.
        options: Options of the method of proposals.
        seed: Of random choices.
        progress: Called after each batch of boxes that were embedded.

    Returns:
        Labelled boxes, best first. Their embeddings are kept: `Detections.relabel` asks for other words at once.

    Raises:
        ConfigError: If labels, method or settings are wrong.
        FileFormatError: If the file cannot be read.
        GeometryError: If the scan is empty or degenerate.
    """
    from basrelief.models import load_model

    network = load_model(model) if isinstance(model, str) else model
    names = network.default_labels if labels is None else labels
    times = {}
    start = time.perf_counter()
    scene = scan if isinstance(scan, Scene) else prepare_scene(_scan(scan), **(guard or {}))
    times["guard"] = time.perf_counter() - start
    start = time.perf_counter()
    found = propose(scene, proposals, limit=limit, seed=seed, **(options or {})) if isinstance(proposals, str) else proposals
    times["propose"] = time.perf_counter() - start
    first = None if first_pass is None else FirstPass(parse_labels(names, least=1), first_pass)
    embedded = embed_boxes(scene, found, network, crops=crops, first_pass=first, seed=seed, progress=progress)
    result = label_boxes(embedded, names, settings)
    return dataclasses.replace(result, seconds=MappingProxyType(times | dict(result.seconds)))


def _scan(scan: ShapeLike) -> Any:  # noqa: ANN401
    from basrelief.models.inputs import as_shapes

    return scan if isinstance(scan, str | Path | np.ndarray) else as_shapes(scan)[0]
