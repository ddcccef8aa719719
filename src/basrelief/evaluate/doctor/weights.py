"""Checks of a weights file: what it is, which model it belongs to, whether it is the one that was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from basrelief.encoders import EncoderSpec, encoder_spec, is_tuned_file, list_encoders
from basrelief.encoders.convert import layout_of
from basrelief.encoders.state_dict import read_state_dict
from basrelief.encoders.tuned import read_tuned_record
from basrelief.errors import WeightsError
from basrelief.models import Recipe
from basrelief.types import Finding

_POINT_ENCODERS = {
    "point_encoder.visual.": "a Uni3D point encoder (xyz + rgb)",
    "point_encoder.encoder.first_conv.0.weight": "a ULIP point encoder",
    "ppat.": "an OpenShape or TAMM point encoder, PointBERT form (xyz + rgb)",
    "point_adapter": "a TAMM point encoder with its adapters",
}
_OPENSHAPE_AXES = "OpenShape's B/32 and L/14 files want +Y up, its bigG file +Z up"


def examine_weights(path: Path, recipe: Recipe | None = None) -> list[Finding]:
    """Check a weights file, reading tensors only; a pickle is never run.

    Args:
        path: The file.
        recipe: Which model it is meant for, or None.

    Returns:
        What the file is, and whether it fits.
    """
    try:
        state = read_state_dict(path)
    except WeightsError as error:
        return [Finding("weights file", "wrong", str(error), "Fetch the file again, from where basrelief models says.")]
    foreign = _point_encoder(state)
    identity = f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB, SHA-256 {_digest(path)}, {len(state)} tensors"
    if foreign is not None:
        fact = f"{identity}: {foreign}."
        remedy = "basrelief has no recipe that reads it; it is no CLIP image tower." if recipe else "Name the model it is for."
        return [Finding("weights file", "wrong" if recipe else "ok", fact, remedy if recipe else "")]
    if is_tuned_file(path):
        return [Finding("weights file", "ok", f"{identity}: tuned blocks alone."), *_tuned(path, recipe)]
    try:
        layout = layout_of(state)
    except WeightsError as error:
        return [Finding("weights file", "wrong", f"{identity}: {error}", "An adapter alone gives answers at chance level.")]
    shape = _architecture(state)
    findings = [Finding("weights file", "ok", f"{identity}: layout {layout}, {shape or 'no image tower'}.")]
    return [*findings, *_fit(state, layout, recipe)] if recipe is not None else [*findings, *_known(state)]


def _tuned(path: Path, recipe: Recipe | None) -> Iterator[Finding]:
    """Of blocks that were tuned here: on which CLIP, and whether that is the model's."""
    try:
        record = read_tuned_record(path)
    except WeightsError as error:
        yield Finding("tuned block", "wrong", str(error))
        return
    base, settings = str(record["encoder"]), record["notes"].get("settings", {})
    more = f", {settings['epochs']} epochs" if "epochs" in settings else ""
    if recipe is None or recipe.encoder == base:
        yield Finding("tuned block", "ok", f"Tuned on {base}{more}; it goes on those weights and no others.")
    else:
        remedy = f"Name a model of {base}."
        yield Finding("tuned block", "wrong", f"Tuned on {base}{more}; {recipe.name} is on {recipe.encoder}.", remedy)


def _fit(state: Mapping[str, Tensor], layout: str, recipe: Recipe) -> Iterator[Finding]:
    spec = encoder_spec(recipe.encoder)
    found, wanted = _signature(state), _expected(spec)
    if found is None:
        yield Finding("backbone", "wrong", f"The file holds no image tower; {recipe.name} needs {recipe.encoder}.", "Take another file.")
    elif found != wanted:
        fact = f"{recipe.name} is {_words(wanted)} ({recipe.encoder}), the file is {_words(found)}{_names(found)}."
        yield Finding("backbone", "wrong", fact, "Name the model of this backbone, or fetch the weights of that one.")
    else:
        yield Finding("backbone", "ok", f"{_words(found)}, as {recipe.encoder}.")
    tuned = any("depth_control_visual" in name or name.startswith("tuned_blocks.") for name in state)
    if recipe.tuned_views and not tuned:
        remedy = f"Take {recipe.checkpoint.file if recipe.checkpoint else 'its checkpoint'}, or run opendlign-untuned."
        yield Finding("tuned block", "wrong", f"{recipe.name} needs its tuned block, the file has none (layout {layout}).", remedy)
    if not recipe.tuned_views and tuned:
        yield Finding("tuned block", "warning", f"The file has a tuned block that {recipe.name} does not use.", "Name an opendlign model.")
    if recipe.checkpoint is not None and recipe.checkpoint.layout == "clip2point" and layout != "clip2point":
        fact = f"{recipe.name} needs its pre-trained tower (names begin with point_model.), the file has layout {layout}."
        yield Finding("checkpoint", "wrong", fact, "Give this file with --weights, and best_eval.pth with --checkpoint.")


def _known(state: Mapping[str, Tensor]) -> Iterator[Finding]:
    signature = _signature(state)
    if signature is not None:
        yield Finding("backbone", "ok", f"{_words(signature)}{_names(signature)}.")


def _point_encoder(state: Mapping[str, Tensor]) -> str | None:
    """What point encoder the names belong to, or None."""
    for mark, what in _POINT_ENCODERS.items():
        found = next((name for name in state if name.startswith(mark)), None)
        if found is None:
            continue
        if mark.endswith("first_conv.0.weight"):
            channels = state[found].shape[1]
            return f"{what} of {channels} channels, {'xyz alone' if channels == 3 else 'xyz + rgb: a cloud without colour needs 0.4 grey'}"
        return f"{what}; {_OPENSHAPE_AXES}" if "OpenShape" in what else what
    return None


def _architecture(state: Mapping[str, Tensor]) -> str:
    signature = _signature(state)
    return "" if signature is None else _words(signature)


def _signature(state: Mapping[str, Tensor]) -> tuple[int, int, int] | None:
    """Width, patch side (0 for a ResNet) and blocks of the image tower, whatever the layout."""
    names = {name.removeprefix("clip_model.").replace("point_model.", "visual."): tensor for name, tensor in state.items()}
    conv = names.get("visual.conv1.weight", names.get("vision_model.embeddings.patch_embedding.weight"))
    if conv is None or conv.ndim != 4:
        return None
    if any(name.startswith(("visual.layer1.", "vision_model.layer1.")) for name in names):
        blocks = {tuple(name.split(".")[1:3]) for name in names if name.split(".")[1].startswith("layer")}
        return int(conv.shape[0]) * 2, 0, len(blocks)
    marks = ("visual.transformer.resblocks.", "vision_model.encoder.layers.")
    numbers = {name[len(mark) :].split(".")[0] for name in names for mark in marks if name.startswith(mark)}
    stem = sum(".embeddings.stem." in name and tensor.ndim == 4 for name, tensor in names.items())
    return int(conv.shape[0]), int(conv.shape[-1]) * (2 * 2**stem if stem else 1), len(numbers)


def _expected(spec: EncoderSpec) -> tuple[int, int, int]:
    vision = spec.config.vision
    layers = vision.layers if isinstance(vision.layers, int) else sum(vision.layers)
    return vision.width, vision.patch_size or 0, layers


def _names(signature: tuple[int, int, int]) -> str:
    """The known weights of that form."""
    known = sorted({name.split("/")[0] for name in list_encoders() if _expected(encoder_spec(name)) == signature})
    return f", as {' and '.join(known)}" if known else ", which is none that basrelief knows"


def _words(signature: tuple[int, int, int]) -> str:
    width, patch, blocks = signature
    return f"a ResNet of width {width}, {blocks} blocks" if patch == 0 else f"a ViT of width {width}, patch {patch}, {blocks} blocks"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
