"""Point networks by name: families of networks, and the table of sizes of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import torch

from basrelief.encoders.points.base import PointNetwork
from basrelief.errors import ConfigError, unknown_choice

FAMILIES: Mapping[str, str] = {
    "point_bert": "point_bert.PointBert",
    "uni3d": "uni3d.Uni3d",
    "point_patch": "point_patch.PointPatchTransformer",
    "tamm_point_patch": "tamm.TammPointPatch",
}
"""For each family, which is a table in `sizes/`, the module in this package and the class of its networks."""


def list_point_networks() -> tuple[str, ...]:
    """List the names of all sizes of all families, sorted."""
    return tuple(sorted(_sizes()))


def empty_network(name: str) -> PointNetwork:
    """Build a network on the meta device: names and dimensions, no numbers and no memory.

    Args:
        name: One of `list_point_networks()`.

    Raises:
        ConfigError: If the name is unknown.
    """
    with torch.device("meta"):
        return build_network(name)


def build_network(name: str) -> PointNetwork:
    """Build a network with PyTorch's initial weights, drawn from its global generator.

    Args:
        name: One of `list_point_networks()`.

    Raises:
        ConfigError: If the name is unknown.
    """
    if name not in _sizes():
        raise ConfigError(unknown_choice("point network", name, _sizes()))
    family, record = _sizes()[name]
    module, _, name_of_class = FAMILIES[family].partition(".")
    kind: type[PointNetwork] = getattr(import_module(f"{__package__}.{module}"), name_of_class)
    return kind(kind.size_type(**record))


@cache
def _sizes() -> dict[str, tuple[str, dict[str, Any]]]:
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for family in FAMILIES:
        record = json.loads((files("basrelief.encoders.points") / "sizes" / f"{family}.json").read_text(encoding="utf-8"))
        found.update({name: (family, size) for name, size in record.items()})
    return found
