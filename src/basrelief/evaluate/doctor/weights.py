"""Checks of a weights file: what it is, and whether it fits a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from basrelief.encoders import encoder_spec, is_tuned_file
from basrelief.encoders.architecture import ImageTower, tower_in, tower_of
from basrelief.encoders.convert import layout_of
from basrelief.encoders.state_dict import StateDict, open_state_dict
from basrelief.encoders.tuned import read_tuned_record
from basrelief.errors import WeightsError
from basrelief.evaluate.doctor.points import check_point_network, is_point_network
from basrelief.models import Recipe
from basrelief.scenes.threedetr.weights import recognise_threedetr
from basrelief.types import Finding

_SHOWN = 8


def check_weights(path: Path, recipe: Recipe | None = None) -> list[Finding]:
    """Check a weights file. Only tensors are read; a pickle never runs code.

    Args:
        path: The file.
        recipe: The model it is meant for, or None.

    Returns:
        What the file is, and whether it fits the model.
    """
    try:
        weights = open_state_dict(path)
    except WeightsError as error:
        return [Finding("weights file", "wrong", str(error), "Download the file again; basrelief models says from where.")]
    state = weights.tensors
    identity = f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB, SHA-256 {_digest(path)}, {len(state)} tensors"
    if is_point_network(path, state):
        return list(check_point_network(path, identity, recipe))
    if (detector := recognise_threedetr(state)) is not None:
        found = Finding("weights file", "ok", f"{identity}: the detector {detector.name}.")
        return [found, *_left_out(weights), _detector(detector.method, path, recipe)]
    if is_tuned_file(path):
        return [Finding("weights file", "ok", f"{identity}: tuned blocks alone."), *_tuned(path, recipe)]
    try:
        layout = layout_of(state)
    except WeightsError as error:
        return [Finding("weights file", "wrong", f"{identity}: {error}", "An adapter alone predicts at chance level.")]
    shape = tower_of(state)
    findings = [Finding("weights file", "ok", f"{identity}: layout {layout}, {shape or 'no image tower'}."), *_left_out(weights)]
    known = [] if shape is None else [Finding("backbone", "ok", f"{_known(shape)}.")]
    return [*findings, *(known if recipe is None else _fit(state, layout, recipe))]


def _detector(method: str, path: Path, recipe: Recipe | None) -> Finding:
    if recipe is not None:
        return Finding(
            "network", "wrong", f"{recipe.name} names shapes; the file proposes boxes in scans.", "Use the weights of this model."
        )
    return Finding("model", "ok", f"Read by basrelief detect: --proposals {method} --proposal-weights {path.name}.")


def _left_out(weights: StateDict) -> Iterator[Finding]:
    """Describe the parts of a checkpoint that are not needed."""
    if weights.unused:
        others = ", ".join(weights.unused)
        yield Finding("other weights", "ok", f"The weights are {weights.place}; the file also holds {others}, which is not used.")
    if weights.dropped:
        shown = [f"{place} ({what})" for place, what in list(weights.dropped.items())[:_SHOWN]]
        more = f" and {len(weights.dropped) - _SHOWN} more" if len(weights.dropped) > _SHOWN else ""
        yield Finding("left out", "ok", f"Not read, since nothing in a file is executed: {', '.join(shown)}{more}.")


def _tuned(path: Path, recipe: Recipe | None) -> Iterator[Finding]:
    """Checks of tuned blocks: whether they were tuned on the CLIP of the model."""
    try:
        record = read_tuned_record(path)
    except WeightsError as error:
        yield Finding("tuned block", "wrong", str(error))
        return
    base, settings = str(record["encoder"]), record["notes"].get("settings", {})
    more = f", {settings['epochs']} epochs" if "epochs" in settings else ""
    if recipe is None or recipe.encoder == base:
        yield Finding("tuned block", "ok", f"Tuned on {base}{more}; it fits those weights only.")
    else:
        remedy = f"Use a model on {base}."
        yield Finding("tuned block", "wrong", f"Tuned on {base}{more}; {recipe.name} is on {recipe.encoder}.", remedy)


def _fit(state: Mapping[str, Tensor], layout: str, recipe: Recipe) -> Iterator[Finding]:
    spec = encoder_spec(recipe.encoder)
    found, wanted = tower_of(state), tower_in(spec.config.image_tower)
    if found is None and recipe.cloud is not None:
        yield Finding("backbone", "ok", f"A text tower alone: {recipe.name} understands words, but not pictures.")
    elif found is None:
        yield Finding("backbone", "wrong", f"The file has no image tower; {recipe.name} needs {recipe.encoder}.", "Use another file.")
    elif found != wanted:
        fact = f"{recipe.name} is {wanted} ({recipe.encoder}); the file is {_known(found)}."
        yield Finding("backbone", "wrong", fact, "Choose the model with this backbone, or download the weights of that one.")
    else:
        yield Finding("backbone", "ok", f"{found}, as {recipe.encoder}.")
    tuned = any("depth_control_visual" in name or name.startswith("tuned_blocks.") for name in state)
    if recipe.tuned_views and not tuned:
        remedy = f"Use {recipe.checkpoint.file if recipe.checkpoint else 'its checkpoint'}, or the model opendlign-untuned."
        yield Finding("tuned block", "wrong", f"{recipe.name} needs its tuned block; the file has none (layout {layout}).", remedy)
    if not recipe.tuned_views and tuned:
        yield Finding("tuned block", "warning", f"The file has a tuned block that {recipe.name} does not use.", "Use an opendlign model.")
    if recipe.checkpoint is not None and recipe.checkpoint.layout == "clip2point" and layout != "clip2point":
        fact = f"{recipe.name} needs its pre-trained tower (names begin with point_model.); the file has layout {layout}."
        yield Finding("checkpoint", "wrong", fact, "Pass this file as --weights, and best_eval.pth as --checkpoint.")


def _known(tower: ImageTower) -> str:
    return f"{tower}, as {tower.known_as}" if tower.known_as else f"{tower}, an architecture unknown to basrelief"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
