"""Images beside a shape file, with the alpha that a viewer would use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from basrelief.io.resolver import FolderResolver
from basrelief.io.textures import Texture, Textures

_CUT, _DRAWN = 16, 239  # alpha below, above which a pixel of a cut-out is transparent, opaque
_CUT_SHARE, _SHARP_SHARE = 0.01, 0.9  # of the pixels of a cut-out are transparent, are either


class SideTextures:
    """The images that the materials of a file name.

    Attributes:
        resolver: Reads files of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.resolver = FolderResolver(folder)
        self._textures = Textures()
        self._found: dict[tuple[str, str], Texture | None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        return (*self.resolver.notes, *self._textures.notes)

    def get(self, name: str, mask: str = "") -> Texture | None:
        """Return the texture of a material.

        Args:
            name: File of its colours, empty for none.
            mask: File of its opacity, empty for none; may be the same file.

        Returns:
            The same object for the same names, None if nothing can be read. Without a mask, alpha counts only where it cuts something
            out: nearly all pixels are opaque or transparent. Other alphas, such as gloss, are not meant for viewers.
        """
        key = name, mask
        if key not in self._found:
            color, opacity = (self._image(one) if one else None for one in key)
            if name == mask:
                self._found[key] = color
            elif opacity is not None:
                self._found[key] = self._textures.masked(color, opacity)
            else:
                self._found[key] = color if color is None or _is_cutout(color) else self._textures.opaque(color)
        return self._found[key]

    def has(self, name: str) -> bool:
        """Return whether an image can be read."""
        return bool(name) and self._image(name) is not None

    def _image(self, name: str) -> Texture | None:
        texture = self._textures.from_file(self.resolver, name, alpha=True)
        return None if texture.pixels is None else texture


def _is_cutout(texture: Texture) -> bool:
    if texture.pixels is None or texture.alpha_range[0] == 1:
        return False
    alpha = texture.pixels[:, :, 3]
    cut, drawn = float(np.mean(alpha < _CUT)), float(np.mean(alpha > _DRAWN))
    return cut > _CUT_SHARE and cut + drawn > _SHARP_SHARE and drawn > 0
