"""Which known network a weights file holds, by the names and shapes of its tensors."""

from __future__ import annotations

from importlib import import_module

from basrelief.encoders.points.base import Parts, PointNetwork
from basrelief.encoders.points.registry import FAMILIES, list_point_networks, network_spec
from basrelief.errors import WeightsError


def networks_in(parts: Parts) -> tuple[str, ...]:
    """Return the names of the networks that a file fits exactly; several if they differ in nothing that is stored.

    Args:
        parts: State dicts of the file, see `basrelief.encoders.state_dict.read_state_dicts`.
    """
    shapes = {family: _shapes(family, parts) for family in FAMILIES}
    specs = (network_spec(name) for name in list_point_networks())
    return tuple(spec.name for spec in specs if shapes[spec.family] and shapes[spec.family] == _expected(spec.empty()))


def _shapes(family: str, parts: Parts) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file as a family of networks reads it; empty if it cannot."""
    module, _, name = FAMILIES[family].partition(".")
    kind: type[PointNetwork] = getattr(import_module(f"basrelief.encoders.points.{module}"), name)
    try:
        return {name: tuple(tensor.shape) for name, tensor in kind.from_published(parts).items()}
    except WeightsError:
        return {}


def _expected(network: PointNetwork) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
