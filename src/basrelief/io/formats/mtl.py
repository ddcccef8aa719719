"""Material libraries of Wavefront .obj: colours, textures and transparency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from basrelief.limits import limits

_LIBRARY = b"mtllib"
_OPTIONS = {"-bm": 1, "-blendu": 1, "-blendv": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2, "-texres": 1, "-type": 1}
"""Options of a texture with a fixed number of values; -o, -s and -t have one to three numbers."""
_COLORS = ("kd", "ka", "ke")
_MAPS = ("map_kd", "map_ka", "map_ke", "map_d")

Color = tuple[float, float, float]


@dataclass(frozen=True)
class TextureMap:
    """An image of a material.

    Attributes:
        name: File name as written.
        scale: Texture coordinates are multiplied by it.
        offset: Then this is added.
        clamp: Whether the image does not repeat.
    """

    name: str
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    clamp: bool = False


@dataclass
class Material:
    """A material of an .mtl file.

    Attributes:
        colors: The colours `kd` (diffuse), `ka` (ambient) and `ke` (emissive), sRGB, as far as they are valid.
        maps: The images `map_kd`, `map_ka`, `map_ke` and `map_d` (alpha).
        alpha: From `d`, else from `Tr`, which is 1 - alpha.
    """

    colors: dict[str, Color] = field(default_factory=dict)
    maps: dict[str, TextureMap] = field(default_factory=dict)
    alpha: float = 1.0

    @property
    def texture(self) -> TextureMap | None:
        """The image of the surface: `map_Kd`, else, where the diffuse colour is black or missing, that of the light it emits."""
        if "map_kd" in self.maps:
            return self.maps["map_kd"]
        dark = not any(self.colors.get("kd", ()))
        return (self.maps.get("map_ke") if dark else None) or self.maps.get("map_ka")

    @property
    def color(self) -> Color | None:
        """The colour of the surface without its image: the first of diffuse, emissive and ambient that is not black."""
        found = [self.colors[name] for name in ("kd", "ke", "ka") if name in self.colors]
        return next((color for color in found if any(color)), found[0] if found and "kd" in self.colors else None)


def library_names(data: bytes) -> Iterator[str]:
    """Yield the material libraries that an .obj file names, in order.

    Args:
        data: The content of the file.

    Yields:
        The name after each `mtllib`, at most `Limits.side_files` of them.
    """
    for at in islice(_occurrences(data), limits().side_files):
        if not data[data.rfind(b"\n", max(at - 80, 0), at) + 1 if at else 0 : at].strip():
            end = data.find(b"\n", at, at + 4096)
            yield data[at + len(_LIBRARY) : end if end >= 0 else at + 4096].decode(errors="replace").strip()


def parse_materials(data: bytes) -> dict[str, Material]:
    """Parse the materials of a library, skipping malformed lines.

    Args:
        data: The content of the .mtl file.

    Returns:
        Materials by name.
    """
    materials: dict[str, Material] = {}
    material, opaque = Material(), False
    for line in data.decode(errors="replace").splitlines():
        words = line.split()
        key = words[0].lower() if len(words) > 1 else ""
        if key == "newmtl":
            material = materials[" ".join(words[1:])] = Material()
            opaque = False
        elif key in _COLORS and (color := _rgb(words[1:])):
            material.colors[key] = color
        elif key in _MAPS and (found := parse_map(line.strip()[len(key) :])):
            material.maps[key] = found
        elif key in ("d", "tr"):
            value = _number(words[2] if words[1] == "-halo" and len(words) > 2 else words[1])
            opaque = opaque or key == "d"
            if value is not None and (key == "d" or (not opaque and value < 1)):  # many programs write Tr 1 for opaque surfaces
                material.alpha = min(max(value if key == "d" else 1 - value, 0.0), 1.0)
    return materials


def parse_map(text: str) -> TextureMap | None:
    """Parse what follows the keyword of an image: options, then a file name, which may contain spaces.

    Args:
        text: The rest of the line.

    Returns:
        The image, or None if there is no name.
    """
    found = {"-s": (1.0, 1.0), "-o": (0.0, 0.0), "-t": (0.0, 0.0)}
    clamp, rest = False, text.strip()
    while rest.startswith("-"):
        option, _, rest = rest.partition(" ")
        option = option.lower()
        if option in found:
            numbers = list(takewhile(lambda value: value is not None, map(_number, rest.split(maxsplit=3)[:3])))
            count = len(numbers)
            found[option] = (*numbers, *found[option][count:])[:2]  # type: ignore[assignment]
        elif option in _OPTIONS:
            count = _OPTIONS[option]
            clamp = clamp or (option == "-clamp" and rest.split()[:1] == ["on"])
        else:
            return TextureMap(text.strip())
        rest = " ".join(rest.split(maxsplit=count)[count:])
    return TextureMap(rest, found["-s"], found["-o"], clamp) if rest else None


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rgb(words: Sequence[str]) -> Color | None:
    values = [_number(word) for word in words[:3]]
    if len(values) == 1 and values[0] is not None:  # a grey
        values *= 3
    red, green, blue = (*values, None, None, None)[:3]
    return None if red is None or green is None or blue is None else (red, green, blue)


def _occurrences(data: bytes) -> Iterator[int]:
    at = data.find(_LIBRARY)
    while at >= 0:
        yield at
        at = data.find(_LIBRARY, at + len(_LIBRARY))
