"""Augmentations: each by itself, and all together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from basrelief.train import augment as augment_module
from basrelief.train.augment import Augmentation, augment
from basrelief.train.data import ShapeSet
from train.conftest import same

NOTHING = Augmentation(stretch=0, taper=0, tilt=0, noise=0, outliers=0, cut=0, cut_chance=0, shift=0)


def _with(**changes: float) -> Augmentation:
    return Augmentation(**{**NOTHING.__dict__, **changes})


def _clouds(count: int = 16, points: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.rand(count, points, 3, generator=generator) * 2 - 1
    return cloud / cloud.norm(dim=-1).amax(dim=1)[:, None, None]


def _apply(points: torch.Tensor, how: Augmentation, seed: int = 1) -> torch.Tensor:
    return augment(points, how, generator=torch.Generator().manual_seed(seed))


def test_without_changes_only_yaw_is_left() -> None:
    points = _clouds()
    turned = _apply(points, NOTHING)
    assert torch.allclose(
        turned[..., 2].std(dim=1) / points[..., 2].std(dim=1), turned[:, :, :2].std(dim=(1, 2)) / points[:, :, :2].std(dim=(1, 2)), rtol=0.1
    )


def test_yaw_covers_the_circle() -> None:
    line = torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]).expand(256, 2, 3)
    turned = _apply(line, NOTHING)
    angle = torch.atan2(turned[:, 1, 1], turned[:, 1, 0])
    assert torch.histc(angle, 8, -math.pi, math.pi).min() > 10
    assert turned[..., 2].abs().max() < 1e-5


def test_zero_strength_leaves_yaw_and_mirroring() -> None:
    how = Augmentation(mirror=0.5, warp=0.1, topple=0.2, far_outliers=0.1, far_outlier_chance=0.2, scan_chance=0.3)
    assert how.scaled(1.0) == how
    assert how.scaled(0.0) == replace(NOTHING, mirror=0.5)
    half = how.scaled(0.5)
    assert (half.mirror, half.warp, half.topple, half.scan_chance, half.stretch) == (0.5, 0.05, 0.1, 0.15, 0.1)


def test_the_same_generator_gives_the_same_clouds() -> None:
    points = _clouds()
    assert same(_apply(points, Augmentation()), _apply(points, Augmentation()))
    assert not same(_apply(points, Augmentation()), _apply(points, Augmentation(), seed=2))


def test_the_input_is_not_changed() -> None:
    points = _clouds()
    before = points.clone()
    _apply(points, Augmentation())
    assert torch.equal(points, before)


@pytest.mark.parametrize("seed", range(5))
def test_everything_stays_near_the_unit_sphere(shapes: ShapeSet, seed: int) -> None:
    result = _apply(shapes.points.float(), Augmentation(), seed=seed)
    radius = torch.nan_to_num(result.norm(dim=-1))
    assert radius.max() < 1.6
    assert (radius.quantile(0.9, dim=1) > 0.3).all()


def test_every_cloud_touches_the_unit_sphere_without_shift() -> None:
    result = _apply(_clouds(), _with(stretch=0.5, taper=0.3, tilt=10, cut=0.5, cut_chance=1))
    radius = torch.nan_to_num(result.norm(dim=-1)).amax(dim=1)
    assert torch.allclose(radius, torch.ones_like(radius), atol=1e-5)


def test_stretch_changes_proportions() -> None:
    sides = [torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]).expand(64, 8, 3)]
    height = torch.stack([_apply(s, _with(stretch=0.4))[..., 2].amax(dim=1) for s in sides])
    assert height.std() > 0.03
    assert _apply(sides[0], NOTHING)[..., 2].amax(dim=1).std() < 1e-5


def test_taper_widens_one_end() -> None:
    box = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]).expand(64, 8, 3) / 2
    result = _apply(box, _with(taper=0.5))
    radius = result[..., :2].norm(dim=-1)
    ratio = radius[:, result[0, :, 2] > 0].mean(dim=1) / radius[:, result[0, :, 2] < 0].mean(dim=1)
    assert ratio.max() > 1.1
    assert ratio.min() < 0.9


def test_tilt_is_small_and_of_the_stated_size() -> None:
    pole = torch.tensor([[0.0, 0, -1], [0, 0, 1.0]]).expand(2000, 2, 3)
    top = _apply(pole, _with(tilt=5.0))[:, 1]
    angle = torch.rad2deg(torch.acos(top[:, 2].clamp(-1, 1)))
    assert float(angle.square().mean().sqrt()) == pytest.approx(5, rel=0.1)


def test_noise_moves_points_a_little() -> None:
    points = torch.zeros(64, 100, 3)
    points[:, 0, 0], points[:, 1, 0] = 1, -1
    result = _apply(points, _with(noise=0.05))
    assert 0 < result[:, 2:].std() < 0.05


def test_outliers_are_few() -> None:
    points = torch.zeros(64, 500, 3)
    points[:, 0, 0], points[:, 1, 0] = 1, -1
    far = _apply(points, _with(outliers=0.1))[:, 2:].norm(dim=-1) > 0.05
    assert 0 < far.float().mean() < 0.06


def test_a_cut_removes_one_side() -> None:
    result = _apply(_clouds(64), _with(cut=0.5, cut_chance=1.0))
    lost = result.isnan().any(dim=-1)
    assert torch.equal(lost, result.isnan().all(dim=-1))
    share = lost.float().mean(dim=1)
    assert share.max() <= 0.5
    assert share.std() > 0.05


def test_cuts_have_the_given_probability() -> None:
    result = _apply(_clouds(512, 50), _with(cut=0.5, cut_chance=0.25))
    assert float(result.isnan().any(dim=(1, 2)).float().mean()) == pytest.approx(0.24, abs=0.07)


def test_a_single_point_survives() -> None:
    result = _apply(torch.rand(8, 1, 3), Augmentation())
    assert result.shape == (8, 1, 3)
    assert not result.isnan().any()


def test_centre_lies_between_box_and_mean() -> None:
    points = torch.cat([torch.zeros(1, 99, 3), torch.tensor([[[0.0, 0, 1]]])], dim=1).expand(200, 100, 3)
    middle = _apply(points, NOTHING)
    low, high = middle[..., 2].amin(dim=1), middle[..., 2].amax(dim=1)
    assert torch.allclose(high, torch.ones(200), atol=1e-4)
    assert low.min() < -0.9
    assert low.max() > -0.1


def test_mirroring_keeps_sizes_and_swaps_sides() -> None:
    points = _clouds(64)
    points[..., 0] = points[..., 0].abs()
    mirrored = _deformed(points, _with(mirror=1.0))
    assert torch.allclose(mirrored[..., 0], -points[..., 0])
    assert torch.equal(mirrored[..., 1:], points[..., 1:])


def _deformed(points: torch.Tensor, how: Augmentation) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return augment_module._deform(points, how, augment_module._Draw(points, generator))


def test_warping_is_bounded() -> None:
    points = _clouds(64)
    moved = (_deformed(points, _with(warp=0.1)) - points).norm(dim=-1)
    assert 0.03 < moved.max() <= 0.1 * math.sqrt(3)
    assert moved.std(dim=1).max() > 0.005


def test_toppled_clouds_are_rotated() -> None:
    tall = torch.rand(200, 300, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 0.2, 2.0]) - torch.tensor(
        [0.1, 0.1, 1.0]
    )
    result = _apply(tall, _with(topple=1.0))
    height = result[..., 2].amax(dim=1) - result[..., 2].amin(dim=1)
    assert 0.5 < (height < 1).float().mean() < 0.8  # two of three quarters lie
    assert (_apply(tall, _with(topple=0.0))[..., 2].amax(dim=1) > 0.8).all()


def test_occlusion_keeps_one_side() -> None:
    generator = torch.Generator().manual_seed(0)
    ball = torch.nn.functional.normalize(torch.randn(32, 2000, 3, generator=generator), dim=-1)
    left = (~_apply(ball, _with(scan_chance=1.0)).isnan().any(dim=-1)).float().mean(dim=1)
    assert (left > 0.3).all()
    assert (left < 0.75).all()
    assert not _apply(ball, _with(scan_chance=0.0)).isnan().any()


def test_far_outliers_shrink_the_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    ball = torch.nn.functional.normalize(torch.randn(64, 2000, 3, generator=generator), dim=-1)
    result = _apply(ball, _with(far_outliers=0.1, far_outlier_chance=1.0))
    assert result.norm(dim=-1).median(dim=1).values.min() < 0.75
    assert torch.allclose(result.norm(dim=-1).amax(dim=1), torch.ones(64), atol=0.35)
