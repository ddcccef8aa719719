"""Small encoders, and the same weights written in every layout in which weights are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from support import parity_path

BYTES = 514
State = dict[str, Tensor]


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


def to_openai(state: State) -> State:
    out: State = {
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "ln_final.weight": state["text_model.final_layer_norm.weight"],
        "ln_final.bias": state["text_model.final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
    }
    _blocks(state, "text_model.encoder.layers.", "transformer.resblocks.", out)
    if "visual_projection.weight" not in state:
        return out | {n.replace("vision_model.", "visual.", 1): t for n, t in state.items() if n.startswith("vision_model.")}
    for theirs, ours in (
        ("class_embedding", "embeddings.class_embedding"),
        ("positional_embedding", "embeddings.position_embedding.weight"),
        ("conv1.weight", "embeddings.patch_embedding.weight"),
        ("ln_pre.weight", "pre_layrnorm.weight"),
        ("ln_pre.bias", "pre_layrnorm.bias"),
        ("ln_post.weight", "post_layernorm.weight"),
        ("ln_post.bias", "post_layernorm.bias"),
    ):
        out[f"visual.{theirs}"] = state[f"vision_model.{ours}"]
    out["visual.proj"] = state["visual_projection.weight"].T
    _blocks(state, "vision_model.encoder.layers.", "visual.transformer.resblocks.", out)
    return out


def to_opendlign(state: State) -> State:
    out = {f"clip_model.{name}": t for name, t in to_openai(state).items()}
    _blocks(state, "tuned_blocks.", "clip_model.visual.transformer.depth_control_visual.resblocks.", out)
    return out | {"logit_scale": out["clip_model.logit_scale"]}


def _blocks(state: State, ours: str, theirs: str, out: State) -> None:
    numbers = {name.removeprefix(ours).split(".")[0] for name in state if name.startswith(ours)}
    for n in numbers:
        for kind in ("weight", "bias"):
            parts = [state[f"{ours}{n}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            out[f"{theirs}{n}.attn.in_proj_{kind}"] = torch.cat(parts)
            for a, b in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj")):
                out[f"{theirs}{n}.{b}.{kind}"] = state[f"{ours}{n}.{a}.{kind}"]
            for a, b in (("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                out[f"{theirs}{n}.{b}.{kind}"] = state[f"{ours}{n}.{a}.{kind}"]
