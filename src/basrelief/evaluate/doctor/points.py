"""Checks of point networks: which one a weights file holds, which models read it, and how clouds are prepared for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from basrelief.datasets import parse_labels
from basrelief.datasets.layouts.base import plain
from basrelief.encoders import encoder_spec
from basrelief.encoders.exported_text import read_exported_text
from basrelief.encoders.points.files import is_point_file, read_point_record
from basrelief.encoders.points.recognise import networks_in
from basrelief.encoders.state_dict import read_state_dicts
from basrelief.errors import BasreliefError, WeightsError
from basrelief.models import Recipe, recipes
from basrelief.types import Finding

_MARKS = ("point_encoder.", "ppat.", "pc_encoder.", "conv0p1s1.")
_FRAMES = {"y-up": "+Y up", "z-up": "+Z up", "z-up-mirrored": "+Z up, mirrored, as in their training"}
_UNKNOWN = "a point network of a size that basrelief does not know"


def is_point_network(path: Path, state: Mapping[str, Tensor]) -> bool:
    """Return whether a weights file holds a point network, known or not.

    Args:
        path: The file.
        state: Its main state dict.
    """
    return is_point_file(path) or any(name.startswith(_MARKS) for name in state)


def check_point_network(path: Path, identity: str, recipe: Recipe | None = None) -> Iterator[Finding]:
    """Check the weights file of a point network.

    Args:
        path: The file.
        identity: Its name, size and hash.
        recipe: The model it is meant for, or None.
    """
    if is_point_file(path):
        yield from _trained_here(path, identity, recipe)
        return
    networks = networks_in(read_state_dicts(path))
    names = sorted(other.name for other in _published() if other.cloud and other.cloud.network in networks)
    shown = f"the point network {networks[0]}" if networks else _UNKNOWN
    yield Finding("weights file", "ok" if networks or recipe is None else "wrong", f"{identity}: {shown}.")
    if recipe is None and names:
        several = " Their files differ in numbers alone, so the file does not say which of them it is." if len(names) > 1 else ""
        yield Finding("model", "ok", f"Read by {_listed(names)}.{several}")
        yield from check_clouds(recipes()[names[0]])
    elif recipe is not None and networks:
        yield _fit(networks, names, recipe)


def check_clouds(recipe: Recipe) -> Iterator[Finding]:
    """Say how a model of points prepares clouds."""
    if (cloud := recipe.cloud) is None:
        return
    colors = f"xyz + rgb: a cloud without colour gets {cloud.missing_color:.3g} grey" if cloud.use_colors else "xyz alone"
    scaled = "centred and scaled to radius 1, " if cloud.normalise else ""
    yield Finding("clouds", "ok", f"{recipe.points:,} points, {scaled}{_FRAMES.get(cloud.frame, cloud.frame)}, {colors}.")


def check_exported_text(path: str, recipe: Recipe, *, labels: Sequence[str] = ()) -> Iterator[Finding]:
    """Check exported embeddings of labels: whose they are, and whether those of the data are among them.

    Args:
        path: The file, `FILE#labels` for an array without names.
        recipe: The model.
        labels: Class names of the data set, or none.
    """
    file, _, listed = path.partition("#")
    try:
        found = read_exported_text(file, labels=parse_labels(listed) if listed else ())
    except BasreliefError as error:
        yield Finding("labels", "wrong", str(error), "Export them again: basrelief models export-text.")
        return
    yield Finding("labels", "ok", f"{len(found.labels):,} labels by {found.encoder}, {found.embedding_dim:,} numbers each.")
    if recipe.cloud is None or found.embedding_dim != encoder_spec(recipe.encoder).config.embed_dim:
        fact = f"{recipe.name} does not take them: they are for models that read points and have the text tower of {found.encoder}."
        yield Finding("labels", "wrong", fact, f"Export them for this model: basrelief models export-text {recipe.name}.")
    known = {plain(name) for name in found.labels}
    if missing := [label for label in labels if plain(label) not in known]:
        fact = f"{len(missing)} of {len(labels)} labels of the data were not exported, e.g. {missing[0]!r}."
        yield Finding("labels", "wrong", fact, f"Export them, too: basrelief models export-text {recipe.name}.")


def _fit(networks: tuple[str, ...], names: list[str], recipe: Recipe) -> Finding:
    remedy = f"Use {_listed(names)}." if names else ""
    if recipe.cloud is None:
        return Finding("network", "wrong", f"{recipe.name} reads depth images; the file is a point network.", remedy)
    if recipe.cloud.network not in networks:
        return Finding("network", "wrong", f"{recipe.name} is {recipe.cloud.network}; the file is {networks[0]}.", remedy)
    others = [name for name in names if name != recipe.name]
    more = f"; the files of {_listed(others)} have the same tensors, so compare the hash" if others else ""
    return Finding("network", "ok", f"{recipe.cloud.network}, as {recipe.name}{more}.")


def _trained_here(path: Path, identity: str, recipe: Recipe | None) -> Iterator[Finding]:
    try:
        record = read_point_record(path)
    except WeightsError as error:
        yield Finding("weights file", "wrong", f"{identity}: {error}")
        return
    yield Finding("weights file", "ok", f"{identity}: the point network {record.network}, trained by basrelief.")
    fact = f"It was trained in the space of {record.encoder}"
    if recipe is None or recipe.encoder == record.encoder:
        yield Finding("network", "ok", f"{fact}; it fits models on that encoder.")
    else:
        yield Finding("network", "wrong", f"{fact}; {recipe.name} is on {recipe.encoder}.", f"Use a model on {record.encoder}.")


def _published() -> Iterator[Recipe]:
    """Recipes of point networks whose weights somebody publishes."""
    for recipe in recipes().values():
        own = recipe.checkpoint
        if recipe.cloud is not None and own is not None and (own.repository or own.address):
            yield recipe


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
