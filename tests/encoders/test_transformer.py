"""Transformer blocks: equality with torch's own layer, causal masks, and no dependency on transformers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig, load_encoder_folder, random_encoder, save_encoder
from basrelief.encoders.kinds import Activation
from basrelief.encoders.random_weights import random_towers
from basrelief.encoders.transformer import Block, Blocks, PatchEmbeddings, TextTransformer, quick_gelu

TOWER = VisionConfig(image_size=32, width=24, layers=2, heads=3, patch_size=8)
TEXT = TextConfig(width=16, layers=2, heads=2, context_length=10, vocab_size=30)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(3, 7, TOWER.width, generator=torch.Generator().manual_seed(0))


def _torchs_own(block: Block, activation: Activation) -> nn.TransformerEncoderLayer:
    """torch's layer with the numbers of a block."""
    curve: Any = quick_gelu if activation == "quick_gelu" else "gelu"
    layer = nn.TransformerEncoderLayer(
        TOWER.width, TOWER.heads, TOWER.mlp_width or 0, dropout=0, activation=curve, batch_first=True, norm_first=True
    )
    attention = block.self_attn
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    pairs = {"linear1": block.mlp.fc1, "linear2": block.mlp.fc2, "norm1": block.layer_norm1, "norm2": block.layer_norm2}
    state = {f"{name}.{key}": value for name, part in pairs.items() for key, value in part.state_dict().items()}
    state |= {f"self_attn.out_proj.{key}": value for key, value in attention.out_proj.state_dict().items()}
    state |= {f"self_attn.in_proj_{key}": torch.cat([part.state_dict()[key] for part in parts]) for key in ("weight", "bias")}
    layer.load_state_dict(state)
    return layer.eval()


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_block_equals_torchs_own_layer(tokens: Tensor, activation: Activation, causal: bool) -> None:
    torch.manual_seed(1)
    block = Block(TOWER, activation)
    mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1]) if causal else None
    with torch.no_grad():
        expected = _torchs_own(block, activation)(tokens, src_mask=mask, is_causal=causal)
        torch.testing.assert_close(block(tokens, causal=causal), expected, atol=2e-6, rtol=0)


def test_the_class_token_alone_is_that_of_the_whole_block(tokens: Tensor) -> None:
    block = Block(TOWER, "gelu")
    torch.testing.assert_close(block.class_token(tokens), block(tokens)[:, 0], atol=1e-6, rtol=0)


def test_causal_tokens_see_nothing_after_them(tokens: Tensor) -> None:
    blocks = Blocks(TOWER, "gelu")
    changed = tokens.clone()
    changed[:, 4:] = 5.0
    before, after = blocks(tokens, causal=True), blocks(changed, causal=True)
    torch.testing.assert_close(before[:, :4], after[:, :4], atol=1e-6, rtol=0)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-2)
    assert not torch.allclose(blocks(tokens)[:, :4], blocks(changed)[:, :4], atol=1e-3)


def test_patches_stand_row_by_row_behind_the_class_token() -> None:
    embeddings = PatchEmbeddings(TOWER)
    with torch.no_grad():
        embeddings.position_embedding.weight.zero_()
        embeddings.class_embedding.fill_(2.0)
        embeddings.patch_embedding.weight.fill_(1.0)
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[0, 0, 8:16, 24:] = 1.0  # second row of patches, last column
    tokens = embeddings(pixels)
    assert tokens.shape == (1, 17, TOWER.width)
    assert bool((tokens[0, 0] == 2).all())
    assert tokens[0, 1:, 0].nonzero()[:, 0].tolist() == [7]
    assert float(tokens[0, 8, 0].detach()) == pytest.approx(64)


@pytest.mark.parametrize(("stem", "cut"), [((5,), 2), ((5, 7), 1)])
def test_a_stem_stands_before_the_patches_and_leaves_their_places(stem: tuple[int, ...], cut: int) -> None:
    tower = replace(TOWER, stem=stem)
    towers = random_towers(ClipConfig(8, tower, TEXT))
    embeddings = towers.vision_model.embeddings
    assert embeddings.patch_embedding.weight.shape == (TOWER.width, stem[-1], cut, cut)
    plain, changed = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    changed[..., 24:, 24:] = 1.0  # the last patch
    with torch.no_grad():
        moved = (embeddings(changed) - embeddings(plain)).abs().amax(dim=2)[0]
    assert moved.shape == (17,)
    assert float(moved[16]) > 0.1
    assert int((moved > 1e-6).sum()) <= 4  # itself, and neighbours by the border of a convolution


def test_a_tower_with_a_stem_is_saved_and_read_and_gets_a_tuned_block(tmp_path: Path) -> None:
    config = ClipConfig(8, replace(TOWER, stem=(5, 7)), replace(TEXT, vocab_size=514, eot=None))
    encoder = random_encoder(config)
    save_encoder(encoder, tmp_path, dtype=torch.float32)
    found = load_encoder_folder(tmp_path)
    images = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.encode_images(images), encoder.encode_images(images))
    assert found.fingerprint == encoder.fingerprint
    found.towers.add_tuned_blocks()
    torch.testing.assert_close(found.encode_images(images, tuned=torch.ones(3).bool()), encoder.encode_images(images), atol=1e-6, rtol=0)


def test_a_prompt_may_be_shorter_than_the_context() -> None:
    tower = TextTransformer(ClipConfig(8, TOWER, TEXT))
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.1)
    ids = torch.arange(20).view(2, 10)
    torch.testing.assert_close(tower(ids[:, :6]), tower(ids)[:, :6], atol=1e-6, rtol=0)


def test_no_large_library_is_imported_for_the_towers() -> None:
    code = "import sys, basrelief as br; br.load_model('tiny').embed_text(['a chair']); print({'transformers', 'torch._dynamo'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.split() == ["set()"]
