"""The 64 templates of ULIP, composed from their parts."""

from __future__ import annotations

from collections.abc import Iterator

_LOOKS = ("nice", "cool", "weird", "small", "large", "clean", "dirty")
_TONES = ("low resolution", "cropped", "close-up", "jpeg corrupted", "blurry", "pixelated")
_MATERIALS = ("plastic", "toy", "plushie", "cartoon")
_WITHOUT_STOP = "a black and white photo of a {}"


def ulip_templates() -> tuple[str, ...]:
    """Compose ULIP's 64 templates (Xue et al. 2023, arXiv:2212.05171), in the published order; one lacks its full stop.

    ULIP-2, OpenShape, TAMM and Uni3D use the same list.
    """
    return tuple(phrase if phrase == _WITHOUT_STOP else f"{phrase}." for phrase in _phrases())


def _phrases() -> Iterator[str]:
    both = ("a", "the")
    yield "a point cloud model of {}"
    yield from (f"There is {article} {{}} in the scene" for article in both)
    yield from (f"a photo of {article} {{}} in the scene" for article in (*both, "one"))
    yield from (f"itap of {article} {{}}" for article in ("a", "my", "the"))
    yield from (f"a photo of {article} {{}}" for article in ("a", "my", "the", "one", "many"))
    yield from (f"a {tone} photo of {article} {{}}" for tone in ("good", "bad") for article in both)
    yield from (f"a photo of {article} {look} {{}}" for look in _LOOKS for article in both)
    yield from (f"a {tone} photo of {article} {{}}" for tone in ("bright", "dark") for article in both)
    yield from (f"a photo of {article} hard to see {{}}" for article in both)
    yield from (f"a {tone} photo of {article} {{}}" for tone in _TONES for article in both)
    yield from (f"a black and white photo of {article} {{}}" for article in ("the", "a"))
    yield from (f"{article} {material} {{}}" for material in _MATERIALS for article in both)
    yield from (f"{article} embroidered {{}}" for article in ("an", "the"))
    yield from (f"a painting of {article} {{}}" for article in ("the", "a"))
