"""Parity with recorded outputs of open_clip, OpenDlign and CLIP2Point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.datasets import templates
from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from basrelief.encoders.clip import NO_MEAN, NO_STD
from basrelief.encoders.convert import convert
from basrelief.encoders.towers import towers_from_state
from support import parity_arrays
from support.recorded_encoders import config_of, meta, recorded_opendlign

Arrays = dict[str, np.ndarray]
TOWERS = ("vit_gelu", "vit_quickgelu", "resnet")


def close(found: Tensor, expected: np.ndarray, atol: float = 5e-5) -> None:
    torch.testing.assert_close(found, torch.from_numpy(np.asarray(expected)), atol=atol, rtol=0)


@pytest.fixture(scope="module")
def towers_arrays() -> Arrays:
    return parity_arrays("clip_towers_small.npz")


@pytest.fixture(scope="module")
def opendlign_arrays() -> Arrays:
    return parity_arrays("opendlign_small.npz")


def small_towers(arrays: Arrays, name: str, tokenizer: Tokenizer) -> ClipEncoder:
    state = {key.removeprefix(f"{name}/sd/"): torch.from_numpy(a) for key, a in arrays.items() if key.startswith(f"{name}/sd/")}
    rows = state["token_embedding.weight"].float()
    state["token_embedding.weight"] = torch.zeros(49408, rows.shape[1]).index_copy(
        0, torch.from_numpy(arrays[f"{name}/token_embedding_rows"]).long(), rows
    )
    record = meta(arrays)["configs"][name]
    config = config_of(record, quick=record["quick_gelu"])
    return ClipEncoder(towers_from_state(config, convert(state, config)), tokenizer, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", TOWERS)
def test_open_clip_towers(towers_arrays: Arrays, clip_tokenizer: Tokenizer, name: str) -> None:
    encoder = small_towers(towers_arrays, name, clip_tokenizer)
    image = encoder.encode_images(torch.from_numpy(towers_arrays[f"{name}/image"]))
    close(image, towers_arrays[f"{name}/image_features"])
    with torch.no_grad():
        words = encoder.towers.text_features(torch.from_numpy(towers_arrays["token_ids"]).long())
    close(words, towers_arrays[f"{name}/text_features"])
    logits = encoder.logit_scale * F.normalize(image, dim=-1) @ F.normalize(words, dim=-1).T
    close(logits, towers_arrays[f"{name}/logits_per_image"])


@pytest.mark.parametrize("name", TOWERS)
def test_text_cut_at_its_longest_prompt_is_exact(towers_arrays: Arrays, clip_tokenizer: Tokenizer, name: str) -> None:
    texts = [t for t in meta(towers_arrays)["texts"] if t]
    expected = towers_arrays[f"{name}/text_features"][: len(texts)]
    close(small_towers(towers_arrays, name, clip_tokenizer).encode_text(texts), expected)


def test_token_ids(towers_arrays: Arrays, clip_tokenizer: Tokenizer) -> None:
    expected = torch.from_numpy(towers_arrays["token_ids"]).long()
    ids = clip_tokenizer.encode(meta(towers_arrays)["texts"], context_length=77)
    assert torch.equal(F.pad(ids, (0, 77 - ids.shape[1])), expected)


def pictures(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).movedim(-1, -3).float() / 255


def pooled(features: Tensor) -> Tensor:
    return F.normalize(F.normalize(features, dim=-1).mean(dim=-2), dim=-1)


@pytest.mark.parametrize("act", ["gelu", "quick"])
def test_opendlign_image_branches(opendlign_arrays: Arrays, clip_tokenizer: Tokenizer, act: str) -> None:
    encoder = recorded_opendlign(opendlign_arrays, act, clip_tokenizer)
    depth, rgb = pictures(opendlign_arrays["depth_uint8"]), pictures(opendlign_arrays["rgb_uint8"])
    frozen, tuned = encoder.encode_both(depth[0])
    close(frozen, opendlign_arrays[f"{act}/encode_image_rgb_branch"])
    close(frozen, opendlign_arrays[f"{act}/encode_image_empty"])
    close(tuned, opendlign_arrays[f"{act}/encode_image_depth_branch"])
    views = depth.shape[:2]
    everything = torch.ones(views.numel(), dtype=torch.bool)
    close(
        pooled(encoder.encode_images(depth.flatten(0, 1), tuned=everything).unflatten(0, views)), opendlign_arrays[f"{act}/feature_A_depth"]
    )
    close(pooled(encoder.encode_images(rgb.flatten(0, 1)).unflatten(0, views)), opendlign_arrays[f"{act}/feature_B_rgb"])
    assert encoder.logit_scale == pytest.approx(float(opendlign_arrays[f"{act}/logit_scale_exp"]), rel=1e-6)


@pytest.mark.parametrize("act", ["gelu", "quick"])
def test_opendlign_before_training(opendlign_arrays: Arrays, clip_tokenizer: Tokenizer, act: str) -> None:
    encoder = recorded_opendlign(opendlign_arrays, act, clip_tokenizer)
    encoder.towers.add_tuned_blocks()
    close(encoder.encode_both(pictures(opendlign_arrays["depth_uint8"])[0])[1], opendlign_arrays[f"{act}/after_copy_depth_branch"])


@pytest.mark.parametrize("act", ["gelu", "quick"])
def test_opendlign_zero_shot(opendlign_arrays: Arrays, clip_tokenizer: Tokenizer, act: str) -> None:
    encoder = recorded_opendlign(opendlign_arrays, act, clip_tokenizer)
    depth = pictures(opendlign_arrays["zs_depth_uint8"])
    shapes, views = depth.shape[:2]
    tuned = (torch.arange(views) >= 5).repeat(shapes)
    image = F.normalize(encoder.encode_images(depth.flatten(0, 1), tuned=tuned), dim=-1)
    cosines = image @ torch.from_numpy(opendlign_arrays["zs_text_features"]).T
    summed = cosines.softmax(-1).unflatten(0, (shapes, views)).sum(1)
    close(summed, opendlign_arrays[f"{act}/zs_summed_softmax"])
    ranks = summed.argsort(dim=-1, descending=True)
    hits = ranks == torch.from_numpy(opendlign_arrays["zs_ground_truth"])[:, None]
    assert [int(hits[:, :k].sum()) for k in (1, 3, 5)] == opendlign_arrays[f"{act}/zs_top135_counts"].tolist()


@pytest.mark.parametrize("act", ["gelu", "quick"])
def test_opendlign_text(opendlign_arrays: Arrays, clip_tokenizer: Tokenizer, act: str) -> None:
    encoder = recorded_opendlign(opendlign_arrays, act, clip_tokenizer)
    texts = templates("opendlign")
    labels = meta(opendlign_arrays)["settings"]["text_labels"]
    prompts = [text.format(label, label) for label in labels for text in texts]
    ids = clip_tokenizer.encode(prompts, context_length=77)
    recorded = torch.from_numpy(opendlign_arrays["text_tokens"]).long().flatten(0, 1)
    assert torch.equal(F.pad(ids, (0, 77 - ids.shape[1])), recorded)
    features = encoder.encode_text(prompts)
    close(features[:8], opendlign_arrays[f"{act}/encode_text_first8"])
    close(pooled(features.unflatten(0, (len(labels), len(texts)))), opendlign_arrays[f"{act}/text_features_from_templates"])


@pytest.mark.parametrize("act", ["gelu", "quick"])
def test_opendlign_gradients(opendlign_arrays: Arrays, clip_tokenizer: Tokenizer, act: str) -> None:
    """One training step's loss and gradients through the same module: contrastive plus mean squared error of the pooled views."""
    encoder = recorded_opendlign(opendlign_arrays, act, clip_tokenizer)
    encoder.towers.requires_grad_(False)
    for parameter in encoder.towers.tuned_parameters():
        parameter.requires_grad_(True)
    depth, rgb = pictures(opendlign_arrays["depth_uint8"]), pictures(opendlign_arrays["rgb_uint8"])
    views = depth.shape[:2]
    everything = torch.ones(views.numel(), dtype=torch.bool)
    a = pooled(encoder.towers.image_features(encoder.prepare(depth.flatten(0, 1)), tuned=everything).unflatten(0, views))
    b = pooled(encoder.encode_images(rgb.flatten(0, 1)).unflatten(0, views))
    logits, target = encoder.logit_scale * a @ b.T, torch.arange(len(a))
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2 + F.mse_loss(a, b)
    recorded = {
        key.rpartition("resblocks.0.attn.")[2]: value for key, value in opendlign_arrays.items() if key.startswith(f"{act}/grad_step0")
    }
    close(loss.detach(), opendlign_arrays[f"{act}/train_loss_step0"], 1e-5)
    loss.backward()
    attention = encoder.towers.get_submodule("tuned_blocks.0.self_attn")
    for kind in ("weight", "bias"):
        found = torch.cat([attention.get_parameter(f"{p}_proj.{kind}").grad for p in "qkv"])
        expected = torch.from_numpy(recorded[f"in_proj_{kind}"])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(
            attention.get_parameter(f"out_proj.{kind}").grad, torch.from_numpy(recorded[f"out_proj.{kind}"]), atol=1e-6, rtol=1e-4
        )


def test_pointclip_visual_tower_without_mean_and_std(clip_tokenizer: Tokenizer, tmp_path: Path) -> None:
    arrays = parity_arrays("pointclip_logits.npz")
    state = {f"visual.{key.removeprefix('visual/')}": torch.from_numpy(a) for key, a in arrays.items() if key.startswith("visual/")}
    torch.save(state, tmp_path / "visual.pt")
    config = ClipConfig(32, VisionConfig(224, 64, 2, 4, 32), TextConfig(16, 1, 1, vocab_size=514), "quick_gelu")
    encoder = random_encoder(config).load_visual(tmp_path / "visual.pt").with_preprocessing(NO_MEAN, NO_STD)
    close(encoder.encode_images(torch.from_numpy(arrays["fs_images"])), arrays["fs_visual_feat"])


def test_clip2point_visual_tower(tmp_path: Path) -> None:
    """The published layout through a file, and the recorded training loss, which needs both of its image towers."""
    arrays = parity_arrays("clip2point_forward.npz")
    state = {f"module.{key.removeprefix('sd/')}": torch.from_numpy(a) for key, a in arrays.items() if key.startswith("sd/")}
    torch.save(state, tmp_path / "best_eval.pth")
    config = ClipConfig(32, VisionConfig(224, 64, 2, 4, 32), TextConfig(16, 1, 1, vocab_size=514), "quick_gelu")
    depth_encoder, image_encoder = random_encoder(config), random_encoder(config)
    depth_encoder.load_visual(tmp_path / "best_eval.pth")
    other = {name.replace("image_model", "point_model"): t for name, t in state.items() if "image_model" in name}
    torch.save(other, tmp_path / "image.pth")
    image_encoder.load_visual(tmp_path / "image.pth")

    raw = torch.from_numpy(arrays["zbuf"]).flatten(0, 1)
    most = raw.amax((1, 2), keepdim=True)
    filled = raw.where(raw > 0, torch.ones(()))
    picture = ((filled - filled.amin((1, 2), keepdim=True)) / most * 200 / 255).where(raw > 0, torch.ones(()))
    first, second = depth_encoder.encode_images(picture).unflatten(0, (-1, 2)).unbind(1)
    image = image_encoder.encode_images(pictures(arrays["image_uint8"]))
    weight = float(state["module.weights"])
    depth_loss, image_loss = nt_xent(first, second), nt_xent((first + second) / 2, image)
    assert depth_loss == pytest.approx(float(arrays["depth_loss"]), abs=2e-4)
    assert image_loss == pytest.approx(float(arrays["image_loss"]), abs=2e-4)
    assert image_loss + depth_loss / weight**2 + np.log(weight + 1) == pytest.approx(float(arrays["loss"]), abs=5e-4)


def nt_xent(a: Tensor, b: Tensor, temperature: float = 0.07) -> float:
    both = F.normalize(torch.cat([a, b]), dim=-1)
    logits = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(both)).roll(len(a))
    return float(F.cross_entropy(logits, partner))


def test_clip2point_zero_shot_rule() -> None:
    arrays = parity_arrays("clip2point_forward.npz")
    text = F.normalize(torch.from_numpy(arrays["text_features"]), dim=-1)
    found = []
    for rotated in (0, 1):
        image = F.normalize(torch.from_numpy(arrays[f"infer_rot{rotated}"]), dim=-1)
        found.append((image @ text.T).unflatten(0, (4, -1)).sum(1))
    gaps = [float((logits - torch.from_numpy(arrays["zeroshot_logits"])).abs().max()) for logits in found]
    assert min(gaps) < 1e-5
