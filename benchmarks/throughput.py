"""Time the views of OpenDlign's Table 1: encoding by each tower, with random weights of its real size, and rendering by each projection.

    python benchmarks/throughput.py [--write]

Prints processor time of one thread, which other work on the machine hardly changes. `--write` stores the figures from which
`basrelief evaluate --table 1 --plan` estimates hours.
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

from basrelief.encoders import encoder_spec
from basrelief.encoders.towers import ClipTowers
from basrelief.evaluate.plan import SPEED_FILE, draw_key, plan_table
from basrelief.models import get_recipe
from basrelief.render import get_projection
from basrelief.render.views import render_batch


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


def draw_ms(recipe_name: str, points: int, repeats: int) -> float:
    """Time of all depth images of one cloud."""
    recipe = get_recipe(recipe_name)
    projection = get_projection(recipe.projection, **recipe.projection_options)
    cloud = np.random.default_rng(0).normal(size=(points, 3)).astype(np.float32)
    return processor_ms(lambda: render_batch([cloud], projection), repeats)


def main() -> None:
    """Measure each tower and projection once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="store the figures in the package")
    args = parser.parse_args()
    torch.set_num_threads(1)
    views: dict[str, float] = {}
    drawn: dict[str, float] = {}
    for row in plan_table("1").runs:
        recipe = get_recipe(row.recipe).for_dataset(row.dataset)
        architecture = recipe.encoder.split("/")[0]
        if architecture not in views:
            views[architecture] = view_ms(recipe.encoder, args.repeats)
            print(f"{architecture:<12} {views[architecture]:9.1f} ms a view", flush=True)
        if draw_key(recipe) not in drawn:
            drawn[draw_key(recipe)] = draw_ms(row.recipe, recipe.points, args.repeats)
            print(f"{draw_key(recipe):<32} {drawn[draw_key(recipe)]:9.1f} ms a shape", flush=True)
    if args.write:
        date = datetime.now(UTC).date().isoformat()
        record = {"measured": f"python benchmarks/throughput.py --write, {date}", "view_ms": views, "draw_ms": drawn}
        Path(SPEED_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
