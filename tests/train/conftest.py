"""A few shapes and a small vocabulary, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from basrelief.encoders import ClipEncoder, Tokenizer
from basrelief.train.data import ShapeSet, generated_shapes
from basrelief.train.tiny.towers import new_encoder
from support.tiny_training_data import write_clip_text, write_labelled

NAMES = ("chair", "table", "mug", "car")


@pytest.fixture(scope="session")
def shapes() -> ShapeSet:
    return generated_shapes(NAMES, 3, count=512)


@pytest.fixture(scope="session")
def clip_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip_text(tmp_path_factory.mktemp("clip_text"))


@pytest.fixture
def encoder() -> ClipEncoder:
    words = ["a chair", "a table", "a mug", "a car", "traffic light"]
    return new_encoder(Tokenizer.train(words, vocab_size=560), seed=0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("files") / "shapes")


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal in every number, NaN included."""
    return bool(torch.equal(torch.nan_to_num(first, 7.0), torch.nan_to_num(second, 7.0)))
