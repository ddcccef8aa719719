"""Effects of a COLLADA document: colours, images and transparency of its materials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from basrelief.appearance import Wrap

_CHANNELS = ("diffuse", "emission", "transparent")
_WRAPS: Mapping[str, Wrap] = {"WRAP": "repeat", "MIRROR": "mirror", "CLAMP": "clamp", "BORDER": "clamp", "NONE": "clamp"}
_INVISIBLE = 0.01  # many programs write such an opacity for opaque surfaces
_BRIGHTNESS = (0.2126, 0.7152, 0.0722)  # of red, green and blue, by the specification
_HOPS = 3  # from a sampler to its surface to the image


@dataclass(frozen=True)
class Reference:
    """A use of an image.

    Attributes:
        name: Of a sampler, a surface or an image.
        channel: Semantic of the texture coordinates, which a material binding resolves.
    """

    name: str
    channel: str


@dataclass
class Effect:
    """A material as the effect describes it.

    Attributes:
        colors: Red, green, blue and alpha of `diffuse`, `emission` and `transparent`, as far as they are given.
        images: The images in their place.
        opaque: How `transparent` is meant: `A_ONE`, `RGB_ZERO`, `A_ZERO` or `RGB_ONE`.
        transparency: Factor of `transparent`.
        names: What samplers and surfaces refer to.
        wraps: Wrapping of samplers along u and v.
    """

    colors: dict[str, tuple[float, ...]] = field(default_factory=dict)
    images: dict[str, Reference] = field(default_factory=dict)
    opaque: str = "A_ONE"
    transparency: float = 1.0
    names: dict[str, str] = field(default_factory=dict)
    wraps: dict[str, dict[str, Wrap]] = field(default_factory=dict)

    def image(self, name: str) -> str:
        """Return the image that a sampler leads to."""
        for _ in range(_HOPS):
            if name not in self.names:
                break
            name = self.names[name]
        return name

    def wrap(self, name: str) -> tuple[Wrap, Wrap]:
        """Return the wrapping of a sampler."""
        found = self.wraps.get(name, {})
        return found.get("wrap_s", "repeat"), found.get("wrap_t", "repeat")

    @property
    def color(self) -> tuple[float, float, float] | None:
        """The colour of the surface: the diffuse one, or what it emits where that is black or absent."""
        found = [self.colors[name][:3] for name in ("diffuse", "emission") if name in self.colors]
        red, green, blue = next((color for color in found if any(color)), found[0] if "diffuse" in self.colors else (math.nan,) * 3)
        return None if math.isnan(red) else (red, green, blue)

    @property
    def texture(self) -> Reference | None:
        """The image of the surface: the diffuse one, or what it emits where the diffuse colour is black or absent."""
        dark = "diffuse" not in self.images and not any(self.colors.get("diffuse", ())[:3])
        return self.images.get("diffuse") or (self.images.get("emission") if dark else None)

    @property
    def alpha(self) -> float:
        """Opacity without images; 1 where it says that nothing could be seen."""
        red, green, blue, alpha = (*self.colors.get("transparent", (1.0, 1.0, 1.0, 1.0)), 1.0, 1.0, 1.0, 1.0)[:4]
        if "transparent" not in self.colors and self.opaque.startswith("RGB"):
            return 1.0
        light = sum(share * value for share, value in zip(_BRIGHTNESS, (red, green, blue), strict=True))
        value = (light if self.opaque.startswith("RGB") else alpha) * self.transparency
        value = 1 - value if self.opaque.endswith("_ZERO") else value
        return min(value, 1.0) if value > _INVISIBLE else 1.0


class EffectReader:
    """Collects effects while the document is walked.

    Attributes:
        effects: Effects by id.
    """

    def __init__(self) -> None:
        self.effects: dict[str, Effect] = {}
        self._effect = Effect()
        self._parameter = ""

    def start(self, tag: str, attributes: Mapping[str, str], above: Sequence[str]) -> None:
        """Begin an element, `effect` or one inside it; `above` are those around it."""
        if tag == "effect":
            self._effect = self.effects[attributes.get("id", "")] = Effect()
        elif tag == "newparam":
            self._parameter = attributes.get("sid", "")
        elif tag == "texture":
            channel = next((name for name in _CHANNELS if name in above), "")
            if channel and "extra" not in above:
                self._effect.images.setdefault(channel, Reference(attributes.get("texture", ""), attributes.get("texcoord", "")))
        elif tag == "transparent":
            self._effect.opaque = attributes.get("opaque", "A_ONE")
        elif tag == "instance_image":
            self._effect.names[self._parameter] = attributes.get("url", "").removeprefix("#")

    def end(self, tag: str, text: str, above: Sequence[str]) -> None:
        """End an element inside an effect."""
        inside = above[-1] if above else ""
        if tag == "color" and inside in _CHANNELS:
            self._effect.colors[inside] = _numbers(text)
        elif tag == "float" and inside == "transparency":
            self._effect.transparency = (*_numbers(text), 1.0)[0]
        elif (inside, tag) in (("surface", "init_from"), ("sampler2D", "source")) and text.strip():
            self._effect.names[self._parameter] = text.strip()
        elif inside == "sampler2D" and tag in ("wrap_s", "wrap_t"):
            self._effect.wraps.setdefault(self._parameter, {})[tag] = _WRAPS.get(text.strip().upper(), "repeat")


def _numbers(text: str) -> tuple[float, ...]:
    found = []
    for word in text.replace(",", ".").split():
        value = float(word)
        found.append(value if math.isfinite(value) else 0.0)
    return tuple(found)
