"""3DETR and 3DETR-m against every array that the original code recorded."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from basrelief.encoders.points.operators import gather_points
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.threedetr.decode import BoxPredictions, HeadOutputs, decode_boxes
from support.recorded_networks import Arrays
from support.recorded_threedetr import recorded_threedetr

SMALL = ("3detr_scannet_small", "3detrm_scannet_small", "3detrm_sunrgbd_small", "3detrm_scannet_color_small")
FULL = ("3detrm_scannet_full", "3detr_sunrgbd_full")
LOGITS, METRES = 1e-4, 4e-5
CORNERS = [2, 1, 0, 3, 6, 5, 4, 7]  # the original's order of corners in terms of ours
every_recording = pytest.mark.parametrize("name", [*SMALL, *FULL])
every_small_recording = pytest.mark.parametrize("name", SMALL)


@dataclass(frozen=True)
class Run:
    """One pass through a network: the recording, the outputs of its parts by name, and the boxes after each layer of the decoder."""

    arrays: Arrays
    parts: dict[str, Any]
    final: BoxPredictions
    heads: list[HeadOutputs]
    boxes: list[BoxPredictions]


@cache
def run(name: str) -> Run:
    network, arrays = recorded_threedetr(name)
    points = torch.from_numpy(arrays["point_clouds"])
    parts: dict[str, Any] = {}
    watched = ("pre_encoder", "encoder", "encoder.interim_downsampling", "encoder_to_decoder_projection", "query_projection", "decoder")
    modules = {part: module for part, module in network.named_modules() if part in watched}
    handles = [module.register_forward_hook(lambda _, __, out, part=part: parts.update({part: out})) for part, module in modules.items()]
    final = network(points)
    for handle in handles:
        handle.remove()
    xyz = parts["encoder"][0]
    parts["queries"] = network.choose_queries(xyz)
    parts["balls"] = network.pre_encoder.balls(points[..., :3], parts["pre_encoder"][0])
    low, high = points[..., :3].amin(1), points[..., :3].amax(1)
    heads = [network.head_outputs(states) for states in parts["decoder"]]
    boxes = [decode_boxes(head, gather_points(xyz, parts["queries"]), low, high) for head in heads]
    return Run(arrays, parts, final, heads, boxes)


def check(ours: Tensor | np.ndarray, theirs: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def check_features(ours: Tensor, theirs: np.ndarray) -> None:
    """Compare features, of which the recording may hold every third entry of the last two dimensions."""
    step = 1 if ours.shape == theirs.shape else 3
    check(ours.numpy()[..., ::step, ::step], theirs, LOGITS)


@every_recording
def test_choices_of_points(name: str) -> None:
    found = run(name)
    np.testing.assert_array_equal(found.parts["pre_encoder"][2], found.arrays["pre/inds"])
    np.testing.assert_array_equal(found.parts["encoder"][0], found.arrays["enc/xyz"])
    np.testing.assert_array_equal(found.parts["queries"], found.arrays["fps_query_inds"])
    assert (found.parts["encoder"][2] is not None) == ("enc/inds_into_pre" in found.arrays)
    if "enc/inds_into_pre" in found.arrays:
        np.testing.assert_array_equal(found.parts["encoder"][2], found.arrays["enc/inds_into_pre"])


@every_recording
def test_outputs(name: str) -> None:
    final, arrays = run(name).final, run(name).arrays
    check(final.class_logits, arrays["out/sem_cls_logits"], LOGITS)
    check(final.class_probs, arrays["out/sem_cls_prob"], METRES)
    check(final.objectness, arrays["out/objectness_prob"], METRES)
    check(final.centers, arrays["out/center_unnormalized"], METRES)
    check(final.sizes, arrays["out/size_unnormalized"], METRES)
    check(-final.yaws, arrays["out/angle_continuous"], METRES)


@every_recording
def test_outputs_in_double_precision(name: str) -> None:
    network, arrays = recorded_threedetr(name)
    found = copy.deepcopy(network).double()(torch.from_numpy(arrays["point_clouds"]).double())
    check(found.class_logits, arrays["out64/sem_cls_logits"], 1e-9)
    check(found.objectness, arrays["out64/objectness_prob"], 1e-9)
    check(found.centers, arrays["out64/center_unnormalized"], 1e-9)
    check(found.sizes, arrays["out64/size_unnormalized"], 1e-9)
    check(-found.yaws, arrays["out64/angle_continuous"], 1e-9)


@pytest.mark.gpu
@every_recording
def test_outputs_on_a_gpu(name: str) -> None:
    network, arrays = recorded_threedetr(name)
    found = copy.deepcopy(network).cuda()(torch.from_numpy(arrays["point_clouds"]).cuda())
    check(found.class_logits.cpu(), arrays["out/sem_cls_logits"], 10 * LOGITS)
    check(found.centers.cpu(), arrays["out/center_unnormalized"], 10 * METRES)
    check(found.sizes.cpu(), arrays["out/size_unnormalized"], 10 * METRES)


@every_recording
def test_heads(name: str) -> None:
    head, boxes, arrays = run(name).heads[-1], run(name).boxes[-1], run(name).arrays
    check(head.sizes.sigmoid(), arrays["out/size_normalized"], METRES)
    check(head.angle_bins, arrays["out/angle_logits"], LOGITS)
    check(head.angle_residuals, arrays["out/angle_residual_normalized"], LOGITS)
    check(head.angle_residuals * (np.pi / head.angle_bins.shape[-1]), arrays["out/angle_residual"], LOGITS)
    low, high = (torch.from_numpy(arrays[f"point_cloud_dims_{end}"])[:, None] for end in ("min", "max"))
    check((boxes.centers - low) / (high - low), arrays["out/center_normalized"], METRES)


@every_recording
def test_bounds_of_the_scene(name: str) -> None:
    arrays = run(name).arrays
    np.testing.assert_array_equal(arrays["point_clouds"][..., :3].min(axis=1), arrays["point_cloud_dims_min"])
    np.testing.assert_array_equal(arrays["point_clouds"][..., :3].max(axis=1), arrays["point_cloud_dims_max"])


@every_recording
def test_corners(name: str) -> None:
    """The original's corners are in camera axes (x, -z, y); its angles turn clockwise seen from above, ours counter-clockwise."""
    final = run(name).final
    for scene, theirs in enumerate(run(name).arrays["out/box_corners"]):
        ours = Boxes(*(part[scene].double().numpy() for part in (final.centers, final.sizes, final.yaws))).corners()[:, CORNERS]
        check(np.stack([ours[..., 0], -ours[..., 2], ours[..., 1]], axis=-1), theirs, METRES)


@every_small_recording
def test_stages(name: str) -> None:
    parts, arrays = run(name).parts, run(name).arrays
    np.testing.assert_array_equal(parts["pre_encoder"][0], arrays["pre/xyz"])
    np.testing.assert_array_equal(parts["balls"], arrays["pre/ball_idx"])
    check_features(parts["pre_encoder"][1].transpose(1, 2), arrays["pre/features"])
    check_features(parts["encoder"][1].transpose(0, 1), arrays["enc/features"])
    check_features(parts["encoder_to_decoder_projection"].transpose(1, 2), arrays["proj/features"])
    check(parts["query_projection"].transpose(1, 2), arrays["query_embed"], LOGITS)
    check_features(torch.stack(parts["decoder"]).transpose(1, 2), arrays["decoder_layers"])


@pytest.mark.parametrize("name", [name for name in SMALL if name.startswith("3detrm")])
def test_interim_downsampling(name: str) -> None:
    parts, arrays = run(name).parts, run(name).arrays
    downsampling = recorded_threedetr(name)[0].encoder.interim_downsampling
    xyz, features, _ = parts["encoder.interim_downsampling"]
    np.testing.assert_array_equal(downsampling.balls(parts["pre_encoder"][0], xyz), arrays["interim/ball_idx"])
    check_features(features.transpose(1, 2), arrays["interim/features"])


@pytest.mark.parametrize("name", FULL)
def test_first_features_of_the_published_sizes(name: str) -> None:
    check(run(name).parts["encoder"][1][:, :16].transpose(0, 1), run(name).arrays["enc/features_first16"], LOGITS)


@every_small_recording
def test_boxes_of_earlier_layers(name: str) -> None:
    found = run(name)
    for layer, (box, head) in enumerate(zip(found.boxes[:-1], found.heads[:-1], strict=True)):
        check(head.classes, found.arrays["aux/sem_cls_logits"][layer], LOGITS)
        check(head.angle_bins, found.arrays["aux/angle_logits"][layer], LOGITS)
        check(head.angle_residuals * (np.pi / head.angle_bins.shape[-1]), found.arrays["aux/angle_residual"][layer], LOGITS)
        check(box.centers, found.arrays["aux/center_unnormalized"][layer], METRES)
        check(box.sizes, found.arrays["aux/size_unnormalized"][layer], METRES)
        check(box.objectness, found.arrays["aux/objectness_prob"][layer], METRES)


def test_every_array_is_compared() -> None:
    read = {"config", "fill_seed", "point_clouds", "point_cloud_dims_min", "point_cloud_dims_max"}
    read |= {"fps_query_inds", "query_embed", "decoder_layers", "proj/features", "interim/features", "interim/ball_idx"}
    read |= {*(f"pre/{part}" for part in ("inds", "xyz", "features", "ball_idx"))}
    read |= {*(f"enc/{part}" for part in ("xyz", "features", "inds_into_pre", "features_first16"))}
    every = {"sem_cls_logits", "center_unnormalized", "size_unnormalized", "objectness_prob"}
    bins = {"angle_logits", "angle_residual"}
    more = {"center_normalized", "size_normalized", "angle_residual_normalized", "angle_continuous", "sem_cls_prob", "box_corners"}
    read |= {f"out/{part}" for part in every | bins | more} | {f"aux/{part}" for part in every | bins}
    read |= {f"out64/{part}" for part in every | {"angle_continuous"}}
    for name in (*SMALL, *FULL):
        assert {part for part in run(name).arrays if not part.startswith("sd/")} <= read
