"""Proposals by 3DETR and 3DETR-m: sample the scene, run the network, drop empty boxes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from basrelief.encoders.weights import FETCH
from basrelief.errors import WeightsError, WeightsNotFoundError
from basrelief.geometry.box_iou import points_in_boxes
from basrelief.geometry.boxes import Boxes
from basrelief.geometry.sampling import subsample
from basrelief.models.detectors import detectors
from basrelief.models.fetch import find_detector
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene
from basrelief.scenes.threedetr.decode import BoxPredictions
from basrelief.scenes.threedetr.network import ThreeDetr
from basrelief.scenes.threedetr.sizes import ThreeDetrSpec
from basrelief.scenes.threedetr.weights import load_threedetr
from basrelief.types import PointCloud

MIN_POINTS = 5
"""Points of the network's input that a box must hold, as in the evaluation of the original."""

_MEAN_COLOR = np.array([109.8, 97.2, 83.8])  # of ScanNet, in [0, 255]


def propose_3detr(scene: Scene, *, seed: int = 0, weights: Path | str | None = None, device: str = "cpu") -> Proposals:
    """Propose boxes by 3DETR; see `propose_3detr_m`."""
    return _propose("3detr", scene, seed, weights, device)


def propose_3detr_m(scene: Scene, *, seed: int = 0, weights: Path | str | None = None, device: str = "cpu") -> Proposals:
    """Propose boxes by 3DETR-m.

    The network was trained on labelled boxes of its classes (18 of ScanNet, or 10 of SUN RGB-D), so it finds those best: only the labelling
    that follows is zero-shot. Boxes with fewer than five of the sampled points are dropped; if that would drop all, the best remains.

    Args:
        scene: In metres, +Z up, walls along x and y.
        seed: Of the points that are drawn: 40,000 of a scene, or 20,000 for weights of SUN RGB-D. If there are fewer, some repeat.
        weights: File of the weights; when None, the one that `basrelief models fetch` got, ScanNet's if both are there.
        device: Compute device.

    Returns:
        Up to 256 boxes (128 of SUN RGB-D, which may be turned), with objectness as their scores and the probabilities of the network's
        own classes.

    Raises:
        WeightsNotFoundError: If there are no weights on this machine.
        WeightsError: If the file is broken or of the other network.
    """
    return _propose("3detr-m", scene, seed, weights, device)


def network_input(cloud: PointCloud, spec: ThreeDetrSpec) -> Float32[np.ndarray, "points channels"]:
    """Return the rows that a network reads: positions, and colours if it was trained with them; points without colours get the mean."""
    if not spec.size.use_color:
        return cloud.points
    colors = np.zeros_like(cloud.points) if cloud.colors is None else (cloud.colors * 255 - _MEAN_COLOR) / 256
    return np.concatenate([cloud.points, colors], axis=1, dtype=np.float32)


def to_proposals(predictions: BoxPredictions, points: Float32[np.ndarray, "points 3"], spec: ThreeDetrSpec) -> Proposals:
    """Return the boxes of one scene that hold enough points.

    Args:
        predictions: Of a batch of one scene.
        points: What the network read.
        spec: Its size and classes.
    """
    centers, sizes, yaws = (part[0].double().cpu().numpy() for part in (predictions.centers, predictions.sizes, predictions.yaws))
    objectness, probabilities = (part[0].float().cpu().numpy() for part in (predictions.objectness, predictions.class_probs))
    boxes = Boxes(centers, sizes, yaws)
    full = np.array([len(rows) >= MIN_POINTS for rows in points_in_boxes(points, boxes)])
    kept = np.flatnonzero(full) if full.any() else np.array([objectness.argmax()])
    return Proposals(boxes[kept], objectness[kept], spec.method, class_probs=probabilities[kept], class_names=spec.classes)


def _propose(method: str, scene: Scene, seed: int, weights: Path | str | None, device: str) -> Proposals:
    path = _find(method) if weights is None else Path(weights)
    network, spec = _load(path, path.stat().st_mtime_ns if path.is_file() else 0)
    if spec.method != method:
        raise WeightsError(f"{path.name} holds the network {spec.name}, which makes proposals {spec.method}, not {method}. Ask for those.")
    cloud = subsample(scene.cloud, spec.points, seed=seed)
    rows = torch.from_numpy(network_input(cloud, spec).copy())
    with torch.inference_mode():
        return to_proposals(network.to(device)(rows[None].to(device)), cloud.points, spec)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> tuple[ThreeDetr, ThreeDetrSpec]:
    """Load a file, or take the network of the last scene if it did not change."""
    return load_threedetr(path)


def _find(method: str) -> Path:
    """Return the weights of a method on this machine, the first of the table of detectors."""
    known = [detector for detector in detectors().values() if detector.method == method]
    found = next((path for detector in known if (path := find_detector(detector)) is not None), None)
    if found is None:
        best = known[0]
        raise WeightsNotFoundError(
            f"Proposals {method} need trained weights, and none are on this machine (licence: {best.checkpoint.licence}). "
            f"Run: {FETCH} {best.name}, or give your file: --proposal-weights FILE."
        )
    return found
