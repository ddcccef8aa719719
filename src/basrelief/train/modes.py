"""Evaluation in the middle of a training, after which the training goes on as if nothing had been asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def evaluation(module: nn.Module, *, device: torch.device) -> Iterator[None]:
    """Put a module in evaluation mode; afterwards every part has its own mode again, and every random generator its state.

    Args:
        module: With parts in any mode.
        device: Where it computes.

    Yields:
        Nothing.
    """
    modes = [(part, part.training) for part in module.modules()]
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        module.eval()
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode
            random.setstate(python)
            np.random.set_state(numpy)
