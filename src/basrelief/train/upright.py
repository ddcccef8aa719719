"""Teaches the upright network: which of several candidates for up is the right one, on this project's own shapes.

    python -m basrelief.train.upright --shapes SHAPES --out upright.safetensors

Each step turns a batch of upright shapes into candidates: as it stands, the five other axes, two other directions anywhere and two that
lean by 20 to 60 degrees. The loss is the cross entropy of the right one.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from basrelief.models.upright import POINTS, UprightNet, face_images
from basrelief.output import replace_file
from basrelief.shapes import CATEGORIES
from basrelief.train.augment import Augmentation, augment
from basrelief.train.data import GENERATED, ShapeSet, generated_shapes, merge, read_shapes, split_by_maker

FIRST_SEED = 200_000
"""Of the generated shapes; none of `tiny`'s training is among them."""


@dataclass(frozen=True)
class UprightSettings:
    """How the upright network is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Shapes of a step.
        rate: Peak learning rate of AdamW, one cycle.
        decay: Weight decay.
        each: Generated shapes of each category.
        found: Share of a batch that comes from files.
        smoothing: Label smoothing.
        seed: Of everything.
        device: Where to train.
        augmentation: What clouds suffer.
    """

    steps: int = 12000
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    each: int = 300
    found: float = 0.45
    smoothing: float = 0.03
    seed: int = 0
    device: str = "cpu"
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(stretch=0.3, taper=0.0, tilt=2.5, shift=0.0))


def train_upright(shapes: ShapeSet, settings: UprightSettings, *, report: Callable[[str], None] | None = None) -> UprightNet:
    """Train on upright shapes.

    Args:
        shapes: World frame, +Z up.
        settings: How.
        report: Told the loss every 100 steps, or None.
    """
    device = torch.device(settings.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)  # of the first weights and the dropout
        return _train(shapes, settings, report)


def _train(shapes: ShapeSet, settings: UprightSettings, report: Callable[[str], None] | None) -> UprightNet:
    generator = Generator(device=settings.device).manual_seed(settings.seed)
    net = UprightNet().to(settings.device).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=settings.steps, pct_start=0.1)
    points = shapes.points.to(settings.device)
    chance = _chances(shapes, settings.found).to(settings.device)
    start = time.monotonic()
    for step in range(settings.steps):
        chosen = torch.multinomial(chance, settings.batch, replacement=True, generator=generator)
        clouds = _clouds(points[chosen], settings.augmentation, generator)
        turns = _candidates(settings.batch, generator)
        images = face_images(torch.einsum("nkij,npj->nkpi", turns, clouds).flatten(0, 1))
        with torch.autocast(settings.device.split(":")[0], torch.bfloat16, enabled=settings.device != "cpu"):
            scores = net(images).float().view(settings.batch, -1)
        target = torch.zeros(settings.batch, dtype=torch.int64, device=scores.device)
        loss = F.cross_entropy(scores, target, label_smoothing=settings.smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if report and step % 100 == 99:
            right = float((scores.detach().argmax(dim=1) == 0).float().mean())
            report(f"step {step + 1} loss {float(loss.detach()):.3f} right {right:.3f} seconds {time.monotonic() - start:.0f}")
    return net.eval().cpu()


def save_upright(net: UprightNet, path: Path) -> None:
    """Write the weights as float16."""
    from safetensors.torch import save_file

    with replace_file(path) as part:
        save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, part)


def _chances(shapes: ShapeSet, found: float) -> Float[Tensor, " shapes"]:
    """Chance to draw each shape: classes by the square root of their size, files and generated shapes apart."""
    generated = torch.tensor([group == GENERATED for group in shapes.group])
    weight = torch.zeros(len(shapes))
    for part, share in ((~generated, found), (generated, 1 - found)):
        number = torch.bincount(shapes.label[part], minlength=len(shapes.names)).float().clamp(min=1)
        each = number[shapes.label].rsqrt() * part
        weight += share * each / each.sum().clamp(min=1e-9)
    return weight


def _clouds(points: Tensor, how: Augmentation, generator: Generator) -> Float[Tensor, "n points 3"]:
    """Random points of each shape, spoilt like real ones, half of them mirrored; points that were cut are drawn again."""
    count = int(torch.randint(256, POINTS + 1, (1,), generator=generator, device=points.device))
    some = torch.randint(0, points.shape[1], (len(points), count), generator=generator, device=points.device)
    clouds = augment(points.gather(1, some[..., None].expand(-1, -1, 3)).float(), how, generator=generator)
    good = clouds.isfinite().all(dim=2)
    again = torch.multinomial(good.float() + 1e-9, count, replacement=True, generator=generator)
    clouds = torch.where(good[..., None], clouds, clouds.gather(1, again[..., None].expand(-1, -1, 3))).nan_to_num()
    mirror = torch.randint(0, 2, (len(points), 1, 1), generator=generator, device=points.device) * 2 - 1
    clouds = torch.cat([clouds[..., :1] * mirror, clouds[..., 1:]], dim=2)
    centred = clouds - clouds.mean(dim=1, keepdim=True)
    scaled: Tensor = centred / centred.norm(dim=2).amax(dim=1)[:, None, None].clamp(min=1e-6)
    return scaled


def _candidates(count: int, generator: Generator) -> Float[Tensor, "n 10 3 3"]:
    """Rotations that make a candidate +Z up, each with its own yaw; the first keeps the shape upright."""
    device = generator.device
    axes = torch.tensor([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float32, device=device)
    anywhere = F.normalize(torch.randn(count, 2, 3, generator=generator, device=device), dim=-1)
    anywhere = torch.where(anywhere[..., 2:] > math.cos(math.radians(25)), -anywhere, anywhere)
    lean = torch.rand(count, 2, generator=generator, device=device) * math.radians(40) + math.radians(20)
    around = torch.rand(count, 2, generator=generator, device=device) * 2 * math.pi
    leaning = torch.stack([lean.sin() * around.cos(), lean.sin() * around.sin(), lean.cos()], dim=-1)
    ups = torch.cat([axes.expand(count, -1, -1), anywhere, leaning], dim=1)
    yaw = torch.rand(ups.shape[:2], generator=generator, device=device) * 2 * math.pi
    first = torch.where(ups[..., :1].abs() < 0.9, torch.tensor([1.0, 0, 0], device=device), torch.tensor([0, 1.0, 0], device=device))
    x = F.normalize(first - (first * ups).sum(dim=-1, keepdim=True) * ups, dim=-1)
    y = torch.linalg.cross(ups, x)
    turned = yaw.cos()[..., None] * x + yaw.sin()[..., None] * y
    return torch.stack([turned, torch.linalg.cross(ups, turned), ups], dim=2)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of labelled shapes, its table beside it")
    parser.add_argument("--out", type=Path, default=Path("upright.safetensors"))
    parser.add_argument("--steps", type=int, default=UprightSettings.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    settings = UprightSettings(steps=given.steps, seed=given.seed, device=given.device)
    sets = [generated_shapes(CATEGORIES, settings.each, count=4096, seed=FIRST_SEED)]
    if given.shapes:
        sets.append(split_by_maker(read_shapes(given.shapes, count=4096))[0])
    save_upright(train_upright(merge(sets), settings, report=_say), given.out)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
