"""One pair: ten pictures and a cloud, independent of other pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from basrelief.errors import ConfigError
from basrelief.render import render_depth
from basrelief.shapes import make_shape
from basrelief.train import PairSettings
from basrelief.train.pairs.draw import _light, draw_pair
from basrelief.types import Mesh, PointCloud

from .conftest import QUICK, pixels


def chair() -> Mesh:
    shape = make_shape("chair", seed=1)
    assert isinstance(shape, Mesh)
    return shape


def test_a_pair_has_ten_pictures_on_white_and_points_in_the_unit_sphere() -> None:
    pair = draw_pair(chair(), "a", style=PairSettings(size=48, points=500))
    assert len(pair.pictures) == 10
    for png in pair.pictures:
        picture = pixels(png)
        assert picture.shape == (48, 48, 3)
        assert (picture[0, 0] == 255).all()
        assert 0.02 < (picture < 250).any(axis=2).mean() < 0.7
    assert pair.points.shape == (500, 3)
    assert np.linalg.norm(pair.points.astype(float), axis=1).max() == pytest.approx(1, abs=2e-3)


def test_pictures_and_depth_maps_show_the_same_side() -> None:
    """The silhouettes of both overlap, view by view, better than with any other view's mirror image."""
    pair = draw_pair(make_shape("car", seed=1), "a", style=PairSettings(size=64, points=8000))
    depth = render_depth(PointCloud(pair.points.astype(np.float32)), "clip2point", size=64).depth.numpy()
    for view in range(10):
        drawn, seen = (pixels(pair.pictures[view]) < 250).any(axis=2), np.isfinite(depth[view])

        def overlap(mask: np.ndarray, seen: np.ndarray = seen) -> float:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            other_rows, other_columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            one = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            other = seen[other_rows[0] : other_rows[-1] + 1, other_columns[0] : other_columns[-1] + 1]
            size = (32, 32)
            a, b = (np.asarray(Image.fromarray(m).resize(size)) for m in (one, other))
            return float((a & b).sum() / (a | b).sum())

        assert overlap(drawn) > 0.55
        assert overlap(drawn) >= overlap(drawn[::-1]) - 0.05


def test_colours_are_kept() -> None:
    red = replace(chair(), colors=np.tile(np.float32([1, 0, 0]), (len(chair().vertices), 1)))
    picture = pixels(draw_pair(red, "a", style=PairSettings(size=48, points=200)).pictures[0])
    shown = picture[(picture < 250).any(axis=2)]
    assert (shown[:, 0] > shown[:, 1] + 30).mean() > 0.9


def test_light_and_points_depend_on_the_name_alone() -> None:
    one, same, other = (draw_pair(chair(), name, style=QUICK) for name in ("a", "a", "b"))
    assert one.pictures == same.pictures
    np.testing.assert_array_equal(one.points, same.points)
    assert one.pictures != other.pictures
    assert _light(1, random=False) == _light(2, random=False) != _light(1, random=True) != _light(2, random=True)


def test_point_clouds_are_rendered_too() -> None:
    cloud = PointCloud(np.random.default_rng(0).normal(size=(900, 3)).astype(np.float32))
    assert len(draw_pair(cloud, "a", style=QUICK).pictures) == 10


@pytest.mark.parametrize("settings", [{"size": 4}, {"points": 0}, {"supersample": 0}, {"distance": 1.0}])
def test_pair_settings_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be (at least|at most|above)"):
        PairSettings(**settings)  # type: ignore[arg-type]
