"""The modified ResNet against torch's own attention and the published sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from basrelief.encoders import ClipEncoder, VisionConfig
from basrelief.encoders.resnet import AttentionPool, Bottleneck, ModifiedResNet


def test_attention_pooling_equals_torchs_multi_head_attention() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(9, 16, 4, 10).double()
    torch.nn.init.normal_(pool.positional_embedding)
    x = torch.randn(3, 16, 3, 3, dtype=torch.float64)
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    expected, _ = F.multi_head_attention_forward(
        tokens[:1], tokens, tokens, 16, 4, None,
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]), None, None, False, 0.0, pool.c_proj.weight, pool.c_proj.bias,
        use_separate_proj_weight=True, q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
        need_weights=False,
    )  # fmt: skip
    torch.testing.assert_close(pool(x), expected[0])


@pytest.mark.parametrize(("inputs", "stride", "side"), [(16, 1, 8), (32, 2, 4), (8, 1, 8)])
def test_a_block_strides_by_average_pooling(inputs: int, stride: int, side: int) -> None:
    block = Bottleneck(inputs, 4, stride).eval()
    assert block(torch.randn(2, inputs, 8, 8)).shape == (2, 16, side, side)
    assert (block.downsample is None) == (inputs == 16 and stride == 1)
    assert all(conv.stride == (1, 1) for conv in block.modules() if isinstance(conv, torch.nn.Conv2d))


def test_a_block_without_its_last_norm_is_the_identity_of_what_is_positive() -> None:
    block = Bottleneck(16, 4, 1).eval()
    torch.nn.init.zeros_(block.bn3.weight)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize(("layers", "embed_dim", "millions"), [((3, 4, 6, 3), 1024, 38_316_896), ((3, 4, 23, 3), 512, 56_259_936)])
def test_the_published_towers_have_their_size(layers: tuple[int, ...], embed_dim: int, millions: int) -> None:
    with torch.device("meta"):
        tower = ModifiedResNet(VisionConfig(224, 64, layers, 32, kind="resnet"), embed_dim)
    assert sum(p.numel() for p in tower.parameters()) == millions
    assert tower.attnpool.positional_embedding.shape == (50, 2048)


def test_rows_do_not_touch_each_other(resnet_encoder: ClipEncoder) -> None:
    images = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    together = resnet_encoder.encode_images(images)
    torch.testing.assert_close(together[1:2], resnet_encoder.encode_images(images[1:2]), atol=1e-6, rtol=1e-5)
    assert together.shape == (3, resnet_encoder.embedding_dim)
    assert float((together[0] - together[1]).abs().max()) > 1e-4
