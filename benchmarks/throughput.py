"""Time the networks of OpenDlign's Table 1, with random weights of their real size, and count the multiply-adds of all point networks.

    python benchmarks/throughput.py [--write]

Times are of one view in each tower, one cloud in each point network, and one shape on its way to either, as processor time of one thread,
which other work on the machine hardly changes. `--write` stores the times, from which `basrelief evaluate --table 1 --plan` estimates
hours, and the counts, which `basrelief models --cost` prints.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from basrelief.encoders import encoder_spec
from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.points.registry import list_point_networks, network_spec
from basrelief.encoders.towers import ClipTowers
from basrelief.evaluate.plan import SPEED_FILE, draw_key, plan_table
from basrelief.models import Recipe, get_recipe, recipes
from basrelief.models.cost import COSTS_FILE
from basrelief.models.shape_input import CloudInput, ShapeInput, ViewInput
from basrelief.types import PointCloud

POINTS = 10_000
"""Points of a cloud for networks that no recipe names."""


def processor_ms(work: Callable[[], object], repeats: int) -> float:
    """Least processor time of a call, in milliseconds, after one that warms up."""
    work()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return round(1000 * min(spent), 1)


def view_ms(encoder: str, repeats: int) -> float:
    """Time of one view in the image tower."""
    towers = ClipTowers(encoder_spec(encoder).config).eval()
    del towers.text_model
    for parameter in towers.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    size = towers.config.vision.image_size
    with torch.no_grad():
        return processor_ms(lambda: towers.image_features(torch.rand(1, 3, size, size)), repeats)


def cloud_ms(network: PointNetwork, points: int, repeats: int) -> float:
    """Time of one cloud in a point network."""
    clouds, sizes = sphere(points)[None], torch.tensor([points])
    with torch.no_grad():
        return processor_ms(lambda: network(clouds, sizes), repeats)


def draw_ms(recipe: Recipe, repeats: int) -> float:
    """Time to prepare one cloud: all its depth images, or the points of a point network."""
    cloud = PointCloud(np.random.default_rng(0).normal(size=(recipe.points, 3)).astype(np.float32))
    tower = encoder_spec(recipe.encoder).config.vision
    read: ShapeInput = ViewInput(recipe.drawers(tower.image_size)) if tower and recipe.kind == "views" else _clouds(recipe)
    return processor_ms(lambda: read.prepare([cloud]), repeats)


def _clouds(recipe: Recipe) -> CloudInput:
    own = recipe.cloud
    return CloudInput(recipe.points, own.frame if own else "y-up")


def sphere(points: int) -> Float[Tensor, "points 6"]:
    """Random points of the unit sphere, grey."""
    xyz = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(points, 3))), dim=1)
    return torch.cat([xyz, torch.full_like(xyz, 0.4)], dim=1).float()


def cost(network: PointNetwork, points: int) -> dict[str, int]:
    """Parameters, features of a cloud, and multiply-adds for one sphere."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(sphere(points)[None], torch.tensor([points]))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "views": network.views, "multiply_adds": counter.get_total_flops() // 2}


def times(repeats: int) -> dict[str, dict[str, float]]:
    """Measure each tower, point network and way of preparing a shape once."""
    views: dict[str, float] = {}
    clouds: dict[str, float] = {}
    drawn: dict[str, float] = {}
    for row in plan_table("1").rows:
        recipe = get_recipe(row.recipe).for_dataset(row.dataset)
        architecture = recipe.encoder.split("/")[0]
        if recipe.cloud is not None and recipe.cloud.network not in clouds:
            network = network_spec(recipe.cloud.network).build().eval()
            clouds[recipe.cloud.network] = cloud_ms(network, recipe.points, repeats)
            print(f"{recipe.cloud.network:<32} {clouds[recipe.cloud.network]:9.1f} ms a cloud", flush=True)
        elif recipe.cloud is None and architecture not in views:
            views[architecture] = view_ms(recipe.encoder, repeats)
            print(f"{architecture:<32} {views[architecture]:9.1f} ms a view", flush=True)
        if draw_key(recipe) not in drawn:
            drawn[draw_key(recipe)] = draw_ms(recipe, repeats)
            print(f"{draw_key(recipe):<32} {drawn[draw_key(recipe)]:9.1f} ms a shape", flush=True)
    return {"view_ms": views, "cloud_ms": clouds, "draw_ms": drawn}


def costs() -> dict[str, dict[str, int]]:
    """Count all point networks."""
    read = {recipe.cloud.network: recipe.points for recipe in recipes().values() if recipe.cloud}
    found = {}
    for name in list_point_networks():
        found[name] = cost(network_spec(name).build().eval(), read.get(name, POINTS))
        print(f"{name:<32} {found[name]['multiply_adds'] / 1e9:9.2f} G multiply-adds", flush=True)
    return found


def main() -> None:
    """Measure and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="store the figures in the package")
    args = parser.parse_args()
    torch.set_num_threads(1)
    measured, counted = times(args.repeats), costs()
    if args.write:
        date = datetime.now(UTC).date().isoformat()
        record = {"measured": f"python benchmarks/throughput.py --write, {date}", **measured}
        Path(SPEED_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        Path(COSTS_FILE).write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
