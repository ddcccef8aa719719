"""Load models by name, and list what is known of each without loading it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from basrelief.datasets import PromptList
from basrelief.encoders import (
    Encoder,
    cached_weights,
    choose_device,
    choose_dtype,
    encoder_spec,
    is_tuned_file,
    load_encoder,
    load_encoder_folder,
    load_tuned,
)
from basrelief.encoders.weights import FETCH
from basrelief.errors import ConfigError, WeightsError, WeightsNotFoundError
from basrelief.models.fetch import find_checkpoint, missing_files, where
from basrelief.models.model import Model
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import EMBEDDED, NORMALISATIONS, PaperNumber, Recipe, get_recipe, recipes


def load_model(
    name: str = EMBEDDED,
    *,
    weights: Path | str | None = None,
    checkpoint: Path | str | None = None,
    prompts: Path | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Model:
    """Load a model by name: its recipe, its towers, its prompts.

    Args:
        name: One of `list_models()`, e.g. `tiny` (in the wheel), `opendlign-h14`, `clip2point`.
        weights: CLIP weights, a file or a folder; the hub's local copy when left out, then the hub if the licence allows any use.
        checkpoint: The method's own weights, for recipes that have some (CLIP2Point, OpenDlign), what `basrelief models fetch` got when
            left out; or tuned blocks that `basrelief train opendlign` wrote, for any recipe on the same CLIP, which is then rendered as
            in their training; without tuned views it sends the second half there.
        prompts: Your copy of a published prompt list (PointCLIP V2), as `FILE` or `FILE#dataset`; takes the place of the templates.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.

    Raises:
        ConfigError: If the name or an option is wrong.
        WeightsNotFoundError: If weights are not on this machine and cannot be fetched; the message says which and where from.
        WeightsError: If a file is broken or belongs to another architecture.

    Example:
        >>> import basrelief as br
        >>> br.load_model("tiny").name
        'tiny'
    """
    recipe = get_recipe(name)
    tuned = checkpoint is not None and is_tuned_file(checkpoint)
    if checkpoint is not None and recipe.checkpoint is None and not tuned:
        raise ConfigError(f"{name} takes no checkpoint. Leave out {str(checkpoint)!r}, or name the model it belongs to.")
    if weights is not None and recipe.encoder == EMBEDDED:
        raise ConfigError(f"{name} comes with its weights. Leave out weights={str(weights)!r}.")
    listed = None if prompts is None else PromptList.read(prompts, backbone=recipe.encoder)
    if listed is not None and listed.view_weights is not None and recipe.pooling.rule == "concat":
        recipe = replace(recipe, pooling=replace(recipe.pooling, weights=listed.view_weights))
    place = _Placement(device, dtype)
    if checkpoint is not None and tuned:
        encoder, recipe = _with_tuned(recipe, weights, checkpoint, place)
    else:
        encoder = _load(recipe, weights, checkpoint, place)
    if recipe.tuned_views and not encoder.has_tuned_block:
        raise WeightsError(f"The checkpoint has no tuned block, which {name} needs. Plain CLIP weights are for opendlign-untuned.")
    return Model(recipe, encoder, prompter=Prompter(recipe.templates, listed))


def load_untuned(name: str, *, weights: Path | str | None = None, device: str = "auto", dtype: str = "float32") -> Model:
    """Load a recipe on plain CLIP, as it is before its method's training: no checkpoint, no tuned views.

    Args:
        name: One of `list_models()`.
        weights: CLIP weights, a file or a folder; the hub's local copy when left out, then the hub if the licence allows any use.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.

    Raises:
        ConfigError: If the name or an option is wrong.
        WeightsNotFoundError: If weights are not on this machine and cannot be fetched.
    """
    recipe = replace(get_recipe(name), checkpoint=None, tuned_views=())
    if weights is not None and recipe.encoder == EMBEDDED:
        raise ConfigError(f"{name} comes with its weights. Leave out weights={str(weights)!r}.")
    return Model(recipe, _load(recipe, weights, None, _Placement(device, dtype)))


@dataclass(frozen=True)
class ModelStatus:
    """Status of a model that is not loaded.

    Attributes:
        name: What users type.
        title: One line for people.
        encoder: Name of the CLIP weights.
        ready: Whether `load_model(name)` needs nothing more.
        megabytes: Size of the weights in MB, about 4 bytes per parameter where the file's size is not known.
        licence: Of the weights.
        training_data: What they were trained on.
        missing: What `basrelief models fetch` would get and from where; empty if ready.
        numbers: The paper's figures.
        notes: What a user should know.
    """

    name: str
    title: str
    encoder: str
    ready: bool
    megabytes: float
    licence: str
    training_data: str
    missing: str
    numbers: tuple[PaperNumber, ...]
    notes: str


def list_models() -> list[ModelStatus]:
    """List all models, what is on this machine and what must be fetched; never uses the network."""
    return [_status(recipe) for recipe in sorted(recipes().values(), key=lambda r: (r.encoder != EMBEDDED, r.name))]


def _status(recipe: Recipe) -> ModelStatus:
    missing = missing_files(recipe)
    if recipe.encoder == EMBEDDED:
        size = sum(file.stat().st_size for file in embedded_folder().iterdir())
    else:
        spec = encoder_spec(recipe.encoder)
        found = cached_weights(spec) if recipe.needs_clip else find_checkpoint(recipe)
        size = found.stat().st_size if found else spec.bytes or 4 * spec.parameters
    return ModelStatus(
        name=recipe.name,
        title=recipe.title,
        encoder=recipe.encoder,
        ready=not missing,
        megabytes=round(size / 1e6, 1),
        licence=recipe.licence,
        training_data=recipe.training_data,
        missing="; ".join(missing),
        numbers=recipe.numbers,
        notes=recipe.notes,
    )


def embedded_folder() -> Path:
    """Return the folder of the weights that ship with basrelief."""
    return Path(str(resources.files("basrelief.models") / EMBEDDED))


@dataclass(frozen=True)
class _Placement:
    """Where and in which number type an encoder computes, as given to `load_model`."""

    device: str
    dtype: str


def _load(recipe: Recipe, weights: Path | str | None, checkpoint: Path | str | None, place: _Placement) -> Encoder:
    if recipe.encoder == EMBEDDED:
        encoder = load_encoder_folder(embedded_folder())
        encoder.towers.to(choose_device(place.device))
        return choose_dtype(encoder, place.dtype)
    own = recipe.checkpoint
    if own is None:
        return load_encoder(recipe.encoder, weights=weights, device=place.device, dtype=place.dtype, activation=recipe.activation)
    remedy = f"Run: {FETCH} {recipe.name}, or give your copy of {where(own)}: --checkpoint FILE."
    if checkpoint is None:
        checkpoint = find_checkpoint(recipe)
    if checkpoint is None:
        raise WeightsNotFoundError(f"{recipe.name} needs its checkpoint. {remedy}")
    if not Path(checkpoint).is_file():
        raise WeightsNotFoundError(f"Checkpoint {str(checkpoint)!r} not found. {remedy}")
    if own.layout == "opendlign" and weights is None:
        return load_encoder(recipe.encoder, weights=checkpoint, device=place.device, dtype=place.dtype, activation=recipe.activation)
    encoder = load_encoder(recipe.encoder, weights=weights, device=place.device, dtype="float32", activation=recipe.activation)
    return choose_dtype(encoder.load_visual(checkpoint), place.dtype)


def _with_tuned(recipe: Recipe, weights: Path | str | None, tuned: Path | str, place: _Placement) -> tuple[Encoder, Recipe]:
    """CLIP with blocks that were tuned here, and the recipe that uses them."""
    if recipe.encoder == EMBEDDED:
        encoder = load_encoder_folder(embedded_folder())
        encoder.towers.to(choose_device(place.device))
    else:
        encoder = load_encoder(recipe.encoder, weights=weights, device=place.device, dtype="float32", activation=recipe.activation)
    record = load_tuned(encoder, tuned)
    shown = NORMALISATIONS[recipe.normalisation] or (encoder.mean, encoder.std)
    if [list(part) for part in shown] != [record["mean"], record["std"]]:
        got = f"{record['mean']} and {record['std']}"
        raise WeightsError(f"The checkpoint was trained with mean and deviation {got}, not those of {recipe.name}. Name its own model.")
    try:
        drawn = record["notes"].get("projection")
        recipe = (recipe.with_projection(drawn) if drawn else recipe).with_tuned_views()
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError) as error:
        got = str(error) or type(error).__name__
        raise WeightsError(f"The checkpoint does not say how its depth maps were rendered: {got} Train again.") from error
    return choose_dtype(encoder, place.dtype), recipe
