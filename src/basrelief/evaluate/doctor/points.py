"""Checks of point networks: which one a weights file holds, which models read it, and how clouds are prepared for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from basrelief.encoders.points.files import is_point_file, read_point_record
from basrelief.encoders.points.recognise import networks_in
from basrelief.encoders.state_dict import read_state_dicts
from basrelief.errors import WeightsError
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
