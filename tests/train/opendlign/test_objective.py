"""The alignment: losses, gradients, two steps and the schedule of the original code; closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder, Tokenizer
from basrelief.train.opendlign.objective import alignment_losses, alignment_optimiser, pool_features
from support import parity_arrays, parity_path
from support.recorded_encoders import recorded_opendlign

ACTS = ("gelu", "quick")
NAMES = "clip_model.visual.transformer.depth_control_visual.resblocks.0.attn."


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return parity_arrays("opendlign_small.npz")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(parity_path("bpe_simple_vocab_16e6.txt.gz"))


def pictures(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).movedim(-1, -3).float() / 255


def features(encoder: ClipEncoder, images: Tensor, *, tuned: bool) -> Tensor:
    """Features of (B, V) pictures, with a gradient."""
    flat = encoder.prepare(images.flatten(0, 1))
    rows = torch.full((len(flat),), tuned)
    return encoder.towers.image_features(flat, tuned=rows if tuned else None).view(*images.shape[:2], -1)


def learned(encoder: ClipEncoder) -> list[torch.nn.Parameter]:
    """The attention of the tuned block alone."""
    encoder.towers.requires_grad_(False)
    return [parameter.requires_grad_() for parameter in encoder.towers.tuned_parameters()]


def losses(encoder: ClipEncoder, arrays: dict[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    depth = features(encoder, pictures(arrays["depth_uint8"]), tuned=True)
    rgb = features(encoder, pictures(arrays["rgb_uint8"]), tuned=False)
    return alignment_losses(depth, rgb, logit_scale=encoder.towers.logit_scale.exp())


def joined(encoder: ClipEncoder, kind: str, *, gradient: bool) -> Tensor:
    """Query, key and value one after another, as the original keeps them."""
    assert encoder.towers.tuned_blocks is not None
    attention = encoder.towers.tuned_blocks.get_submodule("0.self_attn")
    parts = [attention.get_submodule(f"{part}_proj").get_parameter(kind) for part in "qkv"]
    return torch.cat([part.grad if gradient and part.grad is not None else part.detach() for part in parts])


@pytest.mark.parametrize("act", ACTS)
def test_losses_are_the_originals(act: str, arrays: dict[str, np.ndarray], tokenizer: Tokenizer) -> None:
    encoder = recorded_opendlign(arrays, act, tokenizer)
    depth, rgb = (torch.from_numpy(arrays[f"{act}/{name}"])[:, None] for name in ("feature_A_depth", "feature_B_rgb"))
    found = alignment_losses(depth, rgb, logit_scale=encoder.towers.logit_scale.exp().detach())
    assert found.contrast.item() == pytest.approx(float(arrays[f"{act}/loss_A_B"]), rel=1e-4)
    assert found.distance.item() == pytest.approx(float(arrays[f"{act}/mse_loss"]), rel=1e-4)
    assert found.total.item() == pytest.approx(float(arrays[f"{act}/train_loss_step0"]), rel=1e-4)


@pytest.mark.parametrize("act", ACTS)
def test_gradients_are_the_originals(act: str, arrays: dict[str, np.ndarray], tokenizer: Tokenizer) -> None:
    encoder = recorded_opendlign(arrays, act, tokenizer)
    learned(encoder)
    losses(encoder, arrays)[0].backward()
    for kind in ("weight", "bias"):
        expected = torch.from_numpy(arrays[f"{act}/grad_step0/{NAMES}in_proj_{kind}"])
        torch.testing.assert_close(joined(encoder, kind, gradient=True), expected, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("act", ACTS)
def test_two_steps_are_the_originals(act: str, arrays: dict[str, np.ndarray], tokenizer: Tokenizer) -> None:
    encoder = recorded_opendlign(arrays, act, tokenizer)
    optimiser, schedule = alignment_optimiser(learned(encoder), steps=70)
    seen = []
    for _ in range(2):
        optimiser.zero_grad()
        total = losses(encoder, arrays)[0]
        total.backward()
        optimiser.step()
        schedule.step()
        seen.append(total.item())
    assert seen == pytest.approx([float(arrays[f"{act}/train_loss_step{i}"]) for i in range(2)], rel=1e-4)
    width = encoder.config.vision.width
    for kind in ("weight", "bias"):
        expected = torch.from_numpy(arrays[f"{act}/param_after_2_steps/{NAMES}in_proj_{kind}"])
        found = joined(encoder, kind, gradient=False)
        keys = torch.zeros(len(found), dtype=torch.bool)
        keys[width : 2 * width] = kind == "bias"  # softmax does not see a bias of the keys: their gradient is rounding
        torch.testing.assert_close(found[~keys], expected[~keys], rtol=0, atol=2e-6)
        torch.testing.assert_close(found[keys], expected[keys], rtol=0, atol=4e-5)


def test_the_schedule_is_the_originals(arrays: dict[str, np.ndarray]) -> None:
    optimiser, schedule = alignment_optimiser([torch.nn.Parameter(torch.zeros(1))], steps=70)
    for rate, beta in arrays["onecycle_lr_beta1_70steps"]:
        group = optimiser.param_groups[0]
        assert (group["lr"], group["betas"][0]) == pytest.approx((rate, beta), rel=1e-6)
        assert group["betas"][1] == 0.98
        optimiser.step()
        if schedule.last_epoch < 69:
            schedule.step()


def test_equal_features_have_no_distance_and_the_contrast_of_their_cosines() -> None:
    same = F.normalize(torch.eye(4, 8), dim=-1)[:, None]
    found = alignment_losses(same, same, logit_scale=torch.tensor(2.0))
    assert found.distance.item() == pytest.approx(0, abs=1e-12)
    assert found.contrast.item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 3)), rel=1e-6)


def test_the_contrast_by_loops() -> None:
    depth, rgb = torch.randn(3, 2, 5, dtype=torch.float64), torch.randn(3, 2, 5, dtype=torch.float64)
    one, other = pool_features(depth).tolist(), pool_features(rgb).tolist()
    cosines = [[3.0 * sum(a * b for a, b in zip(x, y, strict=True)) for y in other] for x in one]

    def cost(rows: list[list[float]]) -> float:
        return sum(math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(rows)) / len(rows)

    turned = [list(column) for column in zip(*cosines, strict=True)]
    found = alignment_losses(depth, rgb, logit_scale=torch.tensor(3.0, dtype=torch.float64))
    assert found.contrast.item() == pytest.approx((cost(cosines) + cost(turned)) / 2)


def test_views_count_by_direction_not_by_length() -> None:
    views = torch.randn(2, 3, 6)
    longer = views * torch.tensor([1.0, 50.0, 0.01])[None, :, None]
    torch.testing.assert_close(pool_features(views), pool_features(longer))
    torch.testing.assert_close(pool_features(views).norm(dim=-1), torch.ones(2))


def test_pictures_get_no_gradient() -> None:
    depth, rgb = torch.randn(3, 2, 5, requires_grad=True), torch.randn(3, 2, 5, requires_grad=True)
    alignment_losses(depth, rgb, logit_scale=torch.tensor(1.0)).total.backward()
    assert depth.grad is not None
    assert rgb.grad is None
