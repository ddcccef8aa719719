"""Networks with clouds of any size, in training, and with a bounded memory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from basrelief.encoders.points.base import PointNetwork, fill_network, pad_clouds
from basrelief.encoders.points.group_encoder import GroupEncoder, make_groups
from basrelief.encoders.points.operators import nearest_points
from basrelief.encoders.points.point_bert import PointBert, PointBertSize
from basrelief.encoders.points.point_patch import PointPatchSize, PointPatchTransformer
from basrelief.encoders.points.tamm import TammPointPatch, TammPointPatchSize
from basrelief.encoders.points.uni3d import Uni3d, Uni3dSize
from basrelief.errors import WeightsError
from support import parity_arrays
from support.recorded_networks import recorded_cloud

SMALL = {"groups": 12, "neighbours": 8, "group_width": 16}
PATCHES = (32, 2, 2, 40, 16, 12, 0.4, 8)
NETWORKS: dict[str, Callable[..., PointNetwork]] = {
    "ulip": lambda **more: PointBert(PointBertSize(24, 2, width=32, heads=2, **SMALL, **more)),
    "ulip2": lambda **more: PointBert(PointBertSize(24, 2, True, width=32, heads=2, **SMALL, **more)),
    "packed": lambda **more: Uni3d(Uni3dSize("eva02-packed", 32, 2, 2, 40, 24, **SMALL, **more)),
    "split": lambda **more: Uni3d(Uni3dSize("eva02-split", 32, 2, 2, 40, 24, **SMALL, **more)),
    "eva": lambda **more: Uni3d(Uni3dSize("eva", 32, 2, 2, 40, 24, **SMALL, **more)),
    "openshape": lambda **_: PointPatchTransformer(PointPatchSize(*PATCHES, projection=24)),
    "openshape with positions": lambda **_: PointPatchTransformer(PointPatchSize(*PATCHES, projection=24, relative_position=True)),
    "tamm": lambda **_: TammPointPatch(TammPointPatchSize(*PATCHES, hidden=20, embedding_dim=24)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, **more: float) -> PointNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return NETWORKS[name](**more)


def clouds(*sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 6, generator=generator) * 2 - 1 for size in sizes]


@pytest.mark.parametrize("name", ["ulip1_pointbert_small", "ulip2_pointbert_colored_small", "uni3d_eva_g_small", "uni3d_tiny_full"])
def test_groups_of_the_original(name: str) -> None:
    arrays = parity_arrays(f"{name}.npz")
    points, sizes = recorded_cloud(arrays)
    count, neighbours = arrays["knn_idx_sorted"].shape[1:]
    centres, groups = make_groups(points, sizes, count=count, neighbours=neighbours, channels=6)
    rows = torch.arange(len(points))[:, None]
    assert torch.equal(centres, points[rows, arrays["fps_idx"].astype(np.int64), :3])
    near = nearest_points(points[..., :3], centres, count=neighbours, sizes=sizes)
    np.testing.assert_array_equal(near.sort(dim=-1).values, arrays["knn_idx_sorted"])
    assert torch.equal(groups[..., 3:], points[rows[..., None], near, 3:])


@every_network
def test_a_cloud_in_a_batch_is_the_cloud_alone(name: str) -> None:
    network = build(name).eval()
    several = clouds(100, 37, 260, 5, 1)
    points, sizes = pad_clouds(several)
    points[1, 37:] = torch.nan
    points[3, 5:] = 1e4
    together = network(points, sizes)
    assert together.shape == (5, network.views, network.embedding_dim) == (5, network.views, 24)
    for cloud, features in zip(several, together, strict=True):
        torch.testing.assert_close(network(cloud[None], torch.tensor([len(cloud)]))[0], features, atol=1e-5, rtol=1e-5)


@every_network
def test_features_do_not_depend_on_which_points_are_padding(name: str) -> None:
    network = build(name).eval()
    (cloud,) = clouds(64)
    sizes = torch.tensor([64])
    moved = torch.cat([cloud, torch.full((9, 6), torch.nan)])
    assert torch.equal(network(cloud[None], sizes), network(moved[None], sizes))


@every_network
def test_every_parameter_trains(name: str) -> None:
    network = build(name, drop_path=0.1).train()
    points, sizes = pad_clouds(clouds(80, 50, 64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(points, sizes).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert without == []
    tracked = [int(tensor) for n, tensor in network.named_buffers() if n.endswith("num_batches_tracked")]
    assert set(tracked) == {1}


@every_network
def test_double_precision(name: str) -> None:
    network = build(name).eval()
    points, sizes = pad_clouds(clouds(80, 50))
    single = network(points, sizes)
    double = network.double()(points.double(), sizes)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-4)


@every_network
def test_mixed_precision(name: str) -> None:
    network = build(name)
    points, sizes = pad_clouds(clouds(80, 50, 64))
    with torch.autocast("cpu", torch.bfloat16):
        network.train()(points, sizes).float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    full = network.eval()(points, sizes)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(points, sizes)
    assert torch.nn.functional.cosine_similarity(full, mixed.float(), dim=-1).min() > 0.999


def test_training_drops_groups_and_evaluation_does_not() -> None:
    (cloud,) = clouds(100)
    points, sizes = cloud.expand(2, -1, -1), torch.tensor([100, 100])
    network = build("split", patch_dropout=0.5)
    seen: list[int] = []
    network.get_submodule("point_encoder.visual.blocks.0").register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = network.train()(points, sizes)
        assert not torch.allclose(first, second)
    network.eval()(points, sizes)
    assert seen == [1 + 6, 1 + 12]
    assert torch.equal(network(points, sizes), network(points, sizes))


def test_drop_path_skips_branches_of_some_clouds_in_training_only() -> None:
    (cloud,) = clouds(100)
    points, sizes = cloud.expand(16, -1, -1), torch.full((16,), 100)
    network = build("ulip", drop_path=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outcomes = network.train()(points, sizes).detach()[:, 0].round(decimals=4).unique(dim=0)
    assert 2 <= len(outcomes) <= 4  # the last block keeps or skips two branches
    evaluated = network.eval()(points, sizes)
    torch.testing.assert_close(evaluated, evaluated[:1].expand_as(evaluated))


def test_groups_in_parts_are_the_groups_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = GroupEncoder(6, 16).eval()
    groups = torch.rand(2, 9, 8, 6, generator=torch.Generator().manual_seed(0))
    whole = encoder(groups)
    monkeypatch.setattr("basrelief.encoders.points.group_encoder._ROWS", 24)
    torch.testing.assert_close(encoder(groups), whole)


def test_group_encoder_is_the_convolutions_of_the_original() -> None:
    encoder = GroupEncoder(6, 16).double().eval()
    groups = torch.rand(2, 9, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    local = encoder.first_conv(groups.flatten(0, 1).transpose(1, 2))
    joint = torch.cat([local.amax(2, keepdim=True).expand_as(local), local], dim=1)
    expected = encoder.second_conv(joint).amax(2).unflatten(0, (2, 9))
    torch.testing.assert_close(encoder(groups), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uni3d-ti", "openshape-pointbert"])
def test_memory_at_100_000_points(name: str) -> None:
    """A network of published sizes needs less than 1 GB for four clouds of 100,000 points."""
    program = f"""
import resource, torch
from basrelief.encoders.points.registry import network_spec
network = network_spec("{name}").build().eval()
points = torch.rand(4, 100_000, 6) - 0.5
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    network(points, torch.full((4,), 100_000))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1000


@pytest.mark.parametrize(("kind", "place"), [(PointBert, "state_dict"), (Uni3d, "module")])
def test_a_file_without_the_network(kind: type[PointNetwork], place: str) -> None:
    expected = f"The file has weights at optimizer; expected them at {place} or its top. Check that it belongs to this model."
    with pytest.raises(WeightsError, match=re.escape(expected)):
        kind.from_published({"optimizer": {}})


@every_network
def test_saved_weights_load_as_published(name: str) -> None:
    network, other = build(name).eval(), NETWORKS[name]()
    fill_network(other, type(network).from_published({"": network.state_dict()}), source="model.safetensors")
    (cloud,) = clouds(50)
    torch.testing.assert_close(network(cloud[None], torch.tensor([50])), other(cloud[None], torch.tensor([50])))


@pytest.mark.parametrize("name", ["ulip2-colored", "uni3d-g"])
def test_an_empty_network_is_built_quickly(name: str) -> None:
    program = f"""
import sys
from basrelief.encoders.points.registry import network_spec
network_spec("{name}").empty()
assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
