"""Behaviour of the network: batches, sizes of scenes, gradients, hand-made outputs of the heads."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from basrelief.scenes.threedetr.blocks import FourierPositions
from basrelief.scenes.threedetr.decode import HeadOutputs, decode_boxes
from support.recorded_threedetr import small_threedetr

BOX_FIELDS = ("centers", "sizes", "yaws", "class_probs", "objectness", "class_logits")
every_encoder = pytest.mark.parametrize("enc_type", ["vanilla", "masked"])


def rooms(count: int, points: int, *, seed: int = 0) -> Tensor:
    """Points on the floor and two walls of rooms of 6 x 5 x 2.6 m, and between them."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.rand(count, points, 3, generator=generator) * torch.tensor([6.0, 5.0, 2.6])
    for axis in range(3):
        cloud[:, axis::5, axis] = 0.01 * torch.rand(cloud[:, axis::5, axis].shape, generator=generator)
    return cloud


@every_encoder
def test_a_scene_in_a_batch_is_the_scene_alone(enc_type: str) -> None:
    network, scenes = small_threedetr(enc_type, num_angle_bin=12), rooms(3, 500)
    together = network(scenes)
    for number, scene in enumerate(scenes):
        alone = network(scene[None])
        for field in BOX_FIELDS:
            torch.testing.assert_close(getattr(alone, field)[0], getattr(together, field)[number], atol=1e-5, rtol=1e-5)


@every_encoder
@pytest.mark.parametrize("points", [1, 7, 48, 3000])
def test_scenes_of_other_sizes(enc_type: str, points: int) -> None:
    found = small_threedetr(enc_type)(rooms(1, points))
    assert [tuple(getattr(found, field).shape) for field in BOX_FIELDS] == [(1, 8, 3), (1, 8, 3), (1, 8), (1, 8, 18), (1, 8), (1, 8, 19)]
    assert all(getattr(found, field).isfinite().all() for field in BOX_FIELDS)


@every_encoder
def test_flat_scenes_have_finite_boxes(enc_type: str) -> None:
    scene = rooms(1, 300)
    scene[..., 2] = 1.5
    found = small_threedetr(enc_type)(scene)
    assert all(getattr(found, field).isfinite().all() for field in BOX_FIELDS)
    assert found.sizes[..., 2].max() <= 0.1


@every_encoder
def test_boxes_move_with_the_scene(enc_type: str) -> None:
    """Only the rule for points near the origin depends on where a scene lies."""
    network, scene, step = small_threedetr(enc_type), rooms(1, 400) + 1, torch.tensor([4.0, -2.0, 8.0])
    before, after = network.double()(scene.double()), network(scene.double() + step)
    torch.testing.assert_close(before.centers + step, after.centers)
    torch.testing.assert_close(before.sizes, after.sizes)


@every_encoder
def test_every_parameter_trains(enc_type: str) -> None:
    network, generator = small_threedetr(enc_type, num_angle_bin=12, use_color=True).train(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    points = torch.cat([rooms(2, 300), torch.rand(2, 300, 3, generator=torch.Generator().manual_seed(1))], dim=-1)
    found = network(points)
    loss = found.class_logits.square().mean() + found.centers.square().mean() + found.sizes.square().mean() + found.yaws.square().mean()
    loss.backward()
    without = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()}
    bins = {name for name, _ in network.named_parameters() if name.startswith("mlp_heads.angle_cls_head.")}
    assert without == {*bins, "decoder.layers.0.norm1.weight"}  # bins are chosen by argmax; the first layer's states are zeros


def test_tokens_of_the_masked_encoder_read_near_ones_alone() -> None:
    """Two groups of points 3 m apart: the features of one do not depend on the other's, except through the decoder."""
    network = small_threedetr("masked", preenc_npoints=40)
    scene = rooms(1, 80, seed=3) / 10 + 1
    scene[:, 40:] += 3
    xyz, features, _ = network.pre_encoder(scene, scene[..., 3:])
    left = xyz[0, :, 0] < 2
    changed = torch.where(left[None, :, None], features, torch.zeros_like(features))
    for result, same in ((network.encoder, left), (small_threedetr("vanilla", preenc_npoints=40).encoder, None)):
        one, two = result(xyz, features), result(xyz, changed)
        near = one[0][0, :, 0] < 2
        assert torch.equal(one[1][0, near], two[1][0, near]) == (same is not None)


def outputs(**given: Tensor) -> HeadOutputs:
    plain = {"classes": torch.zeros(1, 1, 4), "centers": torch.zeros(1, 1, 3), "sizes": torch.zeros(1, 1, 3)}
    plain |= {"angle_bins": torch.zeros(1, 1, 12), "angle_residuals": torch.zeros(1, 1, 12)}
    return HeadOutputs(**(plain | given))


def decoded(**given: Tensor) -> tuple[Tensor, ...]:
    low, high = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[4.0, 2.0, 1.02]])
    found = decode_boxes(outputs(**given), torch.tensor([[[1.0, 1.0, 1.0]]]), low, high)
    return tuple(getattr(found, field)[0, 0] for field in BOX_FIELDS)


def test_centres_and_sizes_by_hand() -> None:
    centers, sizes, *_ = decoded()
    assert centers.tolist() == [1, 1, 1]
    torch.testing.assert_close(sizes, torch.tensor([2.0, 1.0, 0.05]))  # the extent of 2 cm counts as 10 cm
    far = torch.full((1, 1, 3), 100.0)
    centers, sizes, *_ = decoded(centers=far, sizes=far)
    torch.testing.assert_close(centers, torch.tensor([1.5, 1.5, 1.5]))
    torch.testing.assert_close(sizes, torch.tensor([4.0, 2.0, 0.1]))


def test_background_is_the_last_class() -> None:
    *_, probabilities, objectness, _ = decoded(classes=torch.tensor([[[0.0, 0.0, 0.0, math.log(7)]]]))
    torch.testing.assert_close(probabilities, torch.full((3,), 0.1))
    torch.testing.assert_close(objectness, torch.tensor(0.3))


@pytest.mark.parametrize(
    ("likeliest", "residual", "clockwise"),
    [(0, 0.5, math.pi / 24), (3, -1.0, math.pi * 5 / 12), (6, 0.0, math.pi), (9, 0.5, -11 * math.pi / 24)],
)
def test_angles_by_hand(likeliest: int, residual: float, clockwise: float) -> None:
    bins, residuals = torch.zeros(1, 1, 12), torch.full((1, 1, 12), 9.0)
    bins[..., likeliest], residuals[..., likeliest] = 1, residual
    yaw = decoded(angle_bins=bins, angle_residuals=residuals)[2]
    torch.testing.assert_close(yaw, torch.tensor(-clockwise), atol=1e-6, rtol=0)


def test_one_bin_is_no_angle() -> None:
    one = torch.full((1, 1, 1), 5.0)
    assert decoded(angle_bins=one, angle_residuals=one)[2] == 0


def test_positions_by_hand() -> None:
    positions = FourierPositions(4)
    positions.get_buffer("gauss_B").copy_(torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]]))
    low, high = torch.zeros(1, 3), torch.tensor([[4.0, 2.0, 1.0]])
    found = positions(torch.tensor([[[1.0, 2.0, 0.5]]]), low, high)
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0.0, 0.0, -1.0]]]), atol=1e-6, rtol=0)
