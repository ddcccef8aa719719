"""Train on triplets: set up network and run, and write the result."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.encoders.points.files import PointRecord, load_point_network, save_point_network
from basrelief.encoders.points.registry import NetworkSpec, network_spec
from basrelief.errors import ConfigError
from basrelief.processes import batches
from basrelief.train.config import settings_record
from basrelief.train.point.adapter import ImageAdapter, load_image_adapter, save_image_adapter
from basrelief.train.point.augment import plain_cloud
from basrelief.train.point.neighbours import load_neighbours, nearest_shapes
from basrelief.train.point.run import Contrasted, ContrastedImages, ContrastedPoints, Export, PointRun
from basrelief.train.point.settings import PointSettings
from basrelief.train.point.triplets import TripletSet, in_frame
from basrelief.train.point.validation import PointAccuracy
from basrelief.train.run import RunContext, check_batch_size, seeded
from basrelief.train.stopping import StopSignal

POINT_FILE, ADAPTER_FILE = "point.safetensors", "image_adapter.safetensors"
"""File names of the results in the folder of a run."""
_NEIGHBOURS_FILE = "neighbours.npy"
_AT_ONCE = 64


@dataclass(frozen=True)
class StartingPoint:
    """Weights that a training starts from.

    Attributes:
        network: `point.safetensors` of an earlier run; its network and logit scale are continued, and batches of similar shapes are made
            by its features. Random weights when None.
        image_adapter: `image_adapter.safetensors` of TAMM's first stage, which images pass through; None for none.
    """

    network: Path | None = None
    image_adapter: Path | None = None


@dataclass(frozen=True)
class Space:
    """The CLIP whose embeddings a network learns.

    Attributes:
        encoder: Name of its weights.
        fingerprint: Its `space_fingerprint`; empty if only published features were read.
    """

    encoder: str
    fingerprint: str = ""


def fit_point(
    triplets: TripletSet,
    *,
    settings: PointSettings,
    context: RunContext,
    space: Space,
    spec: NetworkSpec | None = None,
    start: StartingPoint | None = None,
    validate: PointAccuracy | None = None,
) -> nn.Module:
    """Train on triplets; an interrupted run resumes from its checkpoint.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard events if TensorBoard is installed, and `point.safetensors` or
    `image_adapter.safetensors`: the weights of the best validation, or the last ones without. `load_model(NAME, checkpoint=FILE)` reads the
    former with any model on the same CLIP.

    Args:
        triplets: Training shapes.
        settings: Settings.
        context: Device and folder.
        space: The CLIP that the features belong to.
        spec: Network to train; that of the settings when None.
        start: Weights to start from.
        validate: Chooses the best weights; never pass the test set. None keeps the last.

    Returns:
        The exported network or adapter, in evaluation mode.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, once the step is done and the checkpoint is written.
        ConfigError: If there are fewer shapes than a batch, settings do not fit the data, or the folder holds a run with other settings or
            data.
        WeightsError: If a file of weights or the checkpoint is damaged.
        OutputError: If a file cannot be written.
        MissingExtraError: If `accelerate` is not installed.
    """
    start, accelerator = start or StartingPoint(), context.accelerator
    check_batch_size(settings.batch_size, len(triplets), processes=accelerator.num_processes, what="shapes")
    if settings.batch_size // settings.neighbours % accelerator.num_processes:
        groups = settings.batch_size // settings.neighbours
        rule = f"a multiple of the number of processes, {accelerator.num_processes}"
        raise ConfigError(f"batch_size / neighbours is {groups}; it must be {rule}. Change batch_size.")
    notes = {"settings": settings_record(settings), "shapes": len(triplets), "data": _digest(triplets.keys)}
    if settings.stage == "image-adapter":
        return _fit_adapter(triplets, settings, context, space=space, notes=notes)
    spec = (spec or _spec(settings)).with_embedding_dim(triplets.dim)
    model, network = _point_model(spec, triplets, settings, start)
    neighbours = _neighbours(triplets, network, settings, context, start)
    record = PointRecord(
        network=spec.name,
        family=spec.family,
        size=spec.size,
        points=settings.points,
        frame=settings.frame,
        missing_color=settings.missing_color,
        logit_scale=settings.logit_scale,
        encoder=space.encoder,
        encoder_fingerprint=space.fingerprint,
        notes=notes,
    )

    def export(run: PointRun) -> None:
        final = replace(record, logit_scale=model.logit_scale.detach().exp().item(), notes={**notes, **_progress(run)})
        save_point_network(network, run.out / POINT_FILE, record=final)

    _run(triplets, model, settings, context, export=export, neighbours=neighbours, validate=validate and partial(validate, network))
    return load_point_network(context.out / POINT_FILE)[0]


def _fit_adapter(
    triplets: TripletSet, settings: PointSettings, context: RunContext, *, space: Space, notes: Mapping[str, Any]
) -> ImageAdapter:
    with seeded(settings.seed, torch.device("cpu")):
        adapter = ImageAdapter(triplets.dim, ratio=settings.adapter_ratio)
    about = {"encoder": space.encoder, "encoder_fingerprint": space.fingerprint, **notes}

    def export(run: PointRun) -> None:
        save_image_adapter(adapter, run.out / ADAPTER_FILE, notes={**about, **_progress(run)})

    _run(triplets, ContrastedImages(adapter, settings), settings, context, export=export)
    return load_image_adapter(context.out / ADAPTER_FILE)


def _run(
    triplets: TripletSet,
    model: Contrasted,
    settings: PointSettings,
    context: RunContext,
    *,
    export: Export,
    neighbours: np.ndarray | None = None,
    validate: Callable[[], float] | None = None,
) -> None:
    """Train to the end."""
    with StopSignal() as stop, ThreadPoolExecutor(settings.workers) as readers:
        run = PointRun(triplets, model, settings=settings, context=context, readers=readers, export=export, neighbours=neighbours)
        run.restore()
        run.run(validate, stop)
    context.accelerator.wait_for_everyone()  # one process writes, all read


def _point_model(
    spec: NetworkSpec, triplets: TripletSet, settings: PointSettings, start: StartingPoint
) -> tuple[ContrastedPoints, PointNetwork]:
    """Return what is trained, and its network: random weights, or those to start from."""
    adapter = None if start.image_adapter is None else load_image_adapter(start.image_adapter)
    if adapter is not None and adapter.dim != triplets.dim:
        raise ConfigError(f"The image adapter is for features of length {adapter.dim}; these have {triplets.dim}. Train one on these.")
    with seeded(settings.seed, torch.device("cpu")):
        network = spec.build()
    model = ContrastedPoints(network, settings, adapter=adapter)
    if start.network is not None:
        earlier, record = load_point_network(start.network)
        if (record.family, dict(record.size)) != (spec.family, dict(spec.size)):
            raise ConfigError(f"{start.network.name} holds {record.network} of another size than {spec.name}. Name the same network.")
        network.load_state_dict(earlier.state_dict())
        with torch.no_grad():
            model.logit_scale.fill_(math.log(record.logit_scale))
    return model, network


def _neighbours(
    triplets: TripletSet, network: PointNetwork, settings: PointSettings, context: RunContext, start: StartingPoint
) -> np.ndarray | None:
    """Return the nearest shapes of each, by the features of the network that the training starts from."""
    if settings.neighbours == 1:
        return None
    if start.network is None:
        raise ConfigError("Batches of similar shapes need a trained network. Pass --start RUN/point.safetensors, or set neighbours=1.")
    if len(triplets) <= settings.neighbours:
        raise ConfigError(f"neighbours is {settings.neighbours}, but there are only {len(triplets)} shapes. Lower it.")

    def compute() -> np.ndarray:
        encoder, found = PointEncoder(network.to(context.accelerator.device).eval()), []
        for rows in batches(iter(range(len(triplets))), _AT_ONCE):
            stored = [in_frame(triplets.cloud(row), settings.frame, missing_color=settings.missing_color) for row in rows]
            found.append(encoder.encode_points([torch.from_numpy(plain_cloud(cloud, settings)) for cloud in stored]).mean(dim=1))
        return nearest_shapes(torch.cat(found), settings.nearest)

    with context.accelerator.main_process_first():
        return load_neighbours(context.out / _NEIGHBOURS_FILE, shapes=len(triplets), count=settings.nearest, compute=compute)


def _progress(run: PointRun) -> dict[str, Any]:
    return {"step": run.step, **({"validation": run.best} if run.best >= 0 else {})}


def _digest(keys: Sequence[str]) -> str:
    """16 hexadecimal digits of the names of the shapes."""
    return hashlib.sha256("\0".join(keys).encode(errors="surrogateescape")).hexdigest()[:16]


def _spec(settings: PointSettings) -> NetworkSpec:
    """Return the network of the settings with their changes to its size."""
    changes: dict[str, Any] = {}
    for part in filter(None, settings.size.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"size is {settings.size!r}; expected name=number, separated by commas, e.g. size=dim=128,depth=4.")
        changes[name.strip()] = _number(value.strip())
    return network_spec(settings.network).with_changes(changes)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
