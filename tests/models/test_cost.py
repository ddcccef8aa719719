"""What models cost: counts that are known from elsewhere, and times that are measured."""

from __future__ import annotations

import json

import pytest

import basrelief as br
from basrelief.encoders import encoder_spec
from basrelief.encoders.points.registry import list_point_networks, network_spec
from basrelief.errors import ConfigError
from basrelief.models import get_recipe, model_cost, recipes
from basrelief.models.cost import point_costs


def saved(name: str) -> int:
    """What CLIP spends in its last block on tokens that nobody reads: queries, output, perceptron and attention."""
    vision = encoder_spec(get_recipe(name).encoder).config.vision
    others, width = (vision.image_size // (vision.patch_size or 1)) ** 2, vision.width
    return others * (10 * width**2 + 2 * (others + 1) * width)


@pytest.mark.parametrize(
    ("name", "tower", "multiply_adds"),
    [
        ("pointclip-b32", 87.85e6, 4.41e9),
        ("pointclip-v2", 86.19e6, 17.56e9),
        ("opendlign-untuned", 632.08e6, 167.3e9),
        ("pointclip", 38.32e6, None),
    ],
)
def test_counts_are_those_of_clip(name: str, tower: float, multiply_adds: float | None) -> None:
    found = model_cost(name)
    assert found.parameters == pytest.approx(tower, rel=1e-3)
    if multiply_adds is not None:
        assert found.multiply_adds / found.views == pytest.approx(multiply_adds - saved(name), rel=0.01)


@pytest.mark.parametrize(("name", "tuned"), [("opendlign-b16", "pointclip-v2"), ("opendlign-h14", "opendlign-untuned")])
def test_a_tuned_block_adds_one_block(name: str, tuned: str) -> None:
    width = 768 if "b16" in name else 1280
    assert model_cost(name).parameters - model_cost(tuned).parameters == pytest.approx(12 * width**2, rel=0.02)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_can_be_counted(name: str) -> None:
    found = model_cost(name)
    assert found.name == name
    assert found.points == get_recipe(name).points
    assert found.parameters > 0
    assert found.text_parameters > 0
    assert found.views in ((1, 2) if get_recipe(name).cloud else (6, 10, 12, 20))
    assert found.draw_ms is None


def test_time_is_measured_where_the_weights_are() -> None:
    found = model_cost(br.load_model("tiny", device="cpu", dtype="float32"), repeats=2)
    assert found.draw_ms is not None
    assert found.encode_ms is not None
    assert 0 < found.draw_ms < 10_000
    assert 0 < found.encode_ms < 10_000
    assert found.parameters == model_cost("tiny").parameters


def test_an_unknown_model_is_explained() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        model_cost("tinny")


def test_costs_are_records() -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(model_cost("tiny"))))["views"] == 10


def test_counts_of_point_networks_are_those_of_the_networks() -> None:
    known = point_costs()
    assert set(known) == set(list_point_networks())
    for name, record in known.items():
        network = network_spec(name).empty()
        assert record["parameters"] == sum(parameter.numel() for parameter in network.parameters()), name
        assert record["views"] == network.views, name
