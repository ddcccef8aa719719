"""Write generated shapes to a folder of class folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from basrelief.io import save
from basrelief.shapes.procedural import make_shape


def write_library(root: Path | str, names: Sequence[str], *, first: int = 0, each: int = 2) -> Path:
    """Write shapes of each name as `NAME/SEED.glb`; `basrelief.datasets.open_benchmark` opens it.

    Args:
        root: Folder, made if it is not there.
        names: Of `CATEGORIES`.
        first: Seed of the first shape.
        each: Shapes of a name.

    Returns:
        The folder.

    Raises:
        ConfigError: If a name cannot be generated.
    """
    for name in names:
        (Path(root) / name).mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + each):
            save(make_shape(name, seed=seed), Path(root) / name / f"{seed}.glb")
    return Path(root)
