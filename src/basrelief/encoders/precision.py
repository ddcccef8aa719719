"""Compute dtypes, and what a faster one has to keep and to gain."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST_COSINE = 0.999
LEAST_GAIN = 1.2
SMALL = 20_000_000


@torch.no_grad()
def best_seconds(works: Sequence[Callable[[], object]], *, rounds: int = 5) -> list[float]:
    """Best time of each over a few rounds in turn, after one round to warm up."""
    taken = [[_once(work) for work in works] for _ in range(rounds + 1)]
    return [min(times) for times in zip(*taken[1:], strict=True)]


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
