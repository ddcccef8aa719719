"""Point networks by name: families of networks, and the table of sizes of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
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
    "mink_resnet": "mink_resnet.MinkResNet",
    "tamm_sparse_conv": "tamm.TammSparseConv",
}
"""For each family, which is a table in `sizes/`, the module in this package and the class of its networks."""


@dataclass(frozen=True)
class NetworkSpec:
    """Family and size of a point network.

    Attributes:
        name: Name for reports.
        family: A key of `FAMILIES`.
        size: Fields of the family's size.
    """

    name: str
    family: str
    size: Mapping[str, Any]

    def build(self) -> PointNetwork:
        """Build the network with PyTorch's initial weights, drawn from its global generator.

        Raises:
            ConfigError: If there is no such family, or its sizes have other fields.
        """
        if self.family not in FAMILIES:
            raise ConfigError(unknown_choice("family of point networks", self.family, FAMILIES))
        module, _, name_of_class = FAMILIES[self.family].partition(".")
        kind: type[PointNetwork] = getattr(import_module(f"{__package__}.{module}"), name_of_class)
        names = [known.name for known in fields(kind.size_type)]
        for name in self.size:
            if name not in names:
                raise ConfigError(unknown_choice(f"field of the size of {self.name}", name, names))
        return kind(kind.size_type(**self.size))

    def empty(self) -> PointNetwork:
        """Build the network on the meta device: names and dimensions, no numbers and no memory.

        Raises:
            ConfigError: As `build` does.
        """
        with torch.device("meta"):
            return self.build()

    def with_embedding_dim(self, dim: int) -> NetworkSpec:
        """Return the size whose features have another length.

        Raises:
            ConfigError: If the family has features of one length only.
        """
        if self.empty().embedding_dim == dim:
            return self
        for name in ("embedding_dim", "projection"):
            changed = replace(self, size={**self.size, name: dim})
            with suppress(ConfigError):
                if changed.empty().embedding_dim == dim:
                    return changed
        raise ConfigError(f"The features of {self.name} cannot have length {dim}. Name another network.")

    def with_changes(self, changes: Mapping[str, Any]) -> NetworkSpec:
        """Return the size with other values of some fields."""
        return replace(self, size={**self.size, **changes})


def list_point_networks() -> tuple[str, ...]:
    """List the names of all sizes of all families, sorted."""
    return tuple(sorted(_sizes()))


def network_spec(name: str) -> NetworkSpec:
    """Return family and size of a network.

    Args:
        name: One of `list_point_networks()`.

    Raises:
        ConfigError: If the name is unknown.
    """
    if name not in _sizes():
        raise ConfigError(unknown_choice("point network", name, _sizes()))
    return NetworkSpec(name, *_sizes()[name])


@cache
def _sizes() -> dict[str, tuple[str, dict[str, Any]]]:
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for family in FAMILIES:
        record = json.loads((files("basrelief.encoders.points") / "sizes" / f"{family}.json").read_text(encoding="utf-8"))
        found.update({name: (family, size) for name, size in record.items()})
    return found
