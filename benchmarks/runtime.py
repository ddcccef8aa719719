"""How fast image towers run on each backend and in each precision, and how near their features stay to torch in float32.

    python benchmarks/runtime.py
    python benchmarks/runtime.py ViT-B-32 --int8

Architectures have random weights, `tiny` its own. Times are of ten views, the best of a few rounds in turn: wall time, and the CPU time of
the process, which other processes disturb less. `x` is torch in float32 divided by each, by wall time. Cosines are the smallest and the
mean over views of generated shapes; int8 was calibrated on others. With random weights the cosine of int8 says little.
"""

from __future__ import annotations

import argparse
import copy
import platform
import time
from dataclasses import replace

import torch
import torch.nn.functional as F

from basrelief.encoders import ClipEncoder, TextConfig, encoder_spec, random_encoder
from basrelief.encoders.backends.compiled import OpenVinoTowers
from basrelief.encoders.backends.graphs import Graphs
from basrelief.encoders.backends.quantize import quantized_encoder
from basrelief.models import load_model
from basrelief.models.quantization import view_calibration
from basrelief.models.recipe import get_recipe
from basrelief.models.shape_encoder import ViewEncoder
from basrelief.shapes import make_shape

VIEWS = 10
SHAPES = ("chair", "airplane", "mug", "lamp")
SEED = 500_000


def image_encoder(name: str) -> ClipEncoder:
    """The image tower of an architecture with random weights, beside a small text tower."""
    config = next(encoder_spec(known).config for known in (name, f"{name}/openai", f"{name}/dfn2b") if _is_known(known))
    return random_encoder(replace(config, text=TextConfig(64, 1, 1, vocab_size=514)), name=name)


def _is_known(name: str) -> bool:
    try:
        return bool(encoder_spec(name))
    except ValueError:
        return False


def candidates(encoder: ClipEncoder, *, int8: bool, recipe: str) -> dict[str, ClipEncoder]:
    """The encoder on every backend and in every precision."""
    graphs = Graphs(encoder.towers)
    half = copy.copy(encoder)
    half.towers = copy.deepcopy(encoder.towers)
    half.towers.cast(torch.bfloat16)
    found = {"torch float32": encoder, "torch bfloat16": half}
    for precision in ("float32", "bfloat16"):
        found[f"openvino {precision}"] = encoder.copy_with(OpenVinoTowers(graphs, precision=precision))
    if int8:
        calibration = view_calibration(get_recipe(recipe), encoder)
        found["openvino int8"] = quantized_encoder(encoder, calibration, known=1.0)[0]
    return found


def report(encoder: ClipEncoder, *, int8: bool, rounds: int, recipe: str) -> None:
    """Print a row for each backend and precision."""
    views = ViewEncoder(get_recipe(recipe), encoder)
    drawn = torch.cat([torch.as_tensor(each) for each in views.input.prepare([make_shape(name, seed=SEED) for name in SHAPES], seed=0)])
    encoders = candidates(encoder, int8=int8, recipe=recipe)
    pixels = drawn[:VIEWS]
    best = {name: (float("inf"), float("inf")) for name in encoders}
    for number in range(rounds + 1):
        for name, each in encoders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            each.encode_images(pixels)
            taken = (time.perf_counter() - wall, time.process_time() - cpu)
            if number:
                best[name] = tuple(map(min, best[name], taken))  # type: ignore[assignment]
    reference = encoder.encode_images(drawn)
    print(f"{encoder.name}, {sum(p.numel() for p in encoder.towers.vision_model.parameters()) / 1e6:.1f} M, {len(pixels)} views")
    for name, each in encoders.items():
        cosines = F.cosine_similarity(each.encode_images(drawn), reference)
        wall, cpu = best[name]
        print(
            f"  {name:<18} wall {1000 * wall:7.1f} ms   CPU {1000 * cpu:7.1f} ms   x {best['torch float32'][0] / wall:4.1f}   "
            f"cosine {float(cosines.min()):.5f} {float(cosines.mean()):.5f}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["tiny", "ViT-B-32"], help="tiny, or encoders that basrelief knows")
    parser.add_argument("--int8", action="store_true", help="also int8, which takes a minute to calibrate")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in given.names:
        encoder = load_model("tiny", backend="torch").encoder if name == "tiny" else image_encoder(name)
        report(encoder, int8=given.int8, rounds=given.rounds, recipe="tiny" if name == "tiny" else "opendlign-untuned")


if __name__ == "__main__":
    main()
