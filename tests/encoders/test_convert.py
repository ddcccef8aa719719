"""Every layout of the same weights gives the same towers; anything else raises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, VisionConfig
from basrelief.encoders.convert import convert, convert_visual, layout_of
from basrelief.encoders.towers import empty_towers
from basrelief.errors import WeightsError
from support import parity_json

State = dict[str, Tensor]
Layout = Callable[[State], State]
B32 = ClipConfig(512, VisionConfig(224, 768, 12, 12, 32), TextConfig(512, 12, 8))
H14 = ClipConfig(1024, VisionConfig(224, 1280, 32, 16, 14), TextConfig(1024, 24, 16), "quick_gelu")


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def clip2point(state: State) -> State:
    visual = {n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.")}
    extras = {"weights": torch.ones(()), "selector.view_selector.views_azim": torch.zeros(10), "criterion.bank": torch.zeros(3)}
    return {**{f"point_model.{n}": t for n, t in visual.items()}, **{f"image_model.{n}": t + 1 for n, t in visual.items()}, **extras}


def test_openai_and_open_clip_names(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = encoder.towers.state_dict()
    assert same(convert(openai_layout(state), encoder.config), state)


def test_openai_extras_and_half_precision(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = encoder.towers.state_dict()
    half = {n: t.half() for n, t in openai_layout(state).items()}
    half |= {"input_resolution": torch.tensor(32), "context_length": torch.tensor(20), "vocab_size": torch.tensor(514)}
    found = convert(half, encoder.config)
    assert {t.dtype for t in found.values()} == {torch.float32}
    assert same(found, {n: t.half().float() for n, t in state.items()})


def test_a_resnet_keeps_its_names(resnet_encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = resnet_encoder.towers.state_dict()
    published = openai_layout(state)
    assert "visual.layer2.0.downsample.0.weight" in published
    assert "visual.attnpool.positional_embedding" in published
    assert same(convert(published, resnet_encoder.config), state)
    assert convert(published, resnet_encoder.config)["vision_model.bn1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("ids", [True, False])
def test_hugging_face_names(encoder: ClipEncoder, ids: bool) -> None:
    state = encoder.towers.state_dict()
    extra = {"vision_model.embeddings.position_ids": torch.arange(17)[None], "text_model.embeddings.position_ids": torch.arange(20)[None]}
    assert same(convert({**state, **(extra if ids else {})}, encoder.config), state)


def test_opendlign_names(tuned_encoder: ClipEncoder, opendlign_layout: Layout) -> None:
    state = tuned_encoder.towers.state_dict()
    assert same(convert(opendlign_layout(state), tuned_encoder.config), state)
    assert same(convert(state, tuned_encoder.config), state)


def test_clip2point_gives_an_image_tower(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = encoder.towers.state_dict()
    visual = {n: t for n, t in state.items() if n.startswith(("vision_model", "visual_projection"))}
    assert same(convert_visual(clip2point(openai_layout(state)), encoder.config), visual)
    assert same(convert_visual(openai_layout(state), encoder.config), visual)
    assert same(convert_visual(state, encoder.config), visual)


@pytest.mark.parametrize(("name", "config"), [("ViT-B-32", B32), ("ViT-H-14-quickgelu", H14)])
def test_the_recorded_opendlign_layouts_fit(name: str, config: ClipConfig) -> None:
    layout = parity_json("opendlign_state_dict_layouts.json")["layouts"][name]
    state = {key: torch.empty(shape, device="meta") for key, shape in layout.items()}
    found = convert(state, config)
    assert found.keys() == empty_towers(config, tuned=True).state_dict().keys()


def test_the_recorded_clip2point_layouts_fit_or_are_refused() -> None:
    layouts = parity_json("clip2point_state_dict_layouts.json")["layouts"]
    seen = {"pretraining": 0, "few-shot": 0}
    for title, layout in layouts.items():
        state = {key.replace("module.", ""): torch.empty(shape, device="meta") for key, shape in layout.items()}
        if title.startswith("pretraining"):
            assert {n.split(".")[0] for n in convert_visual(state, B32)} == {"vision_model", "visual_projection"}
            seen["pretraining"] += 1
        elif any(key.startswith("pre_model") for key in layout):
            with pytest.raises(WeightsError, match=r"These weights are a few-shot adapter \(adapter1"):
                convert_visual(state, B32)
            seen["few-shot"] += 1
    assert min(seen.values()) >= 1


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["visual.conv1.weight", "positional_embedding"], "openai"),
        (["vision_model.a", "text_model.b"], "huggingface"),
        (["clip_model.visual.a", "logit_scale"], "opendlign"),
        (["point_model.a", "image_model.a"], "clip2point"),
        (["backbone.a"], "unknown"),
        ([], "unknown"),
    ],
)
def test_layouts_are_distinguished(names: list[str], layout: str) -> None:
    assert layout_of(names) == layout


@pytest.mark.parametrize("top", ["adapter1.fusion_ratio", "pre_model.proj", "adapter.fc.weight"])
def test_an_adapter_is_no_encoder(top: str) -> None:
    with pytest.raises(
        WeightsError, match=r"few-shot adapter \(.*\), not an encoder\. Use the pre-training checkpoint, whose names start with point_model"
    ):
        layout_of([top, "selector.x"])


def test_clip2point_alone_is_not_both_towers(encoder: ClipEncoder, openai_layout: Layout) -> None:
    with pytest.raises(WeightsError, match=r"These weights are CLIP2Point's image tower alone\. Load plain CLIP first"):
        convert(clip2point(openai_layout(encoder.towers.state_dict())), encoder.config)


def test_unknown_names_are_listed(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = openai_layout(encoder.towers.state_dict())
    state |= {f"visual.extra.{i}": torch.zeros(1) for i in range(7)}
    message = (
        r"The weights do not fit the architecture; 7 unknown: visual\.extra\.0, visual\.extra\.1, visual\.extra\.2, "
        r"visual\.extra\.3, visual\.extra\.4 and 2 more \(layout looks like openai, \d+ tensors\)\. Check that the file belongs"
    )
    with pytest.raises(WeightsError, match=message):
        convert(state, encoder.config)


@pytest.mark.parametrize("odd", ["transformer.resblocks.0.attn.odd", "visual.transformer.resblocks.0.ls_1.gamma", "module"])
def test_an_unknown_name_is_shown_as_it_is(encoder: ClipEncoder, openai_layout: Layout, odd: str) -> None:
    with pytest.raises(WeightsError, match=rf"1 unknown: {odd} \(layout"):
        convert({**openai_layout(encoder.towers.state_dict()), odd: torch.zeros(3)}, encoder.config)


def test_an_unknown_hugging_face_name_is_shown(encoder: ClipEncoder) -> None:
    with pytest.raises(WeightsError, match=r"1 unknown: vision_model\.head\.weight \(layout looks like huggingface"):
        convert({**encoder.towers.state_dict(), "vision_model.head.weight": torch.zeros(3)}, encoder.config)


def test_missing_names_are_listed_by_our_names(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = openai_layout(encoder.towers.state_dict())
    del state["visual.proj"], state["ln_final.bias"]
    with pytest.raises(WeightsError, match=r"2 missing: text_model\.final_layer_norm\.bias, visual_projection\.weight \(layout"):
        convert(state, encoder.config)


def test_a_visual_tower_must_be_whole(encoder: ClipEncoder, openai_layout: Layout) -> None:
    state = clip2point(openai_layout(encoder.towers.state_dict()))
    del state["point_model.proj"]
    with pytest.raises(WeightsError, match=r"1 missing: visual_projection\.weight \(layout looks like clip2point"):
        convert_visual(state, encoder.config)
    state["point_model.proj"], state["point_model.odd"] = torch.zeros(32, 24), torch.zeros(1)
    with pytest.raises(WeightsError, match=r"1 unknown: visual\.odd"):
        convert_visual(state, encoder.config)


def test_nothing_at_all_is_missing_everything(encoder: ClipEncoder) -> None:
    with pytest.raises(WeightsError, match=r"missing: .* and \d+ more \(layout looks like unknown, 0 tensors\)"):
        convert({}, encoder.config)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("visual.proj", (32, 25), r"visual_projection\.weight has shape \(25, 32\); expected \(24, 32\)"),
        ("positional_embedding", (77, 16), r"position_embedding\.weight has shape \(77, 16\); expected \(20, 16\)"),
        ("transformer.resblocks.1.attn.in_proj_bias", (47,), r"_proj\.bias has shape \(15,\); expected \(16,\)"),
        ("transformer.resblocks.1.attn.in_proj_bias", (2,), r"1 missing: text_model\.encoder\.layers\.1\.self_attn\.v_proj\.bias"),
        ("visual.proj", (), r"visual_projection\.weight has shape \(\); expected \(24, 32\)"),
        ("text_projection", (16,), r"text_projection\.weight has shape \(16,\); expected \(24, 16\)"),
        ("transformer.resblocks.0.attn.in_proj_weight", (), r"k_proj\.weight has shape \(\); expected \(16, 16\)"),
    ],
)
def test_wrong_sizes_name_the_tensor_and_both_sizes(
    encoder: ClipEncoder, openai_layout: Layout, name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        convert({**openai_layout(encoder.towers.state_dict()), name: torch.zeros(shape)}, encoder.config)


def test_weights_of_another_architecture_do_not_load(resnet_encoder: ClipEncoder, encoder: ClipEncoder, openai_layout: Layout) -> None:
    with pytest.raises(
        WeightsError, match=r"The file is a ResNet of width 4, 5 blocks \(.*\); this model needs a ViT of width 32, patch 8, 3 blocks"
    ):
        convert(openai_layout(resnet_encoder.towers.state_dict()), encoder.config)
    with pytest.raises(WeightsError, match=r"The file is a ViT of width 32, patch 8, 3 blocks .* needs a ResNet of width 4, 5 blocks"):
        convert(openai_layout(encoder.towers.state_dict()), resnet_encoder.config)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.booleans())
def test_no_tensor_can_be_left_out(encoder: ClipEncoder, openai_layout: Layout, which: int, hugging_face: bool) -> None:
    own = encoder.towers.state_dict()
    state = dict(own) if hugging_face else openai_layout(own)
    del state[sorted(state)[which % len(state)]]
    with pytest.raises(WeightsError, match=r"[13] missing: "):
        convert(state, encoder.config)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8))
def test_no_tensor_can_be_renamed(encoder: ClipEncoder, openai_layout: Layout, which: int, ending: str) -> None:
    state = openai_layout(encoder.towers.state_dict())
    name = sorted(state)[which % len(state)]
    state[f"{name}_{ending}"] = state.pop(name)
    with pytest.raises(WeightsError, match=r"The weights do not fit the architecture; \d+ unknown: "):
        convert(state, encoder.config)
