"""What a model needs beyond this package: where it lies on this machine, and what must be fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from basrelief.encoders import EncoderSpec, cached_weights, encoder_spec, list_encoders
from basrelief.encoders.hub.selection import (
    VOCABULARIES,
    Selection,
    cached_checkpoint,
    cached_vocabulary,
    select_checkpoint,
    select_encoder,
    select_vocabulary,
)
from basrelief.encoders.weights import FETCH
from basrelief.errors import ConfigError, WeightsNotFoundError, unknown_choice
from basrelief.folders import cache_folder
from basrelief.models.detectors import Detector, detectors
from basrelief.models.recipe import EMBEDDED, Recipe, recipes
from basrelief.models.recipe_parts import Checkpoint


@dataclass(frozen=True)
class ManualFile:
    """A file that only a browser can download.

    Attributes:
        address: Of the page.
        path: Where to put it.
        licence: As stated there.
    """

    address: str
    path: Path
    licence: str

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.is_file()


@dataclass(frozen=True)
class FetchPlan:
    """Everything a model needs, by repository.

    Attributes:
        name: Of the model or of CLIP weights.
        selections: Files on the hub; none if all are on this machine.
        manual: A file to download by hand, or None.
        unpublished: What the model needs that nobody publishes, and how to train it; empty for most models.
    """

    name: str
    selections: tuple[Selection, ...] = ()
    manual: ManualFile | None = None
    unpublished: str = ""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(selection.size for selection in self.selections)

    @property
    def restricted(self) -> tuple[Selection, ...]:
        """Downloads that need consent, because a licence is missing or restricts use."""
        return tuple(selection for selection in self.selections if selection.restricted)

    def fetch(self) -> list[Path]:
        """Download what is missing, and return the paths of all files on the hub's side.

        Raises:
            WeightsNotFoundError: If a file cannot be fetched; calling again resumes it.
            OutputError: If one cannot be written.
        """
        return [path for selection in self.selections for path in selection.fetch()]


def plan_fetch(name: str, *, file: str = "", text: bool = True) -> FetchPlan:
    """Ask the hub what must be fetched for a model.

    Args:
        name: A model of `list_models()`, CLIP weights such as `ViT-B-32/openai`, or a detector of `detectors()`.
        file: Name of the weights in their repository, where the rule that chooses it cannot decide.
        text: Whether the text tower of a point network is fetched, too; exported labels take its place.

    Raises:
        ConfigError: If the name is unknown, the repository has no such file, or the text tower of another kind of model is left out.
        WeightsNotFoundError: If the hub cannot be asked, or the file is not decided; the message lists the candidates.
    """
    command = f"{FETCH} {name} --file"
    if name in detectors():
        return _plan_detector(detectors()[name], file, text=text)
    recipe = recipes().get(name)
    if recipe is None and name.replace("-quickgelu/", "/") not in list_encoders():
        raise ConfigError(unknown_choice("model", name, (*recipes(), *detectors(), *list_encoders())))
    if not text and (recipe is None or recipe.cloud is None):
        raise ConfigError(f"{name} reads no points, so exported labels cannot replace its text tower. Leave out --without-text.")
    if recipe is None:
        return FetchPlan(name, _encoder(encoder_spec(name), file, command))
    return FetchPlan(name) if recipe.encoder == EMBEDDED else _plan_recipe(recipe, file, command, text=text)


def find_checkpoint(recipe: Recipe) -> Path | None:
    """Return a method's own weights on this machine, from the hub or put there by hand, or None; never uses the network."""
    return None if recipe.checkpoint is None else _find(recipe.checkpoint, _architecture(recipe))


def find_detector(detector: Detector) -> Path | None:
    """Return the weights of a detector on this machine, from the hub or put there by hand, or None; never uses the network."""
    return _find(detector.checkpoint)


def manual_file(checkpoint: Checkpoint) -> ManualFile | None:
    """Return what a user must download by hand, or None if the hub has it."""
    if not checkpoint.address:
        return None
    return ManualFile(checkpoint.address, cache_folder() / "checkpoints" / checkpoint.layout / checkpoint.file, checkpoint.licence)


def missing_files(recipe: Recipe, *, clip: bool = True, checkpoint: bool = True) -> list[str]:
    """Describe what a model lacks on this machine, each in a few words; never uses the network.

    Args:
        recipe: Of the model.
        clip: Whether CLIP's weights are to be found; a user's own take their place.
        checkpoint: The same for the method's own weights.
    """
    if recipe.encoder == EMBEDDED:
        return []
    spec, missing = encoder_spec(recipe.encoder), []
    if clip and recipe.needs_clip and cached_weights(spec) is None:
        missing.append(f"CLIP's weights of {spec.repository} (licence: {spec.licence})")
    if checkpoint and recipe.checkpoint is not None and find_checkpoint(recipe) is None:
        missing.append(where(recipe.checkpoint))
    if clip and not missing and cached_vocabulary(spec) is None:  # else it comes along
        source = VOCABULARIES[spec.config.text.tokenizer]
        missing.append(f"{source.owner}'s vocabulary (licence: {source.licence})")
    return missing


def where(checkpoint: Checkpoint) -> str:
    """Describe a method's own weights in a few words: which file, where it was published, licence; or how to train it."""
    if not checkpoint.published:
        return f"a checkpoint that nobody publishes (train it: basrelief train point preset={checkpoint.preset})"
    place = checkpoint.repository or checkpoint.address or checkpoint.source
    return f"{checkpoint.path or checkpoint.file} of {place} (licence: {checkpoint.licence})"


def _plan_recipe(recipe: Recipe, file: str, command: str, *, text: bool) -> FetchPlan:
    """Plan CLIP's weights and the method's own."""
    name, spec, own = recipe.name, encoder_spec(recipe.encoder), recipe.checkpoint
    if own is None:
        return FetchPlan(name, _encoder(spec, file, command))
    manual = manual_file(own)
    if not own.repository:
        return FetchPlan(name, _encoder(spec, file, command) if text else (), manual, "" if own.published else where(own))
    more = () if not text else _encoder(spec, "", command) if recipe.needs_clip else tuple(select_vocabulary(spec))
    if find_checkpoint(recipe) is not None and not file:
        return FetchPlan(name, more, manual)
    wanted, architecture = file or own.path, _architecture(recipe)
    chosen = select_checkpoint(own.repository, architecture=architecture, licence=recipe.licence, file=wanted, command=command)
    return FetchPlan(name, (chosen, *more), manual)


def _encoder(spec: EncoderSpec, file: str, command: str) -> tuple[Selection, ...]:
    if cached_weights(spec) is not None and not file:
        return tuple(select_vocabulary(spec))
    return tuple(select_encoder(spec, file=file, command=command))


def _plan_detector(detector: Detector, file: str, *, text: bool) -> FetchPlan:
    """Plan the copy on the hub, or, by its name, the authors' own file, which only a browser gets."""
    own, manual = detector.checkpoint, manual_file(detector.checkpoint)
    if not text:
        raise ConfigError(f"{detector.name} has no text tower. Leave out --without-text.")
    if file == own.file and manual is not None:
        return FetchPlan(detector.name, manual=manual)
    if find_detector(detector) is not None and not file:
        return FetchPlan(detector.name)
    try:
        chosen = select_checkpoint(own.repository, architecture="", licence=own.licence, file=file or own.path)
    except (ConfigError, WeightsNotFoundError) as error:
        raise type(error)(f"{error} The authors' own file: {FETCH} {detector.name} --file {own.file}") from error
    return FetchPlan(detector.name, (chosen,))


def _find(own: Checkpoint, architecture: str = "") -> Path | None:
    if own.repository and (found := cached_checkpoint(own.repository, file=own.path, architecture=architecture)) is not None:
        return found
    manual = manual_file(own)
    return manual.path if manual is not None and manual.exists else None


def _architecture(recipe: Recipe) -> str:
    return recipe.encoder.split("/")[0]
