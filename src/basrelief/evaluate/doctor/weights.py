"""Checks of a weights file: what it is, and whether it fits a model."""

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


def check_weights(path: Path, recipe: Recipe | None = None) -> list[Finding]:
    """Check a weights file. Only tensors are read; a pickle never runs code.

    Args:
        path: The file.
        recipe: The model it is meant for, or None.

    Returns:
        What the file is, and whether it fits the model.
    """
    try:
        state = read_state_dict(path)
    except WeightsError as error:
        return [Finding("weights file", "wrong", str(error), "Download the file again; basrelief models says from where.")]
    foreign = _point_encoder(state)
    identity = f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB, SHA-256 {_digest(path)}, {len(state)} tensors"
    if foreign is not None:
        fact = f"{identity}: {foreign}."
        remedy = "basrelief has no model that reads it: it is not a CLIP image tower." if recipe else "Name its model with --model."
        return [Finding("weights file", "wrong" if recipe else "ok", fact, remedy if recipe else "")]
    if is_tuned_file(path):
        return [Finding("weights file", "ok", f"{identity}: tuned blocks alone."), *_tuned(path, recipe)]
    try:
        layout = layout_of(state)
    except WeightsError as error:
        return [Finding("weights file", "wrong", f"{identity}: {error}", "An adapter alone predicts at chance level.")]
    shape = _architecture(state)
    findings = [Finding("weights file", "ok", f"{identity}: layout {layout}, {shape or 'no image tower'}.")]
    return [*findings, *_fit(state, layout, recipe)] if recipe is not None else [*findings, *_known(state)]


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
    found, wanted = _signature(state), _expected(spec)
    if found is None:
        yield Finding("backbone", "wrong", f"The file has no image tower; {recipe.name} needs {recipe.encoder}.", "Use another file.")
    elif found != wanted:
        fact = f"{recipe.name} is {_words(wanted)} ({recipe.encoder}); the file is {_words(found)}{_names(found)}."
        yield Finding("backbone", "wrong", fact, "Choose the model with this backbone, or download the weights of that one.")
    else:
        yield Finding("backbone", "ok", f"{_words(found)}, as {recipe.encoder}.")
    tuned = any("depth_control_visual" in name or name.startswith("tuned_blocks.") for name in state)
    if recipe.tuned_views and not tuned:
        remedy = f"Use {recipe.checkpoint.file if recipe.checkpoint else 'its checkpoint'}, or the model opendlign-untuned."
        yield Finding("tuned block", "wrong", f"{recipe.name} needs its tuned block; the file has none (layout {layout}).", remedy)
    if not recipe.tuned_views and tuned:
        yield Finding("tuned block", "warning", f"The file has a tuned block that {recipe.name} does not use.", "Use an opendlign model.")
    if recipe.checkpoint is not None and recipe.checkpoint.layout == "clip2point" and layout != "clip2point":
        fact = f"{recipe.name} needs its pre-trained tower (names begin with point_model.); the file has layout {layout}."
        yield Finding("checkpoint", "wrong", fact, "Pass this file as --weights, and best_eval.pth as --checkpoint.")


def _known(state: Mapping[str, Tensor]) -> Iterator[Finding]:
    signature = _signature(state)
    if signature is not None:
        yield Finding("backbone", "ok", f"{_words(signature)}{_names(signature)}.")


def _point_encoder(state: Mapping[str, Tensor]) -> str | None:
    """The point encoder that the names belong to, or None."""
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
    """Width, patch size (0 for a ResNet) and number of blocks of the image tower, in any layout."""
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
    """Known weights with that architecture."""
    known = sorted({name.split("/")[0] for name in list_encoders() if _expected(encoder_spec(name)) == signature})
    return f", as {' and '.join(known)}" if known else ", an architecture unknown to basrelief"


def _words(signature: tuple[int, int, int]) -> str:
    width, patch, blocks = signature
    return f"a ResNet of width {width}, {blocks} blocks" if patch == 0 else f"a ViT of width {width}, patch {patch}, {blocks} blocks"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
