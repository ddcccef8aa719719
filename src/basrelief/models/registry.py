"""List what is known of each model without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from basrelief.encoders import cached_weights, encoder_spec
from basrelief.models.cost import point_costs
from basrelief.models.fetch import find_checkpoint, missing_files
from basrelief.models.load import embedded_folder
from basrelief.models.recipe import EMBEDDED, Recipe, recipes
from basrelief.models.recipe_parts import PaperNumber

_BYTES = 4  # of a float32


@dataclass(frozen=True)
class ModelStatus:
    """Status of a model that is not loaded.

    Attributes:
        name: What users type.
        title: One line for people.
        encoder: Name of the CLIP weights.
        ready: Whether `load_model(name)` needs nothing more.
        megabytes: Size of the weights in MB, about 4 bytes per parameter where the file's size is not known; those of `encoder` are
            included, unless a point network needs its text tower alone.
        text_megabytes: Size of the file that holds that text tower; 0 for other models.
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
    text_megabytes: float
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
    own, text = _sizes(recipe)
    return ModelStatus(
        name=recipe.name,
        title=recipe.title,
        encoder=recipe.encoder,
        ready=not missing,
        megabytes=round(own / 1e6, 1),
        text_megabytes=round(text / 1e6, 1),
        licence=recipe.licence,
        training_data=recipe.training_data,
        missing="; ".join(missing),
        numbers=recipe.numbers,
        notes=recipe.notes,
    )


def _sizes(recipe: Recipe) -> tuple[int, int]:
    """Bytes of the model's files, and of a text tower beside them; estimates for those that are not on this machine."""
    if recipe.encoder == EMBEDDED:
        return sum(file.stat().st_size for file in embedded_folder().iterdir()), 0
    spec, own = encoder_spec(recipe.encoder), recipe.checkpoint
    clip = _size(cached_weights(spec), spec.bytes or _BYTES * spec.parameters) if recipe.needs_clip else 0
    if own is None:
        return clip, 0
    if recipe.cloud is None:
        return clip or _size(find_checkpoint(recipe), own.bytes or _BYTES * spec.parameters), 0
    numbers = point_costs()[recipe.cloud.network]["parameters"] + (0 if recipe.needs_clip else spec.parameters)
    return _size(find_checkpoint(recipe), own.bytes or _BYTES * numbers), clip


def _size(file: Path | None, estimate: int) -> int:
    return file.stat().st_size if file else estimate
