"""Seconds and memory that 3DETR takes for a scene, stage by stage, beside a peer in plain torch.

    GOMP_SPINCOUNT=10000 python benchmarks/threedetr.py --threads 2
    python benchmarks/threedetr.py --network 3detr-scannet --threads 1 --cpu

Weights are random, the scene is a furnished room of a million points, of which the network reads 40,000. Times are the best of several
runs; memory is how much the process's peak grows. Each column has a process of its own. `peer` is what the published code becomes when its
CUDA parts are rewritten in plain torch: farthest points in the usual loop, balls by sorting the indices of all points, 256 balls at a time,
convolutions and batch norms as layers over all points of all balls at once, attention by two matrix products. It reads the same weights and
must give the same boxes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.geometry.sampling import subsample
from basrelief.scenes.threedetr.blocks import Attention, DecoderLayer, EncoderLayer, SetAbstraction
from basrelief.scenes.threedetr.decode import BoxPredictions, decode_boxes
from basrelief.scenes.threedetr.network import MASK_DISTANCES, Decoder, Encoder, ThreeDetr
from basrelief.scenes.threedetr.proposer import to_proposals
from basrelief.scenes.threedetr.sizes import published_sizes
from basrelief.types import PointCloud
from points import scattered, usual_farthest, usual_gather

TOLERANCE = 1e-3  # metres
STAGES = ("sample", "first balls", "encoder", "decoder and boxes", "empty boxes")


@dataclass
class Clock:
    """Seconds since the last lap, by stage; the best of several runs.

    Attributes:
        read: Returns the time: of the wall, or of the CPU, which does not depend on what else runs if there is one thread.
    """

    read: Callable[[], float]
    best: dict[str, float] = field(default_factory=dict)
    last: float = 0.0

    def start(self) -> None:
        """Start a run."""
        self.last = self.read()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = self.read()
        self.best[stage] = min(self.best.get(stage, np.inf), now - self.last)
        self.last = now


def room(points: int) -> PointCloud:
    """Points on the floor, two walls and twenty boxes of a room of 6 x 5 x 2.6 m, a metre from the origin."""
    rng = np.random.default_rng(0)
    cloud = rng.random((points, 3)) * (6, 5, 2.6)
    part = rng.integers(0, 6, points)
    for axis in range(3):
        cloud[part == axis, (axis + 2) % 3] = 0
    low = rng.random((20, 3)) * (5, 4, 0.6)
    size = 0.3 + rng.random((20, 3))
    thing, face = rng.integers(0, 20, points), rng.integers(0, 3, points)
    inside = low[thing] + size[thing] * rng.random((points, 3))
    rows = np.arange(points)
    inside[rows, face] = low[thing, face] + size[thing, face] * rng.integers(0, 2, points)
    cloud[part > 2] = inside[part > 2]
    return PointCloud((cloud + 1).astype(np.float32))


def usual_balls(xyz: Tensor, centres: Tensor, radius: float, count: int) -> Tensor:
    """The lowest indices in each ball, by sorting those of all points, (1, M, count)."""
    found = []
    for part in centres[0].split(256):
        index = torch.arange(xyz.shape[1], device=xyz.device).repeat(len(part), 1)
        index[((part[:, None] - xyz) ** 2).sum(-1) >= radius**2] = xyz.shape[1]
        index = index.sort(dim=-1)[0][:, :count]
        found.append(torch.where(index == xyz.shape[1], index[:, :1], index))
    return torch.cat(found)[None]


def usual_abstraction(module: SetAbstraction, xyz: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Set abstraction with convolutions and batch norms as layers."""
    centres = usual_gather(xyz, usual_farthest(xyz, module.centres))
    index = usual_balls(xyz, centres, module.radius, module.samples)
    members = torch.cat([(usual_gather(xyz, index) - centres[:, :, None]) / module.radius, usual_gather(features, index)], dim=-1)
    members = members.permute(0, 3, 1, 2)
    for layer in module.mlp_module.values():
        norm = layer.bn["bn"]
        members = F.conv2d(members, layer.conv.weight)
        members = F.relu(F.batch_norm(members, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    return centres, members.max(3)[0].transpose(1, 2)


def usual_attention(module: Attention, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor | None = None) -> Tensor:
    """Attention by two matrix products."""
    projected = zip((query, key, value), module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    query, key, value = (F.linear(*each).unflatten(-1, (module.heads, -1)).transpose(1, 2) for each in projected)
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if blocked is not None:
        logits = logits.masked_fill(blocked[:, None], -torch.inf)
    return module.out_proj((logits.softmax(-1) @ value).transpose(1, 2).flatten(2))


def usual_encoder_layer(layer: EncoderLayer, tokens: Tensor, blocked: Tensor | None) -> Tensor:
    """A layer of the encoder."""
    normal = layer.norm1(tokens)
    tokens = tokens + usual_attention(layer.self_attn, normal, normal, normal, blocked)
    return tokens + layer.linear2(F.relu(layer.linear1(layer.norm2(tokens))))


def usual_encoder(encoder: Encoder, xyz: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The encoder, with distances by a matrix product."""
    for i, layer in enumerate(encoder.layers):
        tokens = usual_encoder_layer(layer, tokens, torch.cdist(xyz, xyz) >= MASK_DISTANCES[i] if encoder.masked else None)
        if encoder.masked and i == 0:
            xyz, tokens = usual_abstraction(encoder.interim_downsampling, xyz, tokens)
    return xyz, tokens


def usual_decoder(decoder: Decoder, queries: Tensor, positions: Tensor, memory: Tensor) -> Tensor:
    """The states after the last layer of the decoder."""
    states = torch.zeros_like(queries)
    for layer in decoder.layers:
        states = usual_decoder_layer(layer, states, queries, memory + positions, memory)
    return decoder.norm(states)


def usual_decoder_layer(layer: DecoderLayer, states: Tensor, queries: Tensor, keys: Tensor, memory: Tensor) -> Tensor:
    """A layer of the decoder."""
    normal = layer.norm1(states)
    states = states + usual_attention(layer.self_attn, normal + queries, normal + queries, normal)
    states = states + usual_attention(layer.multihead_attn, layer.norm2(states) + queries, keys, memory)
    return states + layer.linear2(F.relu(layer.linear1(layer.norm3(states))))


def usual_network(network: ThreeDetr, points: Tensor, clock: Clock) -> BoxPredictions:
    """The whole network, written the usual way."""
    low, high = points[..., :3].amin(1), points[..., :3].amax(1)
    xyz, tokens = usual_abstraction(network.pre_encoder, points[..., :3], points[..., 3:])
    clock.lap("first balls")
    xyz, tokens = usual_encoder(network.encoder, xyz, tokens)
    clock.lap("encoder")
    queries = usual_gather(xyz, usual_farthest(xyz, network.size.nqueries))
    embedded = network.query_projection(network.pos_embedding(queries, low, high))
    memory = network.encoder_to_decoder_projection(tokens)
    states = usual_decoder(network.decoder, embedded, network.pos_embedding(xyz, low, high), memory)
    found = decode_boxes(network.head_outputs(states), queries, low, high)
    clock.lap("decoder and boxes")
    return found


def our_network(network: ThreeDetr, points: Tensor, clock: Clock) -> BoxPredictions:
    """The network of the package."""
    parts: tuple[tuple[nn.Module, str], ...] = ((network.pre_encoder, "first balls"), (network.encoder, "encoder"))
    handles = [module.register_forward_hook(lambda *_, stage=stage: clock.lap(stage)) for module, stage in parts]
    found = network(points)
    clock.lap("decoder and boxes")
    for handle in handles:
        handle.remove()
    return found


@dataclass(frozen=True)
class Case:
    """A measurement: the network, the scene, whether the peer is measured, threads, runs, and whether CPU time counts."""

    network: str
    cloud: PointCloud
    peer: bool
    threads: int
    repeats: int
    cpu: bool


def measure(case: Case) -> tuple[dict[str, float], float]:
    """Seconds of each stage, and megabytes."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    spec = published_sizes()[case.network]
    network = ThreeDetr(spec.size).eval().requires_grad_(False)
    scattered(network)
    run: Callable[[ThreeDetr, Tensor, Clock], BoxPredictions] = usual_network if case.peer else our_network
    clock = Clock(time.process_time if case.cpu else time.perf_counter)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.inference_mode():
        for seed in range(case.repeats):
            clock.start()
            sampled = subsample(case.cloud, spec.points, seed=seed)
            points = torch.from_numpy(sampled.points.copy())[None]
            clock.lap("sample")
            found = run(network, points, clock)
            to_proposals(found, sampled.points, spec)
            clock.lap("empty boxes")
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
        if case.peer:
            check_same(found, network(points))
    return clock.best, memory


def check_same(peer: BoxPredictions, ours: BoxPredictions) -> None:
    """Stop if the peer computes other boxes."""
    difference = float((peer.centers - ours.centers).abs().max())
    if difference > TOLERANCE:
        raise SystemExit(f"The peer's boxes differ by {difference:.1e} m. One of the two is wrong.")


def in_own_process(case: Case) -> tuple[dict[str, float], float]:
    """Measure in a fresh process, whose peak memory nothing else has raised."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (case,))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time 3DETR and measure its memory.")
    parser.add_argument("--network", default="3detr-m-scannet", choices=list(published_sizes()), help="which size (3detr-m-scannet)")
    parser.add_argument("--points", type=int, default=1_000_000, help="points of the scene (1000000)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (2)")
    parser.add_argument("--repeats", type=int, default=3, help="best of so many runs (3)")
    parser.add_argument("--cpu", action="store_true", help="count CPU time, for --threads 1 on a busy machine")
    parser.add_argument("--no-peer", action="store_true", help="leave out the peer")
    args = parser.parse_args()
    case = Case(args.network, room(args.points), False, args.threads, args.repeats, args.cpu)
    ours, memory = in_own_process(case)
    clock = "CPU time" if args.cpu else "wall time"
    print(f"torch {torch.__version__}, {args.threads} threads, {clock}, best of {args.repeats}, {args.network}, {args.points:,} points")
    if args.no_peer:
        peer, more = dict.fromkeys(STAGES, np.nan), np.nan
    else:
        peer, more = in_own_process(Case(**{**vars(case), "peer": True}))
    print(f"{'seconds':20}{'ours':>10}{'peer':>10}{'ratio':>8}")
    for stage, one, other in [*((stage, ours[stage], peer[stage]) for stage in STAGES), ("all", sum(ours.values()), sum(peer.values()))]:
        print(f"{stage:20}{one:>10.3f}{other:>10.3f}{other / one:>7.1f}x")
    print(f"{'peak memory, MB':20}{memory:>10,.0f}{more:>10,.0f}{more / max(memory, 1):>7.1f}x")


if __name__ == "__main__":
    main()
