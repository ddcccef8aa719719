"""Small encoders, and the same weights written in every layout in which weights are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from support import parity_path
from support.published_layouts import State, to_openai, to_opendlign

BYTES = 514


@pytest.fixture(scope="session")
def config() -> ClipConfig:
    """A vision transformer of three blocks, 32 pixels."""
    return ClipConfig(24, VisionConfig(32, 32, 3, 4, 8), TextConfig(16, 2, 2, context_length=20, vocab_size=BYTES))


@pytest.fixture(scope="session")
def resnet_config() -> ClipConfig:
    """A modified ResNet of four small stages, 64 pixels."""
    vision = VisionConfig(64, 4, (1, 2, 1, 1), 4, kind="resnet")
    return ClipConfig(24, vision, TextConfig(16, 2, 2, context_length=20, vocab_size=BYTES), "quick_gelu")


@pytest.fixture
def encoder(config: ClipConfig) -> ClipEncoder:
    """Random weights without a tuned block."""
    return random_encoder(config, seed=1)


@pytest.fixture
def tuned_encoder(config: ClipConfig) -> ClipEncoder:
    """Random weights with a tuned block that differs from the last one."""
    return random_encoder(config, seed=1, tuned=True)


@pytest.fixture
def resnet_encoder(resnet_config: ClipConfig) -> ClipEncoder:
    """Random weights in a ResNet."""
    return random_encoder(resnet_config, seed=1)


@pytest.fixture(scope="session")
def merges() -> Path:
    """CLIP's merge table."""
    return parity_path("bpe_simple_vocab_16e6.txt.gz")


@pytest.fixture(scope="session")
def clip_tokenizer(merges: Path) -> Tokenizer:
    """CLIP's own tokenizer."""
    return Tokenizer.from_file(merges)


@pytest.fixture
def images() -> Tensor:
    """Five depth images of 32 pixels."""
    return torch.rand(5, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def openai_layout() -> Callable[[State], State]:
    """From our names to OpenAI's and open_clip's, written the slow way round."""
    return to_openai


@pytest.fixture(scope="session")
def opendlign_layout() -> Callable[[State], State]:
    """From our names to those of OpenDlign's published checkpoints."""
    return to_opendlign
