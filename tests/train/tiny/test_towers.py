"""Initialisation of the towers."""

from __future__ import annotations

import pytest
import torch

from basrelief.encoders import ClipEncoder, Tokenizer
from basrelief.train.tiny.towers import EMBEDDING, PROJECTION, VISION, new_encoder


def _attention(encoder: ClipEncoder, block: int) -> torch.nn.Module:
    return encoder.towers.vision_model.get_submodule(f"encoder.layers.{block}.self_attn")


def test_architecture(encoder: ClipEncoder) -> None:
    assert encoder.config.embed_dim == EMBEDDING == 512
    assert encoder.config.vision == VISION
    assert encoder.image_size == PROJECTION.image_size
    assert encoder.config.text.context_length == 32
    assert encoder.mean == encoder.std == (0.5, 0.5, 0.5)
    assert encoder.name == "tiny"


def test_it_fits_twelve_megabytes_in_float16() -> None:
    encoder = new_encoder(Tokenizer.train([f"word{i} other{i}" for i in range(2000)], vocab_size=2560))
    numbers = sum(p.numel() for p in encoder.towers.parameters())
    assert 2 * numbers < 12_000_000


def test_the_same_seed_gives_the_same_towers() -> None:
    first, second, other = (new_encoder(Tokenizer.of_bytes(), seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == second.fingerprint != other.fingerprint


@pytest.mark.parametrize("block", [0, 3])
def test_value_and_output_start_near_minus_identity(encoder: ClipEncoder, block: int) -> None:
    attention = _attention(encoder, block)
    product = (attention.get_parameter("out_proj.weight") @ attention.get_parameter("v_proj.weight")).detach()
    assert float(product.diagonal().mean()) == pytest.approx(-0.4, abs=0.1)
    assert abs(float((product - torch.diag(product.diagonal())).mean())) < 0.01


@pytest.mark.parametrize("head", [0, 1, 3])
def test_queries_and_keys_start_near_identity(encoder: ClipEncoder, head: int) -> None:
    attention, rows = _attention(encoder, 1), slice(head * 32, head * 32 + 32)
    product = (attention.get_parameter("q_proj.weight")[rows].T @ attention.get_parameter("k_proj.weight")[rows]).detach()
    assert float(product.diagonal().mean()) > 0.2
    assert abs(float((product - torch.diag(product.diagonal())).mean())) < 0.01


def test_neighbouring_patches_have_similar_positions(encoder: ClipEncoder) -> None:
    position = encoder.towers.vision_model.get_parameter("embeddings.position_embedding.weight")
    assert position.shape == (50, 128)
    assert position[0].abs().max() == 0
    near, far = torch.cosine_similarity(position[1], position[2], dim=0), torch.cosine_similarity(position[1], position[49], dim=0)
    assert near > far
