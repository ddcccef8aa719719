"""Generate everyday shapes: a category and a seed determine the mesh; other seeds give other designs."""

from __future__ import annotations

import zlib

import numpy as np

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError, unknown_choice
from basrelief.shapes.appliances import APPLIANCES
from basrelief.shapes.furniture_seats import SEATS
from basrelief.shapes.furniture_tables import TABLES
from basrelief.shapes.household import HOUSEHOLD
from basrelief.shapes.outdoors import OUTDOORS
from basrelief.shapes.primitives import join
from basrelief.shapes.tools import TOOLS
from basrelief.shapes.vehicles import VEHICLES
from basrelief.shapes.vessels import VESSELS
from basrelief.types import Mesh

_BUILDERS = {**SEATS, **TABLES, **APPLIANCES, **HOUSEHOLD, **VESSELS, **TOOLS, **VEHICLES, **OUTDOORS}

CATEGORIES: tuple[str, ...] = tuple(_BUILDERS)
"""Names that `make_shape` takes, furniture first."""


def make_shape(category: str, *, seed: int = 0) -> Mesh:
    """Generate one everyday shape.

    Args:
        category: One of `CATEGORIES`.
        seed: At least 0; chooses the design: proportions, number and form of the parts, colours.

    Returns:
        A coloured mesh of closed solids, world frame (+Z up), about life size in metres; the front looks along -y. Solids may overlap.

    Raises:
        ConfigError: If the category is unknown or the seed is negative.
    """
    if category not in _BUILDERS:
        raise ConfigError(unknown_choice("category", category, CATEGORIES))
    check_at_least("seed", seed, 0, "Pass a whole number.")
    generator = np.random.default_rng([zlib.crc32(category.encode()), seed])
    return join(_BUILDERS[category](generator), name=f"{category} {seed}")
