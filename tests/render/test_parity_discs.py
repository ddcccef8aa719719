"""CLIP2Point's renderer, compared with recorded output of the original code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from basrelief.render.base import PointBatch
from basrelief.render.clip2point import DiscProjection
from basrelief.render.rigs import CLIP2POINT_TURN, clip2point_look
from render.maps import off, thinned_like
from support import parity_arrays

RECORDINGS = {"clip2point10": "clip2point_render_v10.npz", "clip2point6": "clip2point_render_v6.npz"}
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
OPENCV = np.diag([-1, -1, 1])  # the recording's camera frame has +X left, +Y up


@pytest.fixture(params=list(RECORDINGS))
def recorded(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    return request.param, parity_arrays(RECORDINGS[request.param])


def runs(arrays: dict[str, np.ndarray], kind: str) -> list[tuple[str, str, bool]]:
    """Array name, cloud and rotation of everything of a kind."""
    names = [name for name in arrays if name.startswith(kind)]
    assert names, f"the recording holds no {kind}"
    return [(name, name.removeprefix(kind).rpartition("_rot")[0], name.endswith("1")) for name in names]


def buffer(depth: torch.Tensor) -> torch.Tensor:
    return depth.masked_fill(depth.isinf(), -1)


def for_clip(image: np.ndarray, channels: int) -> np.ndarray:
    return (np.repeat(image[:, None], channels, axis=1) - MEAN[:channels]) / STD[:channels]


def test_depth(recorded: tuple[str, dict[str, np.ndarray]], device: torch.device) -> None:
    rig, arrays = recorded
    wrong = {}
    for name, cloud, rot in runs(arrays, "zbuf_"):
        depth = DiscProjection(rig=rig, rot=rot).depth(PointBatch.pack([arrays[f"in_{cloud}"]], device=device))
        wrong[name] = off(thinned_like(buffer(depth)[0], arrays[name]), arrays[name])
    assert wrong, "nothing was compared"
    assert not any(wrong.values()), wrong


def test_images(recorded: tuple[str, dict[str, np.ndarray]], device: torch.device) -> None:
    rig, arrays = recorded
    wrong = {}
    for name, cloud, rot in runs(arrays, "img_"):
        projection = DiscProjection(rig=rig, rot=rot)
        image = projection.image(projection.depth(PointBatch.pack([arrays[f"in_{cloud}"]], device=device)))[0].cpu().numpy()
        expected = arrays[name] if arrays[name].ndim == 4 else arrays[name][:, None]
        wrong[name] = off(thinned_like(for_clip(image, expected.shape[1]), expected), expected)
    assert wrong, "nothing was compared"
    assert not any(wrong.values()), wrong


def test_statistics(recorded: tuple[str, dict[str, np.ndarray]]) -> None:
    rig, arrays = recorded
    for name, cloud, rot in runs(arrays, "stat_"):
        projection = DiscProjection(rig=rig, rot=rot)
        image = projection.image(projection.depth(PointBatch.pack([arrays[f"in_{cloud}"]])))[0].numpy()
        final = for_clip(image, 3).reshape(len(image), -1)
        ours = np.stack([final.mean(axis=1), final.min(axis=1), final.max(axis=1)], axis=1)
        np.testing.assert_allclose(ours, arrays[name], atol=2e-4, err_msg=name)


def test_cameras(recorded: tuple[str, dict[str, np.ndarray]]) -> None:
    rig, arrays = recorded
    expected = OPENCV @ arrays["R"].transpose(0, 2, 1)
    np.testing.assert_allclose(
        clip2point_look(torch.as_tensor(arrays["azim"]), torch.as_tensor(arrays["elev"])).numpy(), expected, atol=1e-6
    )
    np.testing.assert_allclose(DiscProjection(rig=rig, rot=False).cameras.rotation, expected @ CLIP2POINT_TURN, atol=1e-6)
    np.testing.assert_allclose(arrays["T"], np.tile([0, 0, 1], (len(expected), 1)), atol=1e-6)
    np.testing.assert_array_equal(arrays["dist"], 1)


def test_batch(device: torch.device) -> None:
    arrays = parity_arrays(RECORDINGS["clip2point10"])
    depth = DiscProjection(rig="clip2point10").depth(PointBatch.pack(list(arrays["batch2_in"]), device=device))
    assert not off(thinned_like(buffer(depth), arrays["batch2_zbuf"]), arrays["batch2_zbuf"])


def test_training_pair(device: torch.device) -> None:
    arrays = parity_arrays("clip2point_render_aug.npz")
    projection = DiscProjection(rot=False)
    angle = {name: torch.as_tensor(arrays[name][:, 0], device=device) for name in ("azim", "elev")}
    distance = torch.as_tensor(np.concatenate([arrays["dist"] * (1 + (arrays[u] - 0.5) / 5) for u in ("rand1", "rand2")], axis=1))
    depth = projection.pair(PointBatch.pack(list(arrays["points"]), device=device), angle["azim"], angle["elev"], distance)
    assert not off(buffer(depth), arrays["zbuf"])
    image = projection.image(depth).cpu().numpy()
    expected = arrays["img_channel0"]
    assert not off(thinned_like((image - MEAN[0]) / STD[0], expected), expected)
    expected = OPENCV @ arrays["R"][::2].transpose(0, 2, 1)
    np.testing.assert_allclose(clip2point_look(angle["azim"], angle["elev"]).cpu().numpy(), expected, atol=1e-6)


def test_both_rotations_are_one_turn_apart() -> None:
    points = np.random.default_rng(3).uniform(-0.5, 0.5, (80, 3)).astype(np.float32)
    turned = DiscProjection(rot=True).depth(PointBatch.pack([points]))
    upright = DiscProjection(rot=False).depth(PointBatch.pack([points @ CLIP2POINT_TURN.T]))
    assert not off(turned, upright)
    assert not math.isclose(float(buffer(turned).sum()), float(buffer(DiscProjection(rot=False).depth(PointBatch.pack([points]))).sum()))
