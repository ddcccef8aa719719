"""Colours and textures of 3MF (core specification and materials extension) and the parts of a surface that they paint."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from basrelief.appearance import Wrap
from basrelief.io.split import check_corners, distinct_corners
from basrelief.io.surface import UNCOLORED
from basrelief.io.textures import Texture, Textures

NO_PAINT = -1
GROUPS = ("basematerials", "colorgroup", "texture2dgroup", "compositematerials", "multiproperties")
"""Elements that hold paints."""
PAINTS = ("base", "color", "tex2coord", "composite", "multi")
"""Elements that are paints, one kind for each of `GROUPS`."""
_WRAPS: Mapping[str, Wrap] = {"wrap": "repeat", "mirror": "mirror", "clamp": "clamp", "none": "clamp"}
_NO_IMAGE = -1


class Paints:
    """All paints of an archive, numbered from zero: each a colour, or a place in an image.

    Attributes:
        images: Member name and wrapping of each image.
    """

    def __init__(self) -> None:
        self.images: list[tuple[str, tuple[Wrap, Wrap]]] = []
        self._colors, self._places, self._image = array("f"), array("f"), array("i")
        self._groups: dict[str, range] = {}
        self._layers: dict[str, list[str]] = {}  # groups that a composite or multiple paint refers to
        self._textures: dict[str, int] = {}
        self._group, self._texture = "", _NO_IMAGE

    def add_texture(self, model: str, attribute: Mapping[str, str]) -> None:
        """Add the image of a `<texture2d>`."""
        self._textures[f"{model}#{attribute.get('id', '')}"] = len(self.images)
        u, v = (_WRAPS.get(attribute.get(f"tilestyle{axis}", ""), "repeat") for axis in "uv")
        self.images.append((attribute.get("path", ""), (u, v)))

    def open_group(self, model: str, attribute: Mapping[str, str]) -> None:
        """Begin a group; `add` adds to it."""
        self._group = f"{model}#{attribute['id']}"
        self._groups[self._group] = range(len(self._image), len(self._image))
        self._texture = self._textures.get(f"{model}#{attribute.get('texid', '')}", _NO_IMAGE)
        below = attribute.get("pids", attribute.get("matid", "")).split()
        self._layers[self._group] = [f"{model}#{name}" for name in below[:16]]

    def add(self, tag: str, attribute: Mapping[str, str]) -> None:
        """Add a paint to the group that is open."""
        if not self._group:
            return
        if tag == "tex2coord":
            self._append((1, 1, 1, 1), (float(attribute["u"]), float(attribute["v"])), self._texture)
        elif tag == "multi":
            self._add_multiple(attribute.get("pindices", "").split())
        elif tag == "composite":
            self._add_composite(attribute.get("values", "").split())
        else:
            self._append(_rgba(attribute.get("displaycolor") or attribute.get("color", "")))
        self._groups[self._group] = range(self._groups[self._group].start, len(self._image))

    def find(self, group: str, index: str) -> int:
        """Return the number of a paint of a group, `NO_PAINT` if it is missing or invalid."""
        places = self._groups.get(group, range(0))
        return places[int(index)] if index.isdecimal() and len(index) < 10 and int(index) < len(places) else NO_PAINT

    def _append(self, color: Sequence[float], place: tuple[float, float] = (0, 0), image: int = _NO_IMAGE) -> None:
        self._colors.extend(color)
        self._places.extend(place)
        self._image.append(image)

    def _add_multiple(self, indices: Sequence[str]) -> None:
        """Add the uppermost of several paints; where an index is missing, it is the first of its group."""
        for number in reversed(range(len(self._layers[self._group]))):
            paint = self.find(self._layers[self._group][number], indices[number] if number < len(indices) else "0")
            if paint != NO_PAINT:
                self._append(self._color(paint), (self._places[2 * paint], self._places[2 * paint + 1]), self._image[paint])
                return
        self._append((math.nan,) * 4)

    def _add_composite(self, values: Sequence[str]) -> None:
        """Add the mixture of the first base materials of a group, by the given shares."""
        shares = [max(float(value), 0.0) for value in values[:16]]
        paints = [self.find(self._layers[self._group][0], str(i)) if self._layers[self._group] else NO_PAINT for i in range(len(shares))]
        mixed = [(share, self._color(paint)) for share, paint in zip(shares, paints, strict=True) if paint != NO_PAINT]
        total = sum(share for share, _ in mixed)
        self._append([sum(s * c[i] for s, c in mixed) / total for i in range(4)] if total > 0 else (math.nan,) * 4)

    def _color(self, paint: int) -> tuple[float, ...]:
        return tuple(self._colors[4 * paint : 4 * paint + 4])

    def parts(
        self, part: Mapping[str, Any], paints: np.ndarray, read: Callable[[str], bytes], textures: Textures
    ) -> Iterator[dict[str, Any]]:
        """Split a part by images, with the colours of its faces or corners.

        Args:
            part: `vertices` and `faces` (F, 3), and whatever else all parts get.
            paints: (F, 3) paint of each corner, `NO_PAINT` for none.
            read: Returns the content of a member of the archive.
            textures: Decodes images.

        Yields:
            At least one part.
        """
        colors, places, image = self._arrays()
        usable = (paints != NO_PAINT) & np.isfinite(colors[paints, 0])
        if not usable.any():
            yield dict(part)
            return
        check_corners(part["faces"], len(part["vertices"]))
        shown = np.where(usable.all(axis=1), image[paints[:, 0]], _NO_IMAGE)
        order = np.argsort(shown, kind="stable")
        starts = np.flatnonzero(np.diff(shown[order], prepend=_NO_IMAGE - 1))
        for rows in np.split(order, starts[1:]):
            number = int(shown[rows[0]])
            own, paint = {**part, "faces": part["faces"][rows]}, np.where(usable[rows], paints[rows], NO_PAINT)
            texture = self._image_of(number, read, textures)
            flat = bool((paint == paint[:, :1]).all())
            corner, per_corner = own["faces"].reshape(-1), paint.reshape(-1)
            by_face = texture is None and flat
            if not by_face or len(rows) < len(paints):
                chosen, index = distinct_corners(corner, *([] if by_face else [per_corner + 1]))
                own |= {"vertices": own["vertices"][corner[chosen]], "faces": index.reshape(-1, 3)}
            if by_face:
                yield {**own, "face_colors": _known(colors, paint[:, 0])[:, :3]}
            elif texture is None:
                yield {**own, "vertex_colors": _known(colors, per_corner[chosen])}
            else:
                yield {**own, "texture": texture, "uv": places[per_corner[chosen]], "wrap": self.images[number][1]}

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self._image:
            return np.full((1, 4), np.nan), np.zeros((1, 2)), np.full(1, _NO_IMAGE)
        colors = np.frombuffer(self._colors, dtype=np.float32).reshape(-1, 4)
        return colors, np.frombuffer(self._places, dtype=np.float32).reshape(-1, 2), np.frombuffer(self._image, dtype=np.int32)

    def _image_of(self, number: int, read: Callable[[str], bytes], textures: Textures) -> Texture | None:
        if number == _NO_IMAGE:
            return None
        name = self.images[number][0]
        texture = textures.get(name, lambda: read(name), name=name)
        return None if texture.pixels is None else texture


def _known(colors: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Return colours (N, 4), grey where there is no paint."""
    found: np.ndarray = np.where((paint != NO_PAINT)[:, None], colors[paint], np.array([*UNCOLORED, 1], dtype=np.float32))
    return found


def _rgba(text: str) -> tuple[float, ...]:
    try:
        values = bytes.fromhex(text.strip().lstrip("#"))
    except ValueError:
        return (math.nan,) * 4
    return tuple(value / 255 for value in (*values[:3], *(values[3:4] or b"\xff"))) if len(values) in (3, 4) else (math.nan,) * 4
