"""Checks of a model before it is loaded: weights, preprocessing, prompts, and the paper's settings on the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from basrelief.datasets import PromptList, dataset_card
from basrelief.datasets.layouts.base import plain
from basrelief.encoders import encoder_spec
from basrelief.encoders.backends.choose import has_openvino
from basrelief.encoders.backends.store import recorded_decisions
from basrelief.encoders.hub.selection import cached_vocabulary
from basrelief.encoders.kinds import TOKENIZER_FILES
from basrelief.encoders.tokenizer import tokenizer_file
from basrelief.errors import BasreliefError
from basrelief.evaluate.doctor.points import check_clouds, check_exported_text
from basrelief.evaluate.doctor.weights import check_weights
from basrelief.evaluate.sources import ModelSource
from basrelief.models import Recipe, get_recipe
from basrelief.models.fetch import find_checkpoint, missing_files
from basrelief.models.recipe import EMBEDDED
from basrelief.types import Finding


def check_model(source: ModelSource, *, dataset: str = "", labels: Sequence[str] = ()) -> list[Finding]:
    """Check a model before it is loaded; no weights are needed.

    Args:
        source: The model and its files.
        dataset: Name of the data card it is to run on, or empty.
        labels: Class names of the data set; those of the card when empty.

    Raises:
        ConfigError: If the model or the data set is unknown.
    """
    recipe = get_recipe(source.name)
    labels = labels or (dataset_card(dataset).class_names if dataset else ())
    return [
        Finding("recipe", "ok", f"{recipe.title}. Trained on: {recipe.training_data}. Licence: {recipe.licence}."),
        *_weights(recipe, source, labels),
        *_preprocessing(recipe, source),
        *_runtime(recipe),
        *_prompts(recipe, source, dataset, labels),
        *_paper(recipe, dataset),
    ]


def _weights(recipe: Recipe, source: ModelSource, labels: Sequence[str]) -> Iterator[Finding]:
    files = [path for path in (source.weights, source.checkpoint) if path is not None]
    for path in files:
        yield from _file(path, recipe, whole=path == source.checkpoint)
    if missing := _missing(recipe, source):
        trained = source.checkpoint is None and recipe.checkpoint is not None and not recipe.checkpoint.published
        more = " Give the file of your training with --checkpoint." if trained else ""
        yield Finding(
            "weights", "warning", f"Not on this machine: {'; '.join(missing)}.", f"Run: basrelief models fetch {recipe.name}.{more}"
        )
    if source.text is not None:
        yield from check_exported_text(str(source.text), recipe, labels=labels)
    if recipe.checkpoint is not None and source.checkpoint is None and source.weights is not None and find_checkpoint(recipe) is None:
        yield Finding(
            "checkpoint", "wrong", f"{recipe.name} needs more than CLIP's weights.", f"Add {recipe.checkpoint.file} with --checkpoint."
        )


def _missing(recipe: Recipe, source: ModelSource) -> list[str]:
    """What is neither given nor on this machine; a user's own files are taken to be enough for a model that renders."""
    clip, own = source.weights is None and source.text is None, source.checkpoint is None and source.weights is None
    if recipe.cloud is None and not (clip and own):
        return []
    return missing_files(recipe, clip=clip, checkpoint=own)


def _file(path: Path, recipe: Recipe, *, whole: bool) -> Iterator[Finding]:
    found = (
        next((file for file in sorted(path.iterdir()) if file.suffix in (".safetensors", ".bin", ".pt")), path) if path.is_dir() else path
    )
    if not found.is_file():
        yield Finding("weights file", "wrong", f"No weights file at {path.name!r}.", "Check the path.")
        return
    for finding in check_weights(found, recipe):
        in_checkpoint = not whole and recipe.checkpoint is not None and finding.check in ("tuned block", "checkpoint")
        if not in_checkpoint:  # CLIP's own weights need not hold what the checkpoint brings
            yield finding


def _preprocessing(recipe: Recipe, source: ModelSource) -> Iterator[Finding]:
    how = {"none": "no mean and std", "imagenet": "ImageNet's mean and std", "weights": "the weights' own mean and std"}
    if recipe.projection:
        original = ", as in the original code" if recipe.shaded is None else ""
        yield Finding("normalisation", "ok", f"Depth images get {how[recipe.normalisation]}{original}.")
    if recipe.shaded is not None:
        side = encoder_spec(recipe.encoder).config.image_tower.image_size
        yield Finding("colour views", "ok", f"Drawn at the tower's {side} pixels, with the weights' own mean and std: nothing is resized.")
    yield from check_clouds(recipe)
    folder = source.weights
    if folder is None or not folder.is_dir():
        return
    spec = encoder_spec(recipe.encoder)
    kind = spec.config.text.tokenizer
    if tokenizer_file(folder, kind=kind) is None and cached_vocabulary(spec) is None:
        fact = f"The folder {folder.name!r} has no vocabulary ({', '.join(TOKENIZER_FILES[kind])}), nor has the hub's cache."
        yield Finding("tokenizer", "warning", fact, "Put one beside the weights; otherwise it is downloaded on first use.")


def _runtime(recipe: Recipe) -> Iterator[Finding]:
    """Which backend and precision run the towers on this machine, as far as it was measured."""
    if recipe.members:
        return
    measured = [found for found in recorded_decisions(recipe.encoder) if found.milliseconds]
    fact = "The first use measures which backend and precision are the fastest."
    if measured:
        fact = f"{measured[0].reason}, chosen on this machine."
    elif recipe.encoder == EMBEDDED:
        fact = "torch float32: the towers are small; OpenVINO is tried after 3,000 pictures of one run."
    elif not has_openvino():
        fact = "torch; on a CPU OpenVINO is often faster (pip install 'basrelief[openvino]')."
    yield Finding("runtime", "ok", fact)


def _prompts(recipe: Recipe, source: ModelSource, dataset: str, labels: Sequence[str]) -> Iterator[Finding]:
    if source.prompts is None:
        if recipe.published_prompts:
            fact = f"The numbers of {recipe.name} need its published prompts; without --prompts one template is used."
            yield Finding("prompts", "warning", fact, f"Pass your copy: --prompts {recipe.published_prompts}.")
        return
    try:
        listed = PromptList.read(source.prompts, backbone=recipe.encoder)
    except BasreliefError as error:
        yield Finding("prompts", "wrong", str(error), f"Prompts of another backbone cost 20 points; find those of {recipe.encoder}.")
        return
    which = listed.dataset or Path(source.prompts).name
    yield Finding("prompts", "ok", f"{len(listed.labels)} labels of {which}, backbone {listed.backbone or 'not stated'}.")
    if listed.view_weights is not None:
        fact = "The list has view weights, which its authors searched on the test set."
        yield Finding("view weights", "warning", fact, "Report it with the number, or use equal weights.")
    missing = [label for label in labels if plain(label) not in {plain(name) for name in listed.labels}]
    if missing:
        fact = f"{len(missing)} of {len(labels)} labels of {dataset or 'the data'} have no prompt, e.g. {missing[0]!r}."
        yield Finding("prompts", "wrong", fact, "The list is for another data set: choose one in the file with FILE#DATASET.")


def _paper(recipe: Recipe, dataset: str) -> Iterator[Finding]:
    if not dataset:
        return
    numbers = [number for number in recipe.numbers if number.dataset == dataset]
    own = recipe.datasets.get(dataset, {})
    said = ", ".join(f"{n.metric} {n.value:g} % ({n.source})" for n in numbers) or "no published number"
    changes = ", ".join(f"{key} {value}" for key, value in own.items())
    yield Finding("paper", "ok", f"On {dataset}: {said}.{f' The paper uses {changes}, and so does evaluate.' if changes else ''}")
    if recipe.figure_notes and numbers:
        yield Finding("paper", "ok", recipe.figure_notes)
