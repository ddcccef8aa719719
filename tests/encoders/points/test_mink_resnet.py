"""OpenShape's SparseConv encoder: recorded outputs, its published file, batches, training and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from basrelief.encoders.points.base import PointNetwork, fill_network, pad_clouds
from basrelief.encoders.points.mink_resnet import MinkResNet, MinkResNetSize
from basrelief.encoders.points.recognise import networks_in
from basrelief.encoders.points.registry import network_spec
from basrelief.encoders.points.sparse import KernelMap, Level, voxelise
from basrelief.errors import WeightsError
from support import parity_arrays, parity_json
from support.recorded_networks import meta_state, recorded_network

NAME = "openshape-sparseconv"
SMALL = MinkResNetSize(stem=8, planes=(8, 12, 16, 24), layers=(2, 1, 2, 1), width=32, voxel_size=0.05, hidden=1024, embedding_dim=40)
Recording = tuple[PointNetwork, Tensor, Tensor, dict[str, np.ndarray]]


@pytest.fixture
def small() -> Recording:
    arrays = parity_arrays("openshape_spconv_small.npz")
    points = torch.from_numpy(arrays["features"]).reshape(2, 900, 6)
    return recorded_network(MinkResNet, SMALL, arrays), points, torch.tensor([900, 900]), arrays


@pytest.fixture
def full() -> Recording:
    arrays = parity_arrays("openshape_spconv_all_full.npz")
    points = torch.from_numpy(arrays["features"])[None]
    size = MinkResNetSize(
        stem=32, planes=(32, 64, 128, 256), layers=(3, 4, 6, 3), width=1024, voxel_size=0.02, hidden=1024, embedding_dim=1280
    )
    return recorded_network(MinkResNet, size, arrays), points, torch.tensor([10000]), arrays


def clouds(*sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 6, generator=generator) * 2 - 1 for size in sizes]


def build(seed: int = 1) -> MinkResNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MinkResNet(SMALL)


def keep_outputs(network: PointNetwork, **modules: str) -> dict[str, Tensor]:
    """Keep the outputs of modules in the next forward pass."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _, __, out: kept.update({name: out.clone()})  # later layers work in place

    for name, path in modules.items():
        network.get_submodule(path).register_forward_hook(keep(name))
    return kept


def averaged_in_float32(network: PointNetwork, points: Tensor) -> None:
    """Scale the carried features as the original does, whose means multiply by 1 / count rounded to float32.

    The first mean is over the points of a voxel, the second over the same points after slicing, where it should change nothing.
    """
    grid, voxel = voxelise(points[0, :, :3], torch.zeros(points.shape[1], dtype=torch.int64), voxel_size=0.02)
    count = torch.bincount(voxel, minlength=len(grid)).double()[:, None]
    rounded = (1 / count).float().double() * count

    def scale_carried(_: nn.Module, given: tuple[Sequence[Level], KernelMap]) -> tuple[Sequence[Level], KernelMap]:
        carried = [features if owner is None else features[owner] for features, owner in given[0]]
        return [(torch.cat(carried, 1) * rounded, None)], given[1]

    network.get_submodule("conv0p1s1").register_forward_pre_hook(lambda _, given: (given[0] * rounded, *given[1:]))
    network.get_submodule("conv5.0").register_forward_pre_hook(scale_carried)


def test_small_network_of_the_original(small: Recording) -> None:
    network, points, sizes, arrays = small
    last = {"block1": "block1.1", "block2": "block2.0", "block3": "block3.1", "block4": "block4.0", "conv5": "conv5.1"}
    kept = keep_outputs(network, conv0p1s1="conv0p1s1", bn0="bn0", conv1p1s2="conv1p1s2", conv2p2s2="conv2p2s2", **last)
    embedding = network(points, sizes)
    for name, found in kept.items():
        activated = {"bn0": nn.ReLU(), "conv5": nn.LeakyReLU(0.01)}.get(name, nn.Identity())
        np.testing.assert_allclose(activated(found), arrays[f"act/{name}/feats"], rtol=0, atol=5e-6, err_msg=name)
    pooled = np.concatenate([arrays["act/global_max_pool"], arrays["act/global_avg_pool"]], axis=1)
    assert isinstance(network, MinkResNet)
    np.testing.assert_allclose(network.pooled_features(points, sizes), pooled, rtol=0, atol=5e-6)
    np.testing.assert_allclose(embedding[:, 0], arrays["embedding"], rtol=0, atol=5e-6)
    exact = network.double()(points.double(), sizes)[:, 0]
    np.testing.assert_allclose(exact, arrays["embedding_f64"], rtol=0, atol=1e-8)


def test_full_network_of_the_original(full: Recording) -> None:
    network, points, sizes, arrays = full
    kept = keep_outputs(network, block4="block4.2", conv5="conv5.1")
    embedding = network(points, sizes)[:, 0]
    np.testing.assert_allclose(embedding, arrays["embedding"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(kept["block4"][:, :8], arrays["act/block4/feats_first8"], rtol=0, atol=1e-3)
    conv5 = nn.LeakyReLU(0.01)(kept["conv5"])
    np.testing.assert_allclose(conv5[:, :8], arrays["act/conv5/feats_first8"], rtol=0, atol=1e-3)
    assert isinstance(network, MinkResNet)
    pooled = np.concatenate([arrays["global_max"], arrays["global_avg"]], axis=1)
    np.testing.assert_allclose(network.pooled_features(points, sizes), pooled, rtol=0, atol=1e-3)


def test_full_network_of_the_original_in_double_precision(full: Recording) -> None:
    network, points, sizes, arrays = full
    network, points = network.double(), points.double()
    expected = arrays["embedding_f64"]
    np.testing.assert_allclose(network(points, sizes)[:, 0], expected, rtol=0, atol=1e-8 * np.abs(expected).mean())
    averaged_in_float32(network, points)
    np.testing.assert_allclose(network(points, sizes)[:, 0], expected, rtol=0, atol=1e-11)


def test_published_layout_fits() -> None:
    (layout,) = parity_json("openshape_spconv_layouts.json").values()
    state = {name.removeprefix("module."): tensor for name, tensor in meta_state(layout).items()}
    assert networks_in({"state_dict": state}) == (NAME,)
    network = network_spec(NAME).empty()
    assert network.embedding_dim == 1280
    assert len(state) == len(network.state_dict()) == 266
    assert sum(parameter.numel() for parameter in network.parameters()) == 41_327_104
    for parts in ({"state_dict": state, "logit_scale": {"logit_scale": torch.ones(())}}, {"": state}):
        fill_network(network, MinkResNet.from_published(parts), source="model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt does not fit the network; 1 unknown: extra\. Check"):
        fill_network(network, MinkResNet.from_published({"": state | {"extra": torch.ones(1)}}), source="model.pt")
    with pytest.raises(WeightsError, match=r"conv0p1s1\.kernel of model\.pt is \(125, 6, 32\) .*; expected \(125, 6, 8\) "):
        fill_network(build(), {name: state.get(name, tensor) for name, tensor in build().state_dict().items()}, source="model.pt")


def test_a_cloud_in_a_batch_is_the_cloud_alone() -> None:
    network = build().eval()
    several = clouds(100, 37, 260, 5, 1)
    points, sizes = pad_clouds(several)
    points[1, 37:] = torch.nan
    points[3, 5:] = 1e4
    together = network(points, sizes)
    assert together.shape == (5, 1, 40)
    for cloud, features in zip(several, together, strict=True):
        torch.testing.assert_close(network(cloud[None], torch.tensor([len(cloud)]))[0], features, atol=1e-5, rtol=1e-5)


def test_a_large_batch_is_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build()
    points, sizes = pad_clouds(clouds(90, 60, 70, 80, 50))
    whole = network.eval()(points, sizes)
    kept = keep_outputs(network, last="conv4p8s2")
    monkeypatch.setattr("basrelief.encoders.points.mink_resnet._POINTS", 200)
    torch.testing.assert_close(network(points, sizes), whole, atol=1e-5, rtol=1e-5)
    in_part = len(kept["last"])
    with torch.random.fork_rng():
        network.train()(points, sizes)
    assert len(kept["last"]) > 3 * in_part


def test_order_of_the_points_does_not_matter() -> None:
    network = build().eval()
    (cloud,) = clouds(300)
    shuffled = cloud[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    sizes = torch.tensor([300])
    torch.testing.assert_close(network(shuffled[None], sizes), network(cloud[None], sizes), atol=1e-5, rtol=1e-5)


def test_every_parameter_trains() -> None:
    network = build().train()
    points, sizes = pad_clouds(clouds(300, 200, 250))
    points.requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(points, sizes).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert without == []
    assert points.grad is not None and points.grad[0].any() and not points.grad[1, 200:].any()
    assert {int(tensor) for n, tensor in network.named_buffers() if n.endswith("num_batches_tracked")} == {1}


def test_training_tells_clouds_apart() -> None:
    network = build().train()
    points, sizes = pad_clouds([cloud * scale for cloud, scale in zip(clouds(200, 200, 200, 200), (1, 0.5, 1, 0.5), strict=True)])
    target = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(12):
            loss = (network(points, sizes)[:, 0, :1] - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_double_precision() -> None:
    network = build().eval()
    points, sizes = pad_clouds(clouds(80, 50))
    single = network(points, sizes)
    double = network.double()(points.double(), sizes)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_memory_at_100_000_points() -> None:
    """A cloud of 100,000 points that fills its volume needs less than 2 GB."""
    program = f"""
import resource, torch
from basrelief.encoders.points.recognise import networks_in
from basrelief.encoders.points.registry import network_spec
network = network_spec("{NAME}").build().eval().requires_grad_(False)
points = torch.rand(1, 100_000, 6) - 0.5
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network(points, torch.tensor([100_000]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2000


@pytest.mark.gpu
def test_cuda_gives_the_same_voxels_and_features() -> None:
    steps = torch.arange(-50, 51) * 0.02  # multiples of the voxel lie on faces
    xyz = torch.cartesian_prod(steps[::10], steps[::7], steps)
    cloud = torch.zeros(len(xyz), dtype=torch.int64)
    grid, voxel = voxelise(xyz, cloud, voxel_size=0.02)
    on_cuda, voxel_on_cuda = voxelise(xyz.cuda(), cloud.cuda(), voxel_size=0.02)
    assert torch.equal(on_cuda.keys.cpu(), grid.keys)
    assert torch.equal(voxel_on_cuda.cpu(), voxel)
    network = build().eval()
    points, sizes = pad_clouds(clouds(300, 200))
    expected = network(points, sizes)
    torch.testing.assert_close(network.cuda()(points.cuda(), sizes.cuda()).cpu(), expected, atol=1e-4, rtol=1e-4)
