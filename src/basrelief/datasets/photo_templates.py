"""The 80 photo templates of CLIP, and OpenDlign's depth wording of them, composed from their parts.

CLIP (Radford et al. 2021, arXiv:2103.00020) lists 80 templates for ImageNet. They are every combination of one article
with one way to say "photo", one art, one look, one material or a video game, and four odd ones:
(12 + 11 + 8 + 6 + 1) x {a, the} + 4 = 80. The list's own order is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_TONES = ("", "good", "bad", "bright", "dark", "blurry", "cropped", "close-up", "pixelated", "low resolution", "jpeg corrupted")
_ARTS = ("doodle", "drawing", "painting", "rendering", "rendition", "sculpture", "sketch", "tattoo")
_LOOKS = ("clean", "cool", "dirty", "hard to see", "large", "nice", "small", "weird")
_MATERIALS = ("cartoon", "embroidered", "origami", "plastic", "plushie", "toy")

# Which combination stands at each place of the published list.
_ORDER = (
    *(2, 76, 20, 64, 47, 18, 13, 40, 44, 22, 70, 26, 3, 23, 25, 42, 16, 77, 72, 62, 7, 49, 55, 17, 46, 58, 41),
    *(6, 34, 63, 10, 43, 38, 39, 56, 37, 78, 15, 45, 0, 71, 75, 21, 53, 33, 9, 74, 57, 61, 27, 19, 28, 30, 5, 31),
    *(12, 59, 32, 8, 52, 48, 1, 35, 66, 67, 68, 69, 50, 54, 65, 11, 73, 4, 14, 51, 36, 79, 24, 29, 60),
)


class _Scene(NamedTuple):
    """A picture of a thing: `a bad photo` of `the` `dirty` {} `in a video game`."""

    medium: str
    article: str
    look: str = ""
    setting: str = ""


def _combinations() -> Iterator[_Scene]:
    for article in ("a", "the"):
        yield from (_Scene(f"a {tone} photo".replace("  ", " "), article) for tone in (*_TONES, "black and white"))
        yield from (_Scene(art, article) for art in ("art", "graffiti", "itap", *(f"a {art}" for art in _ARTS)))
        yield from (_Scene("a photo", article, look) for look in _LOOKS)
        yield from (_Scene("", article, material) for material in _MATERIALS)
        yield _Scene("", article, setting="in a video game")
    yield from (_Scene("a photo", article) for article in ("many", "my", "one"))
    yield _Scene("itap", "my")


def _scenes() -> tuple[_Scene, ...]:
    scenes = tuple(_combinations())
    return tuple(scenes[i] for i in _ORDER)


def _phrase(scene: _Scene) -> str:
    words = (scene.medium, "of" if scene.medium else "", scene.article, scene.look, "{}", scene.setting)
    return " ".join(word for word in words if word)


def photo_templates() -> tuple[str, ...]:
    """Compose CLIP's 80 photo templates, e.g. `a bad photo of a {}.`, in the published order."""
    return tuple(f"{_phrase(scene)}." for scene in _scenes())


def depth_templates(*, slip: bool = False) -> tuple[str, ...]:
    """Compose OpenDlign's 80 depth templates (Mao et al. 2024, arXiv:2404.16538), in the published order.

    Each says a photo template in the words of a depth image and adds an ending; both parts hold the label. Where the
    published list is not regular, the exception goes by its place.

    Args:
        slip: Keep the `, 3D` at the end of one template of the list for ScanObjectNN.
    """
    return tuple(_depth_template(i, scene, slip=slip) for i, scene in enumerate(_scenes()))


def _depth_template(place: int, scene: _Scene, *, slip: bool) -> str:
    outline = "a rough {} object in the middle" if 53 <= place <= 78 else "a silhouette of a {}"
    last = ", 3D" if slip and place == 16 else ""
    return f"{_depth_phrase(place, scene)}, {outline}, a raytraced image, image dataset, kinetic pointillism{last}."


def _depth_phrase(place: int, scene: _Scene) -> str:
    article = scene.article.replace("many", "a")
    plain = not scene.look and article in ("a", "the")
    thing = "{} 2D model" if plain and 12 <= place <= 45 else "{} 3D model"
    look = "gray" if plain and place != 21 else scene.look
    setting = "with white background" if plain and article == "a" else ""
    return _phrase(_Scene(_depth_medium(place, scene.medium), article, look, setting)).replace("{}", thing)


def _depth_medium(place: int, medium: str) -> str:
    if place == 79:
        return "a sketch"
    if medium == "a photo" and place not in (19, 29, 32, 36):
        medium = "a noisy photo"
    return medium.replace("photo", "depth image").replace("black", "gray")
