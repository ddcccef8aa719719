"""Find depth maps, `ID+CLASS_dm.npy`, and the point clouds they were drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from basrelief.datasets.layouts.base import files, plain, subfolders
from basrelief.errors import ConfigError
from basrelief.io import FORMATS

END = "_dm.npy"
_DEPTH = 3  # levels of folders below the given one that are searched


@dataclass(frozen=True)
class MapFile:
    """A file of depth maps and its point cloud.

    Attributes:
        path: The depth maps.
        cloud: The point cloud; None if none or several fit.
        reason: Why there is none.
    """

    path: Path
    cloud: Path | None
    reason: str = ""

    @property
    def name(self) -> str:
        """File name without `_dm.npy`: `ID+CLASS`."""
        return self.path.name.removesuffix(END)

    @property
    def label(self) -> str:
        """Class name, or an empty string."""
        return self.name.partition("+")[2]


def find_maps(folder: Path, clouds: Path | None = None) -> dict[Path, list[MapFile]]:
    """Find depth maps below a folder, and a point cloud for each by its name: `ID+CLASS` or `ID`, with any suffix of `load`.

    Args:
        folder: A folder of depth maps, or one above it, such as that of the data set.
        clouds: Folder of the point clouds. By default they are looked for below `folder`; if it holds the maps itself and no cloud, then
            beside it.

    Returns:
        Map files by folder, sorted; some without a cloud.

    Raises:
        ConfigError: If a folder does not exist, holds no depth maps, or no point cloud fits any of them.
    """
    for given in (folder, clouds):
        if given is not None and not given.is_dir():
            raise ConfigError(f"Folder {str(given)!r} not found. Check the spelling.")
    found = {home: paths for home in _walk(folder, _DEPTH) if (paths := [path for path in files(home, ".npy") if path.name.endswith(END)])}
    if not found:
        raise ConfigError(f"Folder {folder.name!r} has no depth maps (ID+CLASS{END}). Name the folder that they were unpacked to.")
    for home in (clouds or folder, *([folder.resolve().parent] if folder in found and clouds is None else ())):
        index = _index(home)
        maps = {folder: [_paired(path, index) for path in paths] for folder, paths in found.items()}
        every = [file for paths in maps.values() for file in paths]
        if any(file.cloud for file in every):
            return maps
    raise ConfigError(
        f"None of the {len(every):,} depth maps has a point cloud below {home.name!r}: {every[0].reason} "
        "Name the folder of the clouds: basrelief doctor CLOUDS --maps FOLDER."
    )


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    for inner in subfolders(folder) if depth else ():
        yield from _walk(inner, depth - 1)


def _index(folder: Path) -> dict[str, list[Path]]:
    """Return the shape files below a folder by stem."""
    index = defaultdict(list)
    suffixes = tuple(f".{name}" for name in FORMATS)
    for home in _walk(folder, _DEPTH):
        for path in files(home, *suffixes):
            if not path.name.endswith(END):
                index[path.stem].append(path)
    return index


def _paired(path: Path, index: Mapping[str, Sequence[Path]]) -> MapFile:
    name = path.name.removesuffix(END)
    identity, _, label = name.partition("+")
    fitting: Sequence[Path] = index.get(name) or index.get(identity) or ()
    if len(fitting) > 1:  # the same number in several classes
        fitting = [cloud for cloud in fitting if plain(cloud.parent.name) == plain(label)] or fitting
    if len(fitting) == 1:
        return MapFile(path, fitting[0])
    if fitting:
        return MapFile(path, None, f"{len(fitting)} point files are called {fitting[0].stem!r}.")
    return MapFile(path, None, f"No point file is called {identity!r}.")
