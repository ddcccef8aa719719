"""List what is known of each model without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.encoders import cached_weights, encoder_spec
from basrelief.models.fetch import find_checkpoint, missing_files
from basrelief.models.load import embedded_folder
from basrelief.models.recipe import EMBEDDED, PaperNumber, Recipe, recipes


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
