"""A plain supervised point network taught with the shapes of `tiny`, to be read beside benchmarks/tiny.py.

    python benchmarks/supervised.py --run RUN --realistic REALISTIC.npz --steps 4000

RUN is the folder of a run of `basrelief train tiny`: its shapes, split, chance to draw each shape and changes of the clouds are
used. The network is a DGCNN (Wang et al. 2019, arXiv:1801.07829) whose neighbours are looked up once, by position: four edge
convolutions, the greatest and the mean of all points, two layers. It knows the names of its training shapes and no others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.datasets import maker_split
from basrelief.geometry import normalise_unit_sphere
from basrelief.shapes import CATEGORIES
from basrelief.train import TinySettings
from basrelief.train.augment import augment
from basrelief.train.data import ShapeSet, generated_shapes, load_shapes, sampling_weights
from basrelief.train.tiny.library import split
from tiny import POINTS, Clouds, by_training, corrupted, first_seed, labelled, line, realistic, score

NEIGHBOURS = 20
WIDTHS = (3, 64, 64, 128, 256)


class Edges(nn.Module):
    """An edge convolution: the greatest of W1 (x_j - x_i) + W2 x_i over the neighbours j, each product taken once a point."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.near, self.own = nn.Linear(inside, outside, bias=False), nn.Linear(inside, outside, bias=False)
        self.norm = nn.BatchNorm1d(outside)

    def forward(self, x: Tensor, neighbour: Tensor) -> Tensor:
        """(B, N, inside) and (B, N, K) to (B, N, outside)."""
        near = self.near(x)
        found = F.embedding_bag(neighbour.flatten(0, 1), near.flatten(0, 1), mode="max").view_as(near)  # the greatest of each bag
        return F.leaky_relu(self.norm((found - near + self.own(x)).flatten(0, 1)), 0.2).view_as(near)


class Dgcnn(nn.Module):
    """Points to class logits.

    Attributes:
        points: Read of each cloud.
    """

    def __init__(self, classes: int, *, points: int) -> None:
        super().__init__()
        self.points = points
        self.edges = nn.ModuleList(Edges(a, b) for a, b in pairwise(WIDTHS))
        self.mix = nn.Sequential(nn.Linear(sum(WIDTHS[1:]), 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.2))
        self.head = nn.Sequential(nn.Linear(1024, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Linear(256, classes))

    def forward(self, cloud: Tensor) -> Tensor:
        """(B, N, 3) to (B, C)."""
        nearest = torch.cdist(cloud, cloud).topk(min(NEIGHBOURS, cloud.shape[1]), dim=2, largest=False).indices
        neighbour = nearest + torch.arange(len(cloud), device=cloud.device)[:, None, None] * cloud.shape[1]
        layers = []
        for edges in self.edges:
            layers.append(edges(layers[-1] if layers else cloud, neighbour))
        mixed = self.mix(torch.cat(layers, dim=-1).flatten(0, 1)).view(*cloud.shape[:2], -1)
        return self.head(torch.cat([mixed.amax(dim=1), mixed.mean(dim=1)], dim=1))

    @torch.no_grad()
    def named(self, clouds: Clouds, known: Sequence[str], names: Sequence[str]) -> list[tuple[str, ...]]:
        """All names, best first; those that it was not taught come last."""
        self.eval()
        r, device = np.random.default_rng(0), next(self.parameters()).device
        found = []
        for cloud in clouds:
            rows = r.permutation(len(cloud))[: self.points]
            rows = np.resize(rows, self.points)  # clouds with fewer points repeat them
            points = normalise_unit_sphere(np.asarray(cloud, dtype=np.float32), centre="bbox")[rows]
            logits = dict(zip(known, self(torch.from_numpy(points)[None].to(device))[0].tolist(), strict=True))
            found.append(tuple(sorted(names, key=lambda name: -logits.get(name, -np.inf))))
        return found


def taught(shapes: ShapeSet, settings: TinySettings, *, steps: int, batch_size: int, points: int) -> Dgcnn:
    """A network trained on the shapes, changed as `tiny`'s are."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings.seed)
    net = Dgcnn(len(shapes.names), points=points).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.1)
    weights = sampling_weights(shapes, sampling_power=settings.sampling_power, file_weight=settings.file_weight)
    draw, generator = torch.Generator().manual_seed(settings.seed), torch.Generator(device).manual_seed(settings.seed)
    start, right, loss_sum = time.time(), 0.0, 0.0
    for step in range(1, steps + 1):
        rows = torch.multinomial(weights, batch_size, replacement=True, generator=draw)
        chosen = torch.randperm(shapes.points.shape[1], generator=draw)[:points]
        clouds = augment(shapes.points[rows][:, chosen].float().to(device), settings.augmentation_at(step / steps), generator=generator)
        logits, label = net(whole(clouds)), shapes.label[rows].to(device)
        loss = F.cross_entropy(logits, label, label_smoothing=settings.smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        right, loss_sum = right + float((logits.argmax(dim=1) == label).float().mean()), loss_sum + loss.item()
        if step % 100 == 0:
            print(f"step {step:>6}  loss {loss_sum / 100:.3f}  right {right / 100:.1%}  {time.time() - start:.0f} s", flush=True)
            right = loss_sum = 0.0
    return net


def whole(clouds: Tensor) -> Tensor:
    """Points that were cut away repeat the first that is left."""
    missing = clouds.isnan().any(dim=2)
    first = (~missing).float().argmax(dim=1)
    return torch.where(missing[..., None], clouds[torch.arange(len(clouds)), first][:, None], clouds)


def main() -> None:
    """Train the network, or read it from the run, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a run of `basrelief train tiny`")
    parser.add_argument("--realistic", type=Path, help="npz of realistic clouds: points, label, alt")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.run is None or not (given.run / "shapes.pt").is_file():
        print("supervised network: skipped, the run is absent (--run)")
        return
    torch.set_num_threads(given.threads)
    settings, shapes = TinySettings(), load_shapes(given.run / "shapes.pt")
    keep, held, _ = split(shapes, maker_split().validation, settings=settings)
    shown, names, start = shapes.select(keep), shapes.names, time.time()
    net = taught(shown, settings, steps=given.steps, batch_size=given.batch_size, points=given.points)
    size, spent = sum(p.numel() for p in net.parameters()) / 1e6, (time.time() - start) / 60
    print(f"DGCNN, {size:.1f} M parameters, {given.steps} steps of {given.batch_size} clouds of {given.points} points, {spent:.0f} min")
    name = lambda clouds, asked: net.named(clouds, names, asked)  # noqa: E731
    figures = score(name, *labelled(held), names)
    line(f"validation packs, {len(names)} names", figures)
    by_training(name, labelled(held), figures, [names[i] for i in shown.label.unique().tolist()])
    target = labelled(generated_shapes(CATEGORIES, 5, count=POINTS, seed=first_seed("validation")))
    line(f"generated, validation seeds, {len(names)} names", score(name, *target, names))
    if given.realistic is not None and given.realistic.is_file():
        target = realistic(given.realistic)
        every = [*names, *sorted(set().union(*target[1]) - set(names))]
        line(f"realistic, {len(every)} names", score(name, *target, every))
        line(f"realistic, {len(CATEGORIES)} generated names", score(name, *target, CATEGORIES))
    print("robustness, over the generated names:")
    for title, change in corrupted().items():
        r = np.random.default_rng(0)
        line(f"  {title}", score(name, [change(c, r) for c in target[0]], target[1], CATEGORIES))


if __name__ == "__main__":
    main()
