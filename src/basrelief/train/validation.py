"""Validation during a training, without side effects on the training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.models import Embedder, Model

Validate = Callable[[ClipEncoder], float]
"""Returns the zero-shot accuracy of an encoder on validation shapes, in [0, 1]."""


@contextmanager
def evaluation_mode(module: nn.Module, *, device: torch.device) -> Iterator[None]:
    """Put a module in evaluation mode; afterwards restore the mode of every part and the state of every global random generator.

    Args:
        module: Its parts may be in different modes.
        device: Device of the module.

    Yields:
        None.
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


def zero_shot_accuracy(model: Model, benchmark: Benchmark) -> Validate:
    """Return a function that measures the zero-shot top-1 accuracy of an encoder on a benchmark.

    Shapes that cannot be read are left out. Each call reads and renders the shapes again, a few at a time, so memory use does not grow.

    Args:
        model: Its recipe renders, prompts and pools; the encoder under validation replaces its own.
        benchmark: Validation shapes.
    """
    labels = model.encode_labels(benchmark.labels)

    def validate(encoder: ClipEncoder) -> float:
        hits = []
        current = Model(model.recipe, encoder, prompter=model.prompter)
        for part in Embedder(current).embed_chunks(benchmark):
            scores = current.score_views(torch.from_numpy(part.views), labels).scores
            hits += (scores.argmax(dim=1).cpu().numpy() == part.truth).tolist()
        if not hits:
            raise ConfigError(f"None of the {len(benchmark)} shapes of {benchmark.name!r} can be read. Run basrelief doctor on it.")
        return sum(hits) / len(hits)

    return validate
