"""Load models by name: depth views read by a CLIP, point networks, ensembles of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from basrelief.datasets import PromptList, parse_labels
from basrelief.encoders import (
    ClipConfig,
    ClipEncoder,
    Encoder,
    choose_backend,
    choose_device,
    encoder_spec,
    is_tuned_file,
    load_encoder,
    load_encoder_folder,
    load_tuned,
)
from basrelief.encoders.backends.quantize import INT8
from basrelief.encoders.weights import FETCH
from basrelief.errors import ConfigError, WeightsError, WeightsNotFoundError, unknown_choice
from basrelief.models.ensemble import EnsembleModel, read_ensemble
from basrelief.models.fetch import find_checkpoint, where
from basrelief.models.model import Model
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import EMBEDDED, NORMALISATIONS, Recipe, get_recipe

Files = Path | str | Mapping[str, Path | str] | None
"""A file, or for an ensemble one for each member that needs it: by the member's name, or as the text `NAME=FILE,NAME=FILE`."""


def load_model(
    name: str = EMBEDDED,
    *,
    weights: Files = None,
    checkpoint: Files = None,
    prompts: Files = None,
    text: Files = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
) -> Model:
    """Load a model by name: its recipe, its networks, its prompts.

    Args:
        name: One of `list_models()`, e.g. `tiny` (in the wheel), `opendlign-h14`, `openshape-pointbert`; several joined by `+`, e.g.
            `opendlign-h14+openshape-pointbert`, for an ensemble; or the path of an ensemble's file (`.json`) that
            `basrelief train ensemble` wrote.
        weights: CLIP weights, a file or a folder; the hub's local copy when left out, then the hub if the licence allows any use.
        checkpoint: The method's own weights, for recipes that have some (CLIP2Point, OpenDlign, every point network), what
            `basrelief models fetch` got when left out. Or tuned blocks that `basrelief train opendlign` wrote, for any recipe on the same
            CLIP, which is then rendered as in their training; without tuned views it sends the second half there. Or a point network that
            `basrelief train point` wrote, for any recipe on the same CLIP, which then reads points.
        prompts: Your copy of a published prompt list (PointCLIP V2), as `FILE` or `FILE#dataset`; takes the place of the templates.
        text: Embeddings of labels that `basrelief models export-text` wrote or OpenShape published (`FILE#labels` for an array without
            names), in place of a point network's text tower; the model then knows these labels alone.
        device: `auto`, `cpu`, `cuda`, ...
        backend: Of the towers: `auto` (measured once, see `basrelief.encoders.choose_backend`), `torch` or `openvino`.
        dtype: Of all networks: `auto` (measured), `float32`, `bfloat16` or `float16`; of an image tower on OpenVINO also `int8`, calibrated
            on views of generated shapes and refused if a view keeps a cosine below 0.95 to float32, or `int8-unchecked`.

    Raises:
        ConfigError: If the name or an option is wrong.
        WeightsNotFoundError: If weights are not on this machine and cannot be fetched; the message says which and where from.
        WeightsError: If a file is broken or belongs to another architecture.

    Example:
        >>> import basrelief as br
        >>> br.load_model("tiny").name
        'tiny'
    """
    files = {"weights": weights, "checkpoint": checkpoint, "prompts": prompts, "text": text}
    place = _Placement(device, backend, dtype)
    if name.endswith(".json"):
        members, scales = read_ensemble(name)
        return EnsembleModel(_members(members, files, place), scales=scales)
    if "+" in name:
        return EnsembleModel(_members(tuple(name.split("+")), files, place))
    for option, given in files.items():
        if isinstance(given, Mapping):
            raise ConfigError(f"{option} names files of several models, but {name} is one. Pass one file.")
    return _load_one(name, _ModelFiles(**files), place)  # type: ignore[arg-type]


def load_untuned(
    name: str, *, weights: Path | str | None = None, device: str = "auto", backend: str = "torch", dtype: str = "float32"
) -> Model:
    """Load a recipe on plain CLIP, as it is before its method's training: no checkpoint, no tuned views.

    Args:
        name: One of `list_models()` that renders depth images.
        weights: CLIP weights, a file or a folder; the hub's local copy when left out, then the hub if the licence allows any use.
        device: `auto`, `cpu`, `cuda`, ...
        backend: `auto` (measured), `torch` or `openvino`.
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.

    Raises:
        ConfigError: If the name or an option is wrong.
        WeightsNotFoundError: If weights are not on this machine and cannot be fetched.
    """
    recipe = replace(get_recipe(name), checkpoint=None, tuned_views=())
    if recipe.cloud is not None:
        raise ConfigError(f"{name} reads points; plain CLIP reads pictures. Name a model that renders, e.g. opendlign-b32.")
    _check_embedded(recipe, weights)
    return Model(recipe, _load_views(recipe, weights, None, _Placement(device, backend, dtype)))


def load_text(
    name: str,
    *,
    weights: Path | str | None = None,
    checkpoint: Path | str | None = None,
    prompts: Path | str | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
) -> tuple[Prompter, Encoder]:
    """Load what embeds the labels of a model: its prompts and its text tower, without its image tower or point network.

    Args:
        name: One of `list_models()`.
        weights: CLIP weights, as for `load_model`.
        checkpoint: The method's own weights where they hold the text tower (OpenDlign, ULIP), as for `load_model`.
        prompts: Your copy of a published prompt list; takes the place of the templates.
        device: `auto`, `cpu`, `cuda`, ...
        backend: `auto` (measured), `torch` or `openvino`.
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.

    Raises:
        ConfigError: If the name or an option is wrong.
        WeightsNotFoundError: If weights are not on this machine and cannot be fetched.
        WeightsError: If a file is broken or belongs to another architecture.
    """
    recipe, place = get_recipe(name), _Placement(device, backend, dtype)
    _check_embedded(recipe, weights)
    inside = not recipe.needs_clip and recipe.encoder != EMBEDDED and weights is None
    path = _checkpoint(recipe, checkpoint) if inside else Path()
    listed = None if prompts is None else PromptList.read(prompts, backbone=recipe.encoder)
    return Prompter.of(recipe, listed), _load_text(recipe, _ModelFiles(weights=weights), path, place)


def embedded_folder() -> Path:
    """Return the folder of the weights that ship with basrelief."""
    return Path(str(resources.files("basrelief.models") / EMBEDDED))


def encoder_config(name: str) -> ClipConfig:
    """Return the architecture of an encoder, `tiny` included; no weights are loaded for the others."""
    return load_encoder_folder(embedded_folder()).config if name == EMBEDDED else encoder_spec(name).config


@dataclass(frozen=True)
class _Placement:
    """Where, by what and in which number type an encoder computes, as given to `load_model`."""

    device: str
    backend: str
    dtype: str

    def load(self, recipe: Recipe, weights: Path | str | None, *, text_only: bool = False) -> ClipEncoder:
        """Load the CLIP of a recipe in float32, for `choose`."""
        if recipe.encoder == EMBEDDED:
            encoder = load_encoder_folder(embedded_folder())
            encoder.towers.to(choose_device(self.device))
            return encoder
        return load_encoder(
            recipe.encoder,
            weights=weights,
            device=self.device,
            backend="torch",
            dtype="float32",
            activation=recipe.activation,
            text_only=text_only,
        )

    def choose(self, encoder: ClipEncoder, recipe: Recipe) -> ClipEncoder:
        """Put the towers on their backend, see `choose_backend`."""
        calibration = None
        if self.dtype in INT8 and recipe.cloud is None:
            from basrelief.models.quantization import view_calibration

            calibration = view_calibration(recipe, encoder)
        return choose_backend(encoder, backend=self.backend, dtype=self.dtype, calibration=calibration)


@dataclass(frozen=True)
class _ModelFiles:
    """Files of one model, as given to `load_model`."""

    weights: Path | str | None = None
    checkpoint: Path | str | None = None
    prompts: Path | str | None = None
    text: Path | str | None = None


def _members(names: tuple[str, ...], files: Mapping[str, Files], place: _Placement) -> list[Model]:
    """Load the members of an ensemble, each with its own files."""
    given = {option: _by_member(option, value, names) for option, value in files.items()}
    own = [_ModelFiles(**{option: value.get(name) for option, value in given.items()}) for name in names]
    return [_load_one(name, each, place) for name, each in zip(names, own, strict=True)]


def _by_member(option: str, given: Files, names: tuple[str, ...]) -> Mapping[str, Path | str]:
    """Files by member: a mapping, or the text `NAME=FILE,NAME=FILE`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        pairs = [part.partition("=") for part in str(given).split(",")]
        if not all(name and path for name, _, path in pairs):
            raise ConfigError(f"{option} is {str(given)!r}; an ensemble needs the member it is for: {names[-1]}=FILE.")
        given = {name: path for name, _, path in pairs}
    for name in given:
        if name not in names:
            raise ConfigError(unknown_choice("member", name, names, where=f" under {option}"))
    return given


def _load_one(name: str, files: _ModelFiles, place: _Placement) -> Model:
    from basrelief.encoders.points.files import is_point_file

    trained = files.checkpoint is not None and is_point_file(files.checkpoint)
    recipe = _base_recipe(name, files.checkpoint, trained=trained)
    tuned = files.checkpoint is not None and is_tuned_file(files.checkpoint)
    if files.checkpoint is not None and recipe.checkpoint is None and not tuned and not trained:
        raise ConfigError(f"{name} takes no checkpoint. Leave out {str(files.checkpoint)!r}, or name the model it belongs to.")
    _check_embedded(recipe, files.weights)
    if files.text is not None and recipe.cloud is None and not trained:
        raise ConfigError(f"{name} needs its text tower for more than labels. Leave out text={str(files.text)!r}.")
    listed = None if files.prompts is None else PromptList.read(files.prompts, backbone=recipe.encoder)
    if listed is not None and listed.view_weights is not None and recipe.pooling.rule == "concat":
        recipe = replace(recipe, pooling=replace(recipe.pooling, weights=listed.view_weights))
    if recipe.cloud is not None or trained:
        from basrelief.models.load_points import load_points

        points = load_points(
            recipe, _checkpoint(recipe, files.checkpoint), device=choose_device(place.device), dtype=place.dtype, trained=trained
        )
        encoder = _load_text(points.recipe, files, points.file, place)
        return points.join(encoder, prompts=listed)
    if files.checkpoint is not None and tuned:
        encoder, recipe = _with_tuned(recipe, files.weights, files.checkpoint, place)
    else:
        encoder = _load_views(recipe, files.weights, files.checkpoint, place)
    if recipe.tuned_views and not encoder.has_tuned_block:
        raise WeightsError(f"The checkpoint has no tuned block, which {name} needs. Plain CLIP weights are for opendlign-untuned.")
    return Model(recipe, encoder, prompter=Prompter.of(recipe, listed))


def _base_recipe(name: str, checkpoint: Path | str | None, *, trained: bool) -> Recipe:
    """The recipe of a name; `NAME-points` is NAME with a point network that was trained in its space."""
    try:
        return get_recipe(name)
    except ConfigError:
        base = name.removesuffix("-points")
        if base == name:
            raise
        recipe = get_recipe(base)
    if not trained:
        what = f"{name} needs a point network."
        if checkpoint is not None:
            what = f"Checkpoint {str(checkpoint)!r} {'holds no point network' if Path(checkpoint).is_file() else 'not found'}."
        raise WeightsNotFoundError(f"{what} Run basrelief train point, then give its file: --checkpoint FILE.")
    return recipe


def _check_embedded(recipe: Recipe, weights: Path | str | None) -> None:
    if weights is not None and recipe.encoder == EMBEDDED:
        raise ConfigError(f"{recipe.name} comes with its weights. Leave out weights={str(weights)!r}.")


def _checkpoint(recipe: Recipe, given: Path | str | None) -> Path:
    """The file of the method's own weights: the user's, or what was fetched."""
    own = recipe.checkpoint
    path = Path(given) if given is not None else find_checkpoint(recipe)
    if path is not None and path.is_file():
        return path
    what = f"{recipe.name} needs its checkpoint." if path is None else f"Checkpoint {str(given)!r} not found."
    if own is None:
        raise WeightsNotFoundError(what)
    if not own.published:
        what = f"{recipe.name} needs {where(own)}." if path is None else what
        raise WeightsNotFoundError(f"{what} Give the file of your training: --checkpoint FILE.")
    raise WeightsNotFoundError(f"{what} Run: {FETCH} {recipe.name}, or give your copy of {where(own)}: --checkpoint FILE.")


def _load_text(recipe: Recipe, files: _ModelFiles, checkpoint: Path, place: _Placement) -> Encoder:
    """The text side of a point network: exported embeddings, or a CLIP whose image tower is read with the first picture."""
    if files.text is not None:
        from basrelief.encoders.exported_text import read_exported_text

        path, _, listed = str(files.text).partition("#")
        return read_exported_text(path, labels=parse_labels(listed) if listed else (), device=choose_device(place.device))
    weights = files.weights if recipe.needs_clip or files.weights is not None else checkpoint
    return place.choose(place.load(recipe, weights, text_only=True), recipe)


def _load_views(recipe: Recipe, weights: Path | str | None, checkpoint: Path | str | None, place: _Placement) -> Encoder:
    if recipe.checkpoint is None:
        return place.choose(place.load(recipe, weights), recipe)
    path = _checkpoint(recipe, checkpoint)
    if not recipe.needs_clip and weights is None:
        return place.choose(place.load(recipe, path), recipe)
    return place.choose(place.load(recipe, weights).load_visual(path), recipe)


def _with_tuned(recipe: Recipe, weights: Path | str | None, tuned: Path | str, place: _Placement) -> tuple[Encoder, Recipe]:
    """CLIP with blocks that were tuned here, and the recipe that uses them."""
    encoder = place.load(recipe, weights)
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
    return place.choose(encoder, recipe), recipe
