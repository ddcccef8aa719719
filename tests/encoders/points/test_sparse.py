"""Sparse grids and convolutions: MinkowskiEngine's recorded layers, dense convolutions, and exact voxels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basrelief.encoders.points.sparse import (
    KernelMap,
    Reduction,
    SparseConv,
    VoxelGrid,
    kernel_map,
    pool_clouds,
    pool_kernel,
    voxel_means,
    voxelise,
)
from basrelief.errors import GeometryError
from support import parity_arrays

Arrays = dict[str, np.ndarray]
LAYERS = {  # name: size of the kernel, strides of input and output, array that is its input
    "k3s1": (3, 1, 1, "in"),
    "k3s1_bias": (3, 1, 1, "in"),
    "k5s1": (5, 1, 1, "in"),
    "k2s2": (2, 1, 2, "in"),
    "k1s1": (1, 1, 1, "in"),
    "k1s2": (1, 1, 2, "in"),
    "k3s2": (3, 1, 2, "in"),
    "k3s1_on_stride2": (3, 2, 2, "k2s2"),
    "k2s2_on_stride2": (2, 2, 4, "k2s2"),
    "k3s2_on_stride2": (3, 2, 4, "k3s2"),
}
SHAPES = [(3, 1), (5, 1), (2, 2), (3, 2)]


@pytest.fixture(scope="module")
def recorded() -> Arrays:
    return parity_arrays("minkowski_layers.npz")


def tensor(arrays: Arrays, name: str) -> Tensor:
    return torch.from_numpy(arrays[name])


def grids(arrays: Arrays) -> dict[int, VoxelGrid]:
    """The grid of the recorded input, whose rows are sorted, and the coarser ones."""
    finest, voxel = VoxelGrid.of(tensor(arrays, "in/coords"))
    assert torch.equal(voxel, torch.arange(len(finest)))
    found = {1: finest}
    for stride in (2, 4):
        found[stride], _ = found[stride // 2].coarsen(2)
    return found


def close(found: Tensor, expected: Tensor, atol: float = 5e-6) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def scattered(count: int, seed: int = 0, reach: int = 6) -> VoxelGrid:
    """Voxels of two clouds on both sides of the origin."""
    coords = torch.randint(-reach, reach + 1, (count, 4), generator=torch.Generator().manual_seed(seed))
    coords[:, 0] %= 2
    return VoxelGrid.of(coords)[0]


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_the_original(name: str, recorded: Arrays) -> None:
    size, before, after, given = LAYERS[name]
    source, target = grids(recorded)[before], grids(recorded)[after]
    kernel = tensor(recorded, f"{name}/kernel")
    layer = SparseConv(kernel.shape[-2], kernel.shape[-1], size, bias="bias" in name)
    with torch.no_grad():
        layer.kernel.set_(kernel)
        if layer.bias is not None:
            layer.bias.set_(tensor(recorded, f"{name}/bias"))
    assert torch.equal(target.coords, tensor(recorded, f"{name}/coords").long())
    assert recorded[f"{name}/tensor_stride"].tolist() == [target.stride] * 3
    pairs = None if kernel.ndim == 2 else kernel_map(source, target, size)
    close(layer(tensor(recorded, f"{given}/feats"), pairs), tensor(recorded, f"{name}/feats"))


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("k3s1_bias", "k1s1", "k1s2")])
def test_offsets_of_the_original(name: str, recorded: Arrays) -> None:
    size, before, after, _ = LAYERS[name]
    source, target = grids(recorded)[before], grids(recorded)[after]
    pairs = kernel_map(source, target, size).pairs
    for offset, (rows, into) in zip(tensor(recorded, f"offsets/{name}").long(), pairs, strict=True):
        assert torch.equal(source.coords[rows, 1:] - target.coords[into, 1:], offset.expand(len(rows), -1))
        assert torch.equal(source.coords[rows, 0], target.coords[into, 0])


def test_batch_norm_of_the_original(recorded: Arrays) -> None:
    features = tensor(recorded, "k3s1/feats")
    norm = nn.BatchNorm1d(features.shape[1], eps=float(recorded["bn_eval/eps"]))
    assert norm.eps == nn.BatchNorm1d(1).eps
    norm.load_state_dict({name.removeprefix("bn_eval/bn."): tensor(recorded, name) for name in recorded if name.startswith("bn_eval/bn.")})
    close(norm.eval()(features), tensor(recorded, "bn_eval/feats"))
    close(F.leaky_relu(features, 0.01), tensor(recorded, "leaky_relu/feats"))
    close(norm.train()(features), tensor(recorded, "bn_train/feats"))
    close(norm.running_mean, tensor(recorded, "bn_train/running_mean_after"))
    close(norm.running_var, tensor(recorded, "bn_train/running_var_after"))


@pytest.mark.parametrize(("how", "name"), [("max", "max"), ("mean", "avg"), ("sum", "sum")])
def test_pooling_of_clouds_of_the_original(how: Reduction, name: str, recorded: Arrays) -> None:
    grid, features = grids(recorded)[2], tensor(recorded, "k2s2/feats")
    pooled = pool_clouds(features, grid, how, clouds=2)
    expected = tensor(recorded, f"global_{name}/feats")
    torch.testing.assert_close(pooled, expected, atol=0 if how == "max" else 5e-6, rtol=0 if how == "max" else 1e-6)


@pytest.mark.parametrize(("how", "name"), [("max", "maxpool_k3s2"), ("mean", "avgpool_k3s2")])
def test_pooling_under_a_kernel_of_the_original(how: Reduction, name: str, recorded: Arrays) -> None:
    grid = grids(recorded)
    pooled = pool_kernel(tensor(recorded, "in/feats"), kernel_map(grid[1], grid[2], 3), how)
    close(pooled, tensor(recorded, f"{name}/feats"), atol=0 if how == "max" else 5e-6)


def test_voxels_and_slices_of_the_original(recorded: Arrays) -> None:
    coords, features = tensor(recorded, "field/coords"), tensor(recorded, "field/feats")
    grid, voxel = voxelise(coords[:, 1:], coords[:, 0].long(), voxel_size=1.0)
    assert torch.equal(grid.coords, tensor(recorded, "field/voxel_coords").long())
    close(voxel_means(features, voxel, len(grid)), tensor(recorded, "field/voxel_feats"))
    coarse, parent = grid.coarsen(2)
    coarsest, grandparent = coarse.coarsen(2)
    assert torch.equal(coarse.coords, tensor(recorded, "field_k2s2/coords").long())
    assert torch.equal(coarsest.coords, tensor(recorded, "field_k2s2b/coords").long())
    slices = [tensor(recorded, "field_k2s2/feats")[parent], tensor(recorded, "field_k2s2b/feats")[grandparent[parent]]]
    assert torch.equal(slices[0][voxel], tensor(recorded, "field/slice_stride2"))
    assert torch.equal(slices[1][voxel], tensor(recorded, "field/slice_stride4"))
    assert torch.equal(grid.coords, tensor(recorded, "field/cat_sparse_coords").long())
    close(torch.cat(slices, 1), tensor(recorded, "field/cat_sparse_feats"))


@pytest.mark.parametrize(("size", "factor"), SHAPES)
def test_same_as_a_dense_convolution(size: int, factor: int) -> None:
    source = scattered(300)
    target = source if factor == 1 else source.coarsen(factor)[0]
    features, kernel = random(len(source), 4), random(size**3, 4, 3, seed=2)
    layer = SparseConv(4, 3, size).double()
    with torch.no_grad():
        layer.kernel.copy_(kernel)
    volume = torch.zeros(2, 20, 20, 20, 4, dtype=torch.float64)  # coordinate -10 is index 0
    volume[tuple((source.coords + torch.tensor([0, 10, 10, 10])).T)] = features
    weight = kernel.reshape(size, size, size, 4, 3).permute(4, 3, 2, 1, 0)
    padding = size // 2 if size % 2 else 0
    dense = F.conv3d(volume.permute(0, 4, 1, 2, 3), weight, padding=padding)
    at = target.coords + torch.tensor([0, 10, 10, 10])
    close(layer(features, kernel_map(source, target, size)), dense.permute(0, 2, 3, 4, 1)[tuple(at.T)], atol=1e-12)


@pytest.mark.parametrize(("size", "factor"), SHAPES)
def test_pairs_are_those_of_a_dictionary(size: int, factor: int) -> None:
    source, _ = scattered(150, seed=3, reach=5).coarsen(2)
    target = source if factor == 1 else source.coarsen(factor)[0]
    rows = {tuple(voxel): row for row, voxel in enumerate(source.coords.tolist())}
    start = -(size // 2) if size % 2 else 0
    found = kernel_map(source, target, size)
    assert found.outputs == len(target)
    for k, (iz, iy, ix) in enumerate(itertools.product(range(size), repeat=3)):  # x is the fastest
        step = [source.stride * (start + i) for i in (ix, iy, iz)]
        wanted = [(b, x + step[0], y + step[1], z + step[2]) for b, x, y, z in target.coords.tolist()]
        expected = [(rows[voxel], into) for into, voxel in enumerate(wanted) if voxel in rows]
        assert list(zip(*(side.tolist() for side in found.pairs[k]), strict=True)) == expected


@pytest.mark.parametrize(("k", "offset"), [(12, (-1, 0, 0)), (16, (0, 1, 0)), (22, (0, 0, 1)), (26, (1, 1, 1))])
def test_a_kernel_of_one_offset_reads_the_voxel_there(k: int, offset: tuple[int, int, int]) -> None:
    source = VoxelGrid.of(torch.tensor([[0, 5, 5, 5], [0, *(5 + step for step in offset)]]))[0]
    layer = SparseConv(1, 1, 3)
    with torch.no_grad():
        layer.kernel.zero_()[k] = 1
    voxel = source.coords[:, 1:].tolist()
    features = torch.tensor([[1.0] if at == [5, 5, 5] else [10.0] for at in voxel])
    out = layer(features, kernel_map(source, source, 3))
    assert out[voxel.index([5, 5, 5])].item() == 10
    assert out.sum().item() == 10


def test_strided_kernels_do_not_grow_the_grid() -> None:
    source = VoxelGrid.of(torch.tensor([[0, -1, 0, 3], [0, -2, 1, 2], [1, 0, 0, 0]]))[0]
    target, parent = source.coarsen(2)
    assert target.coords.tolist() == [[0, -2, 0, 2], [1, 0, 0, 0]]
    assert parent.tolist() == [0, 0, 1]
    assert kernel_map(source, target, 3).outputs == 2


def test_gradients_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    source = scattered(30, reach=2)
    target = source.coarsen(2)[0]
    for there, size in ((source, 3), (target, 3), (target, 2)):
        pairs = kernel_map(source, there, size)
        layer = SparseConv(2, 3, size).double()

        def convolve(features: Tensor, kernel: Tensor, layer: SparseConv = layer, pairs: KernelMap = pairs) -> Tensor:
            out: Tensor = torch.func.functional_call(layer, {"kernel": kernel}, (features, pairs))
            return out

        features = random(len(source), 2)
        assert torch.autograd.gradcheck(convolve, (features.requires_grad_(), layer.kernel))
        whole = convolve(features, layer.kernel)
        monkeypatch.setattr("basrelief.encoders.points.sparse._ROWS", 3)
        torch.testing.assert_close(convolve(features, layer.kernel), whole)
        monkeypatch.undo()


def test_levels_are_features_side_by_side() -> None:
    source = scattered(60, reach=3)
    coarse, parent = source.coarsen(2)
    coarsest, grandparent = coarse.coarsen(2)
    owners = [None, parent, grandparent[parent]]
    levels = [random(len(grid), width).requires_grad_() for grid, width in ((source, 2), (coarse, 1), (coarsest, 3))]
    layer, pairs = SparseConv(6, 2, 3).double(), kernel_map(source, coarse, 3)

    def convolve(kernel: Tensor, *levels: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(layer, {"kernel": kernel}, (list(zip(levels, owners, strict=True)), pairs))
        return out

    together = torch.cat([features if owner is None else features[owner] for features, owner in zip(levels, owners, strict=True)], 1)
    torch.testing.assert_close(convolve(layer.kernel, *levels), layer(together, pairs))
    assert torch.autograd.gradcheck(convolve, (layer.kernel, *levels))


def test_mixed_precision_keeps_the_dtype_of_the_features() -> None:
    source = scattered(40)
    pairs = kernel_map(source, source, 3)
    layer, features = SparseConv(2, 3, 3), random(len(source), 2).float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(features, pairs)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, layer(features, pairs), atol=0.05, rtol=0.05)
    mixed.sum().backward()
    assert layer.kernel.grad is not None and layer.kernel.grad.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_on_faces_divide_as_float32(dtype: torch.dtype) -> None:
    steps = np.arange(-50, 51)
    values = (steps * np.float64(0.02)).astype(np.float32)
    expected = np.floor(values / np.float32(0.02)).astype(int)
    assert (expected != steps).any()  # a multiplication or another precision gives other voxels
    xyz = torch.zeros(len(values), 3, dtype=dtype)
    xyz[:, 1] = torch.from_numpy(values)
    kept = xyz.clone()
    grid, voxel = voxelise(xyz, torch.zeros(len(values), dtype=torch.int64), voxel_size=0.02)
    assert grid.coords[voxel][:, 2].tolist() == expected.tolist()
    assert torch.equal(xyz, kept)


@pytest.mark.parametrize(("value", "shown"), [(1000.0, "1000"), (float("nan"), "nan")])
def test_points_out_of_reach_are_refused(value: float, shown: str) -> None:
    with pytest.raises(GeometryError, match=rf"^A point lies {shown} from the origin; expected at most 650\.24\. Centre the cloud"):
        voxelise(torch.tensor([[0.0, value, 0.0]]), torch.zeros(1, dtype=torch.int64), voxel_size=0.02)
