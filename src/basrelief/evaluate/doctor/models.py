"""Checks of a model: its weights, its prompts, and what the paper did otherwise on the data set it is to run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from basrelief.datasets import dataset_card, read_prompt_list
from basrelief.datasets.layouts.base import plain
from basrelief.errors import BasreliefError
from basrelief.evaluate.doctor.weights import examine_weights
from basrelief.models import Recipe, get_recipe, list_models
from basrelief.types import Finding


@dataclass(frozen=True)
class ModelFiles:
    """Files for a model.

    Attributes:
        weights: CLIP weights, a file or a folder, or None for the hub's.
        checkpoint: The method's own weights, or None.
        prompts: A published prompt list, `FILE` or `FILE#dataset`, or None.
    """

    weights: Path | None = None
    checkpoint: Path | None = None
    prompts: Path | None = None


def examine_model(name: str, *, files: ModelFiles | None = None, dataset: str = "", labels: Sequence[str] = ()) -> list[Finding]:
    """Check a model before it is loaded; no weights are needed for that.

    Args:
        name: Name of the recipe.
        files: What it will be files.
        dataset: Name of the data card it is to run on, or empty.
        labels: Its class names; the card's when empty.

    Raises:
        ConfigError: If the recipe or the data set is unknown.
    """
    recipe, files = get_recipe(name), files or ModelFiles()
    labels = labels or (dataset_card(dataset).class_names if dataset else ())
    return [
        Finding("recipe", "ok", f"{recipe.title}. Trained on: {recipe.training_data}. Licence: {recipe.licence}."),
        *_weights(recipe, files),
        *_preprocessing(recipe, files),
        *_prompts(recipe, files, dataset, labels),
        *_paper(recipe, dataset),
    ]


def _weights(recipe: Recipe, files: ModelFiles) -> Iterator[Finding]:
    paths = [path for path in (files.weights, files.checkpoint) if path is not None]
    for path in paths:
        yield from _file(path, recipe, whole=path == files.checkpoint)
    status = next(status for status in list_models() if status.name == recipe.name)
    if not paths and not status.ready:
        yield Finding("weights", "warning", f"Not on this machine: {status.missing}.", "Fetch them and check them here.")
    if recipe.checkpoint is not None and files.checkpoint is None and files.weights is not None:
        yield Finding(
            "checkpoint", "wrong", f"{recipe.name} was given CLIP's weights alone.", f"Add {recipe.checkpoint.file}: --checkpoint."
        )


def _file(path: Path, recipe: Recipe, *, whole: bool) -> Iterator[Finding]:
    found = (
        next((file for file in sorted(path.iterdir()) if file.suffix in (".safetensors", ".bin", ".pt")), path) if path.is_dir() else path
    )
    if not found.is_file():
        yield Finding("weights file", "wrong", f"There is no weights file at {path.name!r}.", "Check the path.")
        return
    for finding in examine_weights(found, recipe):
        beside = not whole and recipe.checkpoint is not None and finding.check in ("tuned block", "checkpoint")
        if not beside:  # CLIP's own weights need not hold what the checkpoint brings
            yield finding


def _preprocessing(recipe: Recipe, files: ModelFiles) -> Iterator[Finding]:
    how = {"none": "no mean and std", "imagenet": "ImageNet's mean and std", "weights": "the weights' own mean and std"}
    yield Finding("normalisation", "ok", f"Depth images get {how[recipe.normalisation]}, as in the original code.")
    if files.weights is not None and files.weights.is_dir() and not any(files.weights.glob("tokenizer*.json")):
        fact = f"The folder {files.weights.name!r} has no tokenizer.json."
        yield Finding("tokenizer", "warning", fact, "Put the hub's tokenizer.json beside the weights, so that none is fetched.")


def _prompts(recipe: Recipe, files: ModelFiles, dataset: str, labels: Sequence[str]) -> Iterator[Finding]:
    if files.prompts is None:
        if recipe.published_prompts:
            fact = f"{recipe.name}'s figures are with its published prompts; without --prompts one template is used."
            yield Finding("prompts", "warning", fact, f"Give your copy: --prompts {recipe.published_prompts}.")
        return
    path, _, which = str(files.prompts).partition("#")
    try:
        listed = read_prompt_list(path, dataset=which or None, backbone=recipe.encoder)
    except BasreliefError as error:
        yield Finding("prompts", "wrong", str(error), f"Prompts of another backbone cost 20 points: find those of {recipe.encoder}.")
        return
    yield Finding(
        "prompts", "ok", f"{len(listed.labels)} labels of {listed.dataset or Path(path).name}, backbone {listed.backbone or 'not said'}."
    )
    if listed.view_weights is not None:
        fact = "The list brings view weights, which its authors searched on the test set."
        yield Finding("view weights", "warning", fact, "Say so beside the figure; equal weights give the honest one.")
    missing = [label for label in labels if plain(label) not in {plain(name) for name in listed.labels}]
    if missing:
        fact = f"{len(missing)} of {len(labels)} labels of {dataset or 'the data'} have no prompt, e.g. {missing[0]!r}."
        yield Finding("prompts", "wrong", fact, "The list is for other data: name the data set in it, FILE#DATASET.")


def _paper(recipe: Recipe, dataset: str) -> Iterator[Finding]:
    if not dataset:
        return
    numbers = [number for number in recipe.numbers if number.dataset == dataset]
    own = recipe.datasets.get(dataset, {})
    said = ", ".join(f"{n.metric} {n.value:g} % ({n.source})" for n in numbers) or "no number of this recipe"
    changes = ", ".join(f"{key} {value}" for key, value in own.items())
    yield Finding("paper", "ok", f"On {dataset}: {said}.{f' There it uses {changes}; evaluate does so, too.' if changes else ''}")
    if recipe.figure_notes and numbers:
        yield Finding("paper", "ok", recipe.figure_notes)
