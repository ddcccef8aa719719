"""Milliseconds and memory that each point network takes for a cloud, alone and in a batch, beside a peer in plain torch.

    GOMP_SPINCOUNT=10000 python benchmarks/points.py --threads 2
    python benchmarks/points.py --network openshape-pointbert --batch 1 8 --repeats 10

Weights are random, clouds lie on a bumpy surface. Times are the best of several runs, divided by the clouds of a batch; memory is how much
the process's peak grows during the runs, or the peak of the GPU's memory, likewise. Each measurement has a process of its own. `peer` is
what the published code becomes when its CUDA parts are rewritten in plain torch: farthest points in the usual loop, neighbours by sorting
the indices or the distances of all points, attention by two matrix products, batch norm as a layer, neighbouring voxels by a dictionary. It
reads the same weights and must give the same features.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.points.blocks import SplitAttention
from basrelief.encoders.points.point_bert import PointBert
from basrelief.encoders.points.point_patch import PatchTransformer, PointPatchTransformer
from basrelief.encoders.points.registry import list_point_networks, network_spec
from basrelief.encoders.points.tamm import TammPointPatch
from basrelief.encoders.points.uni3d import Uni3d
from peers.sparse_conv import openshape_sparse, tamm_sparse

Peer = Callable[[PointNetwork, Tensor], Tensor]
TOLERANCE = 1e-4  # of the largest feature


@dataclass(frozen=True)
class Case:
    """A measurement.

    Attributes:
        network: Name of the network.
        batch: Clouds of a batch.
        points: Points of a cloud.
        peer: Whether to measure the peer instead.
        device: cpu or cuda.
        threads: Threads of torch.
        repeats: Runs.
    """

    network: str
    batch: int
    points: int
    peer: bool
    device: str
    threads: int
    repeats: int


def clouds(batch: int, points: int) -> Tensor:
    """Points on bumpy closed surfaces in the unit sphere, with colours, (batch, points, 6)."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(batch, points, 3))
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    radius = 0.75 + 0.25 * np.sin(4 * direction[..., :1]) * np.cos(5 * direction[..., 2:])
    xyz = direction * radius * (1.0, 0.8, 0.6)
    return torch.from_numpy(np.concatenate([xyz, rng.random((batch, points, 3))], axis=2)).float()


def usual_farthest(xyz: Tensor, count: int) -> Tensor:
    """The loop for farthest points that most repositories have, (B, count)."""
    batch, total, _ = xyz.shape
    chosen = torch.zeros(batch, count, dtype=torch.long, device=xyz.device)
    distance = torch.full((batch, total), 1e10, device=xyz.device)
    farthest, rows = chosen[:, 0].clone(), torch.arange(batch, device=xyz.device)
    for i in range(count):
        chosen[:, i] = farthest
        latest = ((xyz - xyz[rows, farthest][:, None]) ** 2).sum(-1)
        closer = latest < distance
        distance[closer] = latest[closer]
        farthest = distance.max(-1)[1]
    return chosen


def usual_distances(centres: Tensor, xyz: Tensor) -> Tensor:
    """Squared distances by a matrix product, (B, M, N)."""
    return -2 * centres @ xyz.transpose(1, 2) + (centres**2).sum(-1)[..., None] + (xyz**2).sum(-1)[:, None]


def usual_ball(centres: Tensor, xyz: Tensor, radius: float, count: int) -> Tensor:
    """The lowest indices in a ball, by sorting those of all points, (B, M, count)."""
    index = torch.arange(xyz.shape[1], device=xyz.device).repeat(*centres.shape[:2], 1)
    index[usual_distances(centres, xyz) > radius**2] = xyz.shape[1]
    index = index.sort(dim=-1)[0][..., :count]
    return torch.where(index == xyz.shape[1], index[..., :1], index)


def usual_gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows of each cloud, (B, ..., C)."""
    return values[torch.arange(len(values), device=values.device).view(-1, *[1] * (index.dim() - 1)), index]


def patch_transformer(network: PatchTransformer, points: Tensor) -> Tensor:
    """OpenShape's transformer over patches, written the usual way, (B, dim)."""
    size, abstraction = network.sa.size, network.sa
    xyz = points[..., :3]
    centres = usual_gather(xyz, usual_farthest(xyz, size.patches))
    members = usual_gather(points, usual_ball(centres, xyz, size.radius, size.samples))
    features = torch.cat([members[..., :3] - centres[:, :, None], members], dim=-1).permute(0, 3, 2, 1)
    for convolution, norm in zip(abstraction.mlp_convs, abstraction.mlp_bns, strict=True):
        features = F.conv2d(features, convolution.weight, convolution.bias)
        features = F.relu(F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    lift, _, norm = network.lift
    tokens = norm(F.conv1d(torch.cat([centres.transpose(1, 2), features.max(2)[0]], dim=1), lift.weight, lift.bias).transpose(1, 2))
    tokens = torch.cat([network.cls_token.expand(len(tokens), 1, -1), tokens], dim=1)
    for attention, perceptron in network.transformer.layers:
        query, key, value = (
            part.unflatten(-1, (size.heads, -1)).transpose(1, 2) for part in attention.fn.to_qkv(attention.norm(tokens)).chunk(3, dim=-1)
        )
        read = (query @ key.transpose(-1, -2) / 8).softmax(-1) @ value
        tokens = tokens + attention.fn.to_out(read.transpose(1, 2).flatten(2))
        tokens = tokens + perceptron.fn.net(perceptron.norm(tokens))
    return tokens[:, 0]


def openshape(network: PointPatchTransformer, points: Tensor) -> Tensor:
    """Peer of OpenShape's "PointBERT"."""
    return network.proj(patch_transformer(network.ppat, points))[:, None]


def tamm(network: TammPointPatch, points: Tensor) -> Tensor:
    """Peer of TAMM's "PointBERT"."""
    features = patch_transformer(network.ppat, points)
    return torch.stack([network.text_alignment_adapter(features), network.image_alignment_adapter(features)], dim=1)


def group_tokens(encoder: nn.Module, points: Tensor, channels: int, count: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Centres (B, G, 3) and features (B, G, width) of groups of nearest points, encoded by convolutions."""
    xyz = points[..., :3]
    centres = usual_gather(xyz, usual_farthest(xyz, count))
    members = usual_gather(points[..., :channels], usual_distances(centres, xyz).topk(neighbours, largest=False, sorted=False)[1])
    groups = torch.cat([members[..., :3] - centres[:, :, None], members[..., 3:]], dim=-1).flatten(0, 1).transpose(1, 2)
    local = encoder.first_conv(groups)
    joint = torch.cat([local.max(2, keepdim=True)[0].expand_as(local), local], dim=1)
    return centres, encoder.second_conv(joint).max(2)[0].unflatten(0, centres.shape[:2])


def usual_attention(attention: nn.Module, tokens: Tensor) -> Tensor:
    """Attention of Point-BERT and EVA by two matrix products."""
    if isinstance(attention, SplitAttention):
        query, key, value = attention.q_proj(tokens), attention.k_proj(tokens), attention.v_proj(tokens)
    else:
        query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
        if attention.q_bias is not None:
            query, value = query + attention.q_bias, value + attention.v_bias
    query, key, value = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value))
    read = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1) @ value
    return attention.proj(read.transpose(1, 2).flatten(2))


def usual_block(block: nn.Module, tokens: Tensor) -> Tensor:
    """A block of Point-BERT or EVA."""
    tokens = tokens + usual_attention(block.attn, block.norm1(tokens))
    return tokens + block.mlp(block.norm2(tokens))


def ulip(network: PointBert, points: Tensor) -> Tensor:
    """Peer of Point-BERT."""
    size, inner = network.size, network.point_encoder
    centres, tokens = group_tokens(inner.encoder, points, 6 if size.colored else 3, size.groups, size.neighbours)
    tokens = torch.cat([inner.cls_token.expand(len(points), -1, -1), inner.reduce_dim(tokens)], dim=1)
    positions = torch.cat([inner.cls_pos.expand(len(points), -1, -1), inner.pos_embed(centres)], dim=1)
    for block in inner.blocks.blocks:
        tokens = usual_block(block, tokens + positions)
    tokens = inner.norm(tokens)
    return (torch.cat([tokens[:, 0], tokens[:, 1:].max(1)[0]], dim=-1) @ network.pc_projection)[:, None]


def uni3d(network: Uni3d, points: Tensor) -> Tensor:
    """Peer of Uni3D."""
    size, inner = network.size, network.point_encoder
    centres, tokens = group_tokens(inner.encoder, points, 6, size.groups, size.neighbours)
    tokens = torch.cat([inner.cls_token.expand(len(points), -1, -1), inner.encoder2trans(tokens)], dim=1)
    tokens = tokens + torch.cat([inner.cls_pos.expand(len(points), -1, -1), inner.pos_embed(centres)], dim=1)
    for block in inner.visual.blocks:
        tokens = usual_block(block, tokens)
    return inner.trans2embed(inner.visual.fc_norm(tokens[:, 0]))[:, None]


PEERS: Mapping[str, Peer | None] = {
    "openshape-pointbert": openshape,
    "openshape-pointbert-vitl14": openshape,
    "openshape-pointbert-vitb32": openshape,
    "tamm-pointbert": tamm,
    "ulip": ulip,
    "ulip2-colored": ulip,
    "uni3d-ti": uni3d,
    "uni3d-s": uni3d,
    "uni3d-b": uni3d,
    "uni3d-l": uni3d,
    "openshape-sparseconv": openshape_sparse,
    "tamm-sparseconv": tamm_sparse,
}
"""What is measured without `--network`, with the peer of each network."""


def scattered(network: nn.Module) -> None:
    """Give batch norms statistics that are not those of initial weights, so that the comparison with the peer means something."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)


def measure(case: Case) -> tuple[float, float]:
    """Milliseconds and megabytes for each cloud of a batch."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    network = network_spec(case.network).build().eval().requires_grad_(False)
    scattered(network)
    points, sizes = clouds(case.batch, case.points).to(case.device), torch.full((case.batch,), case.points, device=case.device)
    network.to(case.device)
    peer = PEERS.get(case.network) if case.peer else None
    with torch.inference_mode():
        run = (lambda: peer(network, points)) if peer else lambda: network(points, sizes)
        ms, memory = timed(run, case)
        if peer and case.batch == 1:
            check_same(case.network, run(), network(points, sizes))
    return ms / case.batch, memory / case.batch


def timed(run: Callable[[], Tensor], case: Case) -> tuple[float, float]:
    """Shortest of some runs after one to warm up, and the growth of peak memory, in megabytes."""
    cuda = case.device.startswith("cuda")
    before = torch.cuda.max_memory_allocated() / 2**20 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    times = []
    for _ in range(case.repeats + 1):
        start = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    after = torch.cuda.max_memory_allocated() / 2**20 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return 1000 * min(times[1:]), after - before


def check_same(name: str, peer: Tensor, ours: Tensor) -> None:
    """Stop if the peer computes something else."""
    difference = float((peer - ours).abs().max() / ours.abs().max())
    if difference > TOLERANCE:
        raise SystemExit(f"{name}: the peer's features differ by {difference:.1e} of the largest. One of the two is wrong.")


def in_own_process(case: Case) -> tuple[float, float]:
    """Measure in a fresh process, whose peak memory nothing else has raised."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (case,))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the point networks and measure their memory.")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (2)")
    parser.add_argument("--points", type=int, default=10_000, help="points of a cloud (10000)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="clouds of a batch (1 8)")
    parser.add_argument("--network", nargs="+", default=list(PEERS), choices=list_point_networks(), metavar="NAME", help="which networks")
    parser.add_argument("--repeats", type=int, default=5, help="best of so many runs (5)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--no-peer", action="store_true", help="leave out the peers")
    args = parser.parse_args()
    print(
        f"torch {torch.__version__}, {args.device}, {args.threads} threads, best of {args.repeats}, {args.points:,} points; a cloud takes"
    )
    print(f"{'network':28}{'batch':>6}{'ms':>10}{'MB':>8}{'peer ms':>10}{'MB':>8}{'ratio':>8}")
    for name in args.network:
        for batch in args.batch:
            case = Case(name, batch, args.points, peer=False, device=args.device, threads=args.threads, repeats=args.repeats)
            ms, memory = in_own_process(case)
            line = f"{name:28}{batch:>6}{ms:>10,.1f}{memory:>8,.0f}"
            if PEERS.get(name) and not args.no_peer:
                other, more = in_own_process(Case(**{**vars(case), "peer": True}))
                line += f"{other:>10,.1f}{more:>8,.0f}{other / ms:>7.1f}x"
            print(line, flush=True)


if __name__ == "__main__":
    main()
