"""Image towers told apart by their weights, in every layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipEncoder, encoder_spec
from basrelief.encoders.architecture import ImageTower, check_tower, tower_in, tower_of
from basrelief.errors import WeightsError

Layout = Callable[[dict[str, Tensor]], dict[str, Tensor]]
SMALL = ImageTower(32, 8, 3)


def test_every_layout_of_a_vision_transformer(tuned_encoder: ClipEncoder, openai_layout: Layout, opendlign_layout: Layout) -> None:
    own = tuned_encoder.towers.state_dict()
    published = opendlign_layout(own)
    clip2point = {name.replace("clip_model.visual.", "point_model."): tensor for name, tensor in published.items()}
    for state in (own, openai_layout(own), published, clip2point):
        assert tower_of(state) == SMALL == tower_in(tuned_encoder.config.vision)


def test_every_layout_of_a_resnet(resnet_encoder: ClipEncoder, openai_layout: Layout) -> None:
    own = resnet_encoder.towers.state_dict()
    assert tower_of(own) == tower_of(openai_layout(own)) == tower_in(resnet_encoder.config.vision) == ImageTower(4, 0, 5, "resnet")


def test_names_are_not_looked_for_inside_names() -> None:
    conv = torch.zeros(4, 3, 2, 2)
    assert tower_of({"teacher.visual.conv1.weight": conv}) is None
    assert tower_of({"criterion.point_model.conv1.weight": conv}) is None
    assert tower_of({"visual.conv1.weight": torch.zeros(4)}) is None
    assert tower_of({"text_projection": conv, "logit_scale": conv}) is None


def test_known_architectures_have_names() -> None:
    assert tower_in(encoder_spec("ViT-H-14/dfn5b").config.vision).known_as == "ViT-H-14"
    assert tower_in(encoder_spec("RN50/openai").config.vision).known_as == "RN50"
    assert SMALL.known_as == ""
    assert str(SMALL) == "a ViT of width 32, patch 8, 3 blocks"


def test_the_message_names_both_towers() -> None:
    state = {"visual.conv1.weight": torch.zeros(768, 3, 16, 16)}
    state |= {f"visual.transformer.resblocks.{i}.ln_1.weight": torch.zeros(4) for i in range(12)}
    message = (
        r"best\.pt is a ViT of width 768, patch 16, 12 blocks \(ViT-B-16\); this model needs a ViT of width 1280, patch 14, 32 blocks "
        r"\(ViT-H-14\)\. Choose the model with this backbone, or download the weights of that one\."
    )
    with pytest.raises(WeightsError, match=message):
        check_tower(state, encoder_spec("ViT-H-14/dfn5b").config.vision, source="best.pt")
    check_tower(state, encoder_spec("ViT-B-16/openai").config.vision, source="best.pt")
    check_tower({"a": torch.zeros(1)}, encoder_spec("ViT-B-16/openai").config.vision, source="best.pt")
