"""Open a USD file without following references that leave its folder or package.

A layer can name others by absolute paths and addresses. Before a stage is composed, every layer that it would read is opened alone, and
references to anything else are removed from it in memory.
"""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from basrelief.errors import FileFormatError
from basrelief.io.archive import open_archive
from basrelief.io.checks import check_count
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import Source
from basrelief.limits import limits

if TYPE_CHECKING:
    from pxr import Sdf, Usd

SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")


def open_stage(source: Source) -> tuple[Usd.Stage, UsdLayers]:
    """Compose the stage of a file.

    Args:
        source: The file.

    Returns:
        The stage, and the layers it is composed of, which must be kept as long as the stage is.

    Raises:
        FileFormatError: If the file is damaged, or refers to too many others.
    """
    from pxr import Tf, Usd

    try:
        layers = UsdLayers(source)
        stage = Usd.Stage.Open(layers.root)
    except Tf.ErrorException as error:
        raise _damaged(source) from error
    if stage is None:
        raise _damaged(source)
    return stage, layers


def _damaged(source: Source) -> FileFormatError:
    return FileFormatError(f"{source.path.name} cannot be read as USD. It is probably damaged; export it again.")


class UsdLayers:
    """The layers that a stage is composed of, opened for it alone and without references to anything outside.

    Attributes:
        root: The layer of the file itself.
        folders: The folder of each layer by its identifier, relative to that of the file, or within the package.
        resolver: Finds files beside the file.
        missing: One sentence for each reference that was removed because there is no such layer.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.resolver, self.missing = FolderResolver(source.path.parent), list[str]()
        self._opened: dict[str, Sdf.Layer] = {}
        self.folders: dict[str, str] = {}
        first, self._members = "", tuple[str, ...]()
        if source.format == "usdz":
            with open_archive(source.path) as archive:
                self._members = tuple(archive.namelist())
            first = next(iter(self._members), "")  # which is what a package shows
        root = self._open(self._full(first) if first else str(source.path.resolve()), posixpath.dirname(first))
        if root is None:
            raise _damaged(source)
        self.root: Sdf.Layer = root

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return (*self.resolver.notes, *self.missing[:10])

    def _open(self, full: str, folder: str) -> Sdf.Layer | None:
        """Open a layer and those it refers to; keep references within the folder or package, remove all others."""
        from pxr import Sdf

        first = Sdf.Layer.OpenAsAnonymous(full)
        waiting = [(first, folder)] if first is not None else []
        self._opened[full] = first
        while waiting:
            layer, folder = waiting.pop()
            self.folders[layer.identifier] = folder
            layer.Traverse("/", lambda path, layer=layer: _clear_clips(layer, path))
            for name in sorted(layer.GetCompositionAssetDependencies()):
                found = self._find(name, folder)
                if found is not None and found[0] not in self._opened:
                    self._opened[found[0]] = inner = Sdf.Layer.OpenAsAnonymous(found[0])
                    check_count(self._source.path, len(self._opened), limits().side_files, of="other files it refers to")
                    if inner is not None:
                        waiting.append((inner, found[1]))
                known = self._opened[found[0]] if found is not None else None
                layer.UpdateCompositionAssetDependency(name, "" if known is None else known.identifier)
        return first

    def _find(self, name: str, folder: str) -> tuple[str, str] | None:
        """Return the full name of a layer and its folder; None if there is none, or it lies elsewhere."""
        from pxr import Sdf

        plain = Sdf.Layer.SplitIdentifier(name)[0]
        inside = posixpath.normpath(posixpath.join(folder, plain.replace("\\", "/")))
        if PurePosixPath(inside).suffix.lower() not in SUFFIXES:
            self.missing.append(f"{name[:200]!r} is no USD file and was not read.")
            return None
        if self._source.format == "usdz":
            if inside in self._members:
                return self._full(inside), posixpath.dirname(inside)
        else:
            try:
                path = self.resolver.find(inside)
            except FileFormatError:  # the resolver notes it
                return None
            if path is not None:
                return str(path.resolve()), posixpath.dirname(inside)
        self.missing.append(f"{name[:200]!r} is not beside the file and is missing.")
        return None

    def _full(self, member: str) -> str:
        """The full name of a member of the package."""
        from pxr import Ar

        return str(Ar.JoinPackageRelativePath([str(self._source.path.resolve()), member]))


def _clear_clips(layer: Sdf.Layer, path: Sdf.Path) -> None:
    """Remove value clips, which name further files that are opened when a value is read."""
    spec = layer.GetObjectAtPath(path)
    if spec is not None and path.IsPrimPath() and spec.HasInfo("clips"):
        spec.ClearInfo("clips")
