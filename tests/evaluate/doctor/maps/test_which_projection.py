"""Which projection, axes, points and values a miniature is found to have been drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from basrelief.evaluate import diagnose_maps
from basrelief.evaluate.doctor.maps.report import MapDiagnosis
from basrelief.evaluate.doctor.maps.variants import AUTHORS, Orientation, Variant
from basrelief.render import get_projection, render_batch
from basrelief.render.reference import opendlign, opendlign_paper, pointclip_v2
from evaluate.doctor.conftest import levels, of

from .conftest import SIZE, Draw, Publish, channels

PAPER = Variant("opendlign-paper", "opendlign-30", 0.8)
V2 = Variant("pointclip-v2", "", 0.8)


def only(found: list[MapDiagnosis]) -> tuple[MapDiagnosis, Variant]:
    """The only diagnosis, and the best variant."""
    (diagnosis,) = found
    return diagnosis, diagnosis.comparison.scores[0].variant


def by(reference: ModuleType, name: str) -> Draw:
    """Draws by a slow reference implementation, for clouds with +Y up."""
    projection = get_projection(name, **({"image_size": SIZE} if name == "pointclip-v2" else {"size": SIZE}))
    turn = projection.frame @ Orientation("y").matrix
    return lambda points: projection.image(torch.from_numpy(reference.depth(points @ turn.T, projection))[None])[0].numpy()


@pytest.mark.parametrize(
    ("reference", "variant"), [(opendlign, Variant()), (opendlign_paper, PAPER), (pointclip_v2, V2)], ids=["program", "paper", "v2"]
)
def test_maps_by_a_reference_implementation(reference: ModuleType, variant: Variant, publish: Publish) -> None:
    home = publish(by(reference, variant.projection), labels=("chair", "airplane"), points=700)
    diagnosis, best = only(diagnose_maps(home))
    assert best == variant
    assert diagnosis.comparison.scores[0].agreement.within_rounding > 0.999
    found = of(diagnosis.findings, "projection")
    assert found.level == "ok"
    assert AUTHORS[variant.projection] in found.fact
    assert set(levels(diagnosis.findings).values()) == {"ok"}


@pytest.mark.parametrize(
    "variant",
    [
        Variant(orientation=Orientation("z")),
        Variant(orientation=Orientation("-x", 90)),
        Variant(orientation=Orientation("y", 270, mirrored=True)),
        Variant(ratio=0.8, orientation=Orientation("x", 180)),
        Variant(points=1024),
        Variant(points=1024, sampling="farthest"),
        Variant(median=True),
    ],
    ids=str,
)
def test_every_property_is_found(variant: Variant, publish: Publish) -> None:
    diagnosis, best = only(diagnose_maps(publish(variant)))
    assert best == variant
    assert set(levels(diagnosis.findings).values()) == {"ok"}
    assert all(other.error > 1e-4 for other in diagnosis.comparison.next_best.values())


@pytest.mark.slow
def test_random_points_agree_up_to_chance(publish: Publish) -> None:
    theirs = Variant(points=1024, sampling="random")
    home = publish(lambda points: theirs.draw(points, 112, seed=99), points=4000)
    diagnosis, best = only(diagnose_maps(home))
    assert replace(best, sampling="random") == theirs
    assert {of(diagnosis.findings, check).level for check in ("projection", "up axis", "scale")} == {"ok"}
    assert "so only the choice is unknown" in of(diagnosis.findings, "projection").fact
    assert of(diagnosis.findings, "points").fact.startswith("Drawn from an unknown choice of 1,024 points. Next best: ")


def test_another_order_of_the_views_is_found(publish: Publish) -> None:
    home = publish(lambda points: np.roll(Variant().draw(points, SIZE), 3, axis=0))
    diagnosis, best = only(diagnose_maps(home))
    assert best == Variant()
    assert diagnosis.comparison.scores[0].order == (7, 8, 9, 0, 1, 2, 3, 4, 5, 6)
    assert of(diagnosis.findings, "view order").level == "warning"
    assert "starting with view 7" in of(diagnosis.findings, "view order").fact


@pytest.mark.parametrize(
    ("store", "rounding"),
    [
        (lambda maps: channels((maps * 255).astype(np.uint8)), "cut off"),
        (lambda maps: channels((maps * 255).round().astype(np.uint8)), "rounded"),
        (lambda maps: channels(((1 - maps) * 255).astype(np.uint8)), "cut off"),
        (lambda maps: (maps * 255).round() / 255, "rounded"),
    ],
)
def test_8_bits_are_found(store: Callable[[np.ndarray], np.ndarray], rounding: str, publish: Publish) -> None:
    diagnosis, best = only(diagnose_maps(publish(Variant(), store=store)))
    assert best == Variant()
    assert of(diagnosis.findings, "projection").level == "ok"
    (form, count), *others = diagnosis.comparison.formats
    assert (form.levels, count, others) == (True, 3, [])
    assert any(rounding in finding.fact for finding in diagnosis.findings if finding.check == "storage")


def test_inverted_maps_are_found(publish: Publish) -> None:
    diagnosis, best = only(diagnose_maps(publish(Variant(), store=lambda maps: channels(1 - maps).astype(np.float64))))
    assert best == Variant()
    assert any("Near is bright" in finding.fact and finding.level == "warning" for finding in diagnosis.findings)


def test_a_colour_map_of_the_depth_is_recognised(publish: Publish) -> None:
    def colored(maps: np.ndarray) -> np.ndarray:
        rainbow = np.stack([maps, 1 - np.abs(2 * maps - 1), 1 - maps], axis=-1)
        return np.where(maps[..., None] < 1, rainbow, 0)

    diagnosis, best = only(diagnose_maps(publish(Variant(), store=colored)))
    assert best == Variant()
    assert "a colour map of the depth" in of(diagnosis.findings, "colour").fact


def test_other_colours_are_no_colour_map(publish: Publish) -> None:
    def colored(maps: np.ndarray) -> np.ndarray:
        return np.where(maps[..., None] < 1, np.random.default_rng(0).random((*maps.shape, 3)), 1)

    diagnosis, _ = only(diagnose_maps(publish(Variant(), store=colored)))
    assert "they show something else" in of(diagnosis.findings, "colour").fact


def test_an_unknown_projection_is_said_to_be_unknown(publish: Publish) -> None:
    discs = get_projection("discs")
    turn = Orientation("y").matrix

    def draw(points: np.ndarray) -> np.ndarray:
        return render_batch([points @ turn.T], discs)[0].numpy()

    diagnosis, best = only(diagnose_maps(publish(draw, labels=("chair", "mug"))))
    found = of(diagnosis.findings, "projection")
    assert found.level == "wrong"
    assert "None of the known variants agrees. Nearest: " in found.fact
    assert best.projection in found.fact
    assert "--sheet" in found.remedy
    assert not {"up axis", "points", "scale"} & set(levels(diagnosis.findings))


def test_a_round_shape_does_not_tell_its_turns_apart(publish: Publish) -> None:
    """A ring of evenly spaced points, turned by 90 degrees, is the same ring."""
    home = publish(Variant(), labels=("mug",), points=1)
    angles = np.arange(720) * np.pi / 360
    rings = [np.stack([r * np.cos(angles), np.full(720, h), r * np.sin(angles)], axis=1) for r, h in ((1, 0), (0.5, 2), (0.7, 1))]
    ring = np.concatenate(rings).astype(np.float32)
    np.save(home / "points" / "0000.npy", ring)
    np.save(home / "depth_map" / "0000+mug_dm.npy", channels((Variant().draw(ring, SIZE) * 255).astype(np.uint8)))
    diagnosis, _ = only(diagnose_maps(home))
    found = of(diagnosis.findings, "up axis")
    assert found.level == "warning"
    assert "Next best: up axis y, turned by " in found.fact
    assert found.remedy.startswith("These are hardly told apart")
