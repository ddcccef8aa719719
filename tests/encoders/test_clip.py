"""`ClipEncoder`: images, text, tuned blocks, fingerprints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, Encoder, Tokenizer, VectorCache, random_encoder
from basrelief.encoders.clip import IMAGENET_MEAN, IMAGENET_STD, NO_MEAN, NO_STD
from basrelief.errors import ConfigError, WeightsError


def near(a: Tensor, b: Tensor, atol: float = 2e-6) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


def test_it_is_an_encoder(encoder: ClipEncoder, config: ClipConfig) -> None:
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.embedding_dim, encoder.image_size) == ("random", config.embed_dim, 32)
    assert (encoder.device, encoder.dtype, encoder.has_tuned_block) == (torch.device("cpu"), torch.float32, False)
    assert encoder.logit_scale == pytest.approx(1 / 0.07)


def test_features_are_float32_with_no_gradient_but_usable_in_training(encoder: ClipEncoder, images: Tensor) -> None:
    features = encoder.encode_images(images)
    assert features.shape == (5, 24)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    head = torch.nn.Linear(24, 2)
    head(features).sum().backward()
    assert head.weight.grad is not None


def test_one_channel_is_three_equal_ones(encoder: ClipEncoder, images: Tensor) -> None:
    near(encoder.encode_images(images), encoder.encode_images(images[:, None].expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_the_batch_size_changes_no_feature(tuned_encoder: ClipEncoder, images: Tensor, batch: int) -> None:
    mask = torch.tensor([True, False, True, True, False])
    expected, pair = tuned_encoder.encode_images(images, tuned=mask), tuned_encoder.encode_both(images)
    tuned_encoder.batch_size = batch
    near(tuned_encoder.encode_images(images, tuned=mask), expected)
    near(torch.stack(tuned_encoder.encode_both(images)), torch.stack(pair))
    near(torch.where(mask[:, None], pair[1], pair[0]), expected)


def test_the_batch_size_bounds_a_pass(encoder: ClipEncoder, images: Tensor) -> None:
    sizes: list[int] = []
    encoder.towers.vision_model.embeddings.register_forward_hook(lambda _m, inputs, _o: sizes.append(len(inputs[0])))
    encoder.batch_size = 2
    encoder.encode_images(images)
    assert sizes == [2, 2, 1]


def test_no_images_give_no_features(tuned_encoder: ClipEncoder) -> None:
    none = torch.zeros(0, 32, 32)
    assert tuned_encoder.encode_images(none).shape == (0, 24)
    assert [f.shape for f in tuned_encoder.encode_both(none)] == [(0, 24), (0, 24)]


def test_mean_and_std_are_applied_inside(encoder: ClipEncoder, images: Tensor) -> None:
    plain = encoder.with_preprocessing(NO_MEAN, NO_STD)
    near(plain.prepare(images), images[:, None].expand(-1, 3, -1, -1), 0)
    imagenet = encoder.with_preprocessing(IMAGENET_MEAN, IMAGENET_STD)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    near(imagenet.encode_images(images), plain.encode_images((images[:, None] - mean) / std))
    assert (imagenet.mean, imagenet.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert encoder.mean != imagenet.mean
    assert imagenet.towers is encoder.towers
    assert imagenet.fingerprint != encoder.fingerprint


def test_another_size_is_resized_bilinearly_with_antialiasing(encoder: ClipEncoder) -> None:
    plain = encoder.with_preprocessing(NO_MEAN, NO_STD)
    fine = (torch.arange(128) % 2).float().expand(1, 128, 128)
    assert float((plain.prepare(fine)[..., 2:-2] - 0.5).abs().max()) < 0.02, "stripes finer than a pixel become grey"
    small = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(small[:, None], (32, 32), mode="bilinear", align_corners=False).expand(-1, 3, -1, -1)
    near(plain.prepare(small), expected)
    near(plain.prepare(torch.full((1, 3, 50, 50), 0.25)), torch.full((1, 3, 32, 32), 0.25))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(2, 32, 31),
            r"images has torch\.float32 \(2, 32, 31\); expected floats \(n, s, s\) or \(n, 3, s, s\)\. Crop",
        ),
        (torch.zeros(2, 1, 32, 32), r"images has torch\.float32 \(2, 1, 32, 32\)"),
        (torch.zeros(32, 32), r"images has torch\.float32 \(32, 32\)"),
        (
            torch.zeros(2, 32, 32, dtype=torch.uint8),
            r"images has torch\.uint8 \(2, 32, 32\); .* Crop them to a square; divide 8-bit values by 255\.",
        ),
        (torch.full((1, 32, 32), torch.inf), r"images contains NaN or infinity\. Make depth images of depth maps first"),
        (torch.full((1, 32, 32), torch.nan), r"images contains NaN or infinity"),
    ],
)
def test_wrong_images_say_why(tuned_encoder: ClipEncoder, images: Any, message: str) -> None:
    for encode in (tuned_encoder.encode_images, tuned_encoder.encode_both):
        with pytest.raises(ConfigError, match=message):
            encode(images)


@pytest.mark.parametrize("tuned", [torch.ones(4, dtype=torch.bool), torch.ones(5), torch.ones(5, 1, dtype=torch.bool)])
def test_a_wrong_mask_says_why(tuned_encoder: ClipEncoder, images: Tensor, tuned: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"tuned has torch\..*; expected torch\.bool \(5,\), one for each image\. Build it with torch\.arange\(n\) >= 5\."
    ):
        tuned_encoder.encode_images(images, tuned=tuned)


def test_prompts_keep_their_order_and_repeat(encoder: ClipEncoder) -> None:
    prompts = ["a table", "a very long prompt about a chair", "b", "a table"]
    features = encoder.encode_text(prompts)
    assert features.shape == (4, 24)
    for row, prompt in zip(features, prompts, strict=True):
        near(row, encoder.encode_text([prompt])[0])
    assert torch.equal(features[0], features[3])


def test_many_prompts_go_in_several_passes(encoder: ClipEncoder) -> None:
    sizes: list[int] = []
    encoder.towers.text_model.register_forward_hook(lambda _m, _i, out: sizes.append(len(out)))
    features = encoder.encode_text([f"prompt {i}" for i in range(300)])
    assert sizes == [256, 44]
    near(features[299], encoder.encode_text(["prompt 299"])[0])


def test_case_spaces_and_entities_do_not_matter(encoder: ClipEncoder) -> None:
    near(encoder.encode_text(["A  Chair &amp; more"]), encoder.encode_text(["a chair & more"]))


def test_a_prompt_beyond_the_context_is_cut(encoder: ClipEncoder) -> None:
    near(encoder.encode_text(["a " * 18]), encoder.encode_text(["a " * 500]))


@pytest.mark.parametrize("prompts", [[], [""], ["a chair", "  "], ["&nbsp;"], "a chair", ["", "x" * 200]])
def test_prompts_without_words_say_why(encoder: ClipEncoder, prompts: Any) -> None:
    with pytest.raises(ConfigError, match=r"prompts is .{2,80}; expected a list of texts with words\. Remove empty labels\."):
        encoder.encode_text(prompts)


def test_text_is_read_once(config: ClipConfig, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "text.sqlite")
    passes: list[int] = []

    def fresh() -> ClipEncoder:
        encoder = random_encoder(config, seed=1)
        encoder.cache = cache
        encoder.towers.text_model.register_forward_hook(lambda *_: passes.append(1))
        return encoder

    expected = random_encoder(config, seed=1).encode_text(["a chair", "a table", "a lamp"])
    near(fresh().encode_text(["a chair", "a table"]), expected[:2])
    near(fresh().encode_text(["a lamp", "a chair"]), expected[[2, 0]])
    assert len(passes) == 2
    near(fresh().encode_text(["a table", "a lamp"]), expected[1:])
    assert len(passes) == 2


def test_a_cached_vector_of_another_length_is_computed_again(encoder: ClipEncoder, tmp_path: Path) -> None:
    expected = encoder.encode_text(["a chair"])
    encoder.cache = VectorCache(tmp_path / "text.sqlite")
    encoder.cache.put(encoder.fingerprint, {"a chair": np.ones(3, dtype=np.float32)})
    near(encoder.encode_text(["a chair"]), expected)
    encoder.cache.put(encoder.fingerprint, {"a chair": np.full(24, 7, dtype=np.float32)})
    assert float(encoder.encode_text(["a chair"]).mean()) == 7.0, "and one of the right length is believed"


def test_the_fingerprint_is_the_same_for_the_same_encoder(config: ClipConfig) -> None:
    assert random_encoder(config, seed=1).fingerprint == random_encoder(config, seed=1).fingerprint


def test_the_fingerprint_changes_with_whatever_changes_features(config: ClipConfig) -> None:
    base = random_encoder(config, seed=1)
    half = random_encoder(config, seed=1)
    half.towers.cast(torch.bfloat16)
    trained = random_encoder(config, seed=1)
    with torch.no_grad():
        trained.towers.text_projection.weight.add_(1e-4)
    tokenizer = Tokenizer.train(["a chair"], vocab_size=516)
    wider = replace(config, text=replace(config.text, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot))
    others = [
        random_encoder(config, seed=2),
        random_encoder(config, seed=1, tuned=True),
        random_encoder(replace(config, activation="quick_gelu"), seed=1),
        random_encoder(wider, seed=1, tokenizer=tokenizer),
        base.with_preprocessing(NO_MEAN, NO_STD),
        half,
        trained,
    ]
    assert len({e.fingerprint for e in [base, *others]}) == 1 + len(others)


def test_the_fingerprint_follows_training(encoder: ClipEncoder) -> None:
    before = encoder.fingerprint
    with torch.no_grad():
        encoder.towers.logit_scale.add_(0.1)
    assert encoder.fingerprint != before


def test_a_tokenizer_that_does_not_belong_is_refused(encoder: ClipEncoder, config: ClipConfig) -> None:
    message = r"The tokenizer has 5\d\d ids with end of text 5\d\d; expected at most 514 with 513\. Use the tokenizer that came with the weights\."
    with pytest.raises(WeightsError, match=message):
        ClipEncoder(encoder.towers, Tokenizer.train(["a chair"], vocab_size=520))
    narrow = replace(config, text=replace(config.text, vocab_size=600, eot=3))
    with pytest.raises(WeightsError, match="at most 600 with 3"):
        random_encoder(narrow)


def test_an_image_tower_is_replaced_alone(encoder: ClipEncoder, config: ClipConfig, images: Tensor, tmp_path: Path) -> None:
    other = random_encoder(config, seed=9)
    torch.save(other.towers.state_dict(), tmp_path / "w.pt")
    words = encoder.encode_text(["a chair"])
    assert encoder.load_visual(tmp_path / "w.pt") is encoder
    near(encoder.encode_images(images), other.encode_images(images), 0)
    near(encoder.encode_text(["a chair"]), words, 0)


def test_a_tuned_block_comes_with_an_image_tower(encoder: ClipEncoder, tuned_encoder: ClipEncoder, images: Tensor, tmp_path: Path) -> None:
    torch.save(tuned_encoder.towers.state_dict(), tmp_path / "w.pt")
    encoder.load_visual(tmp_path / "w.pt")
    near(torch.stack(encoder.encode_both(images)), torch.stack(tuned_encoder.encode_both(images)), 0)


def test_a_resnet_encodes_images_of_any_size(resnet_encoder: ClipEncoder) -> None:
    features = resnet_encoder.encode_images(torch.rand(2, 96, 96, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (2, 24)
    assert not resnet_encoder.has_tuned_block
    with pytest.raises(ConfigError, match="A convolutional image tower has no tuned blocks"):
        resnet_encoder.encode_both(torch.zeros(1, 64, 64))


@pytest.mark.gpu
def test_cuda_gives_the_same_features(encoder: ClipEncoder, images: Tensor) -> None:
    expected = encoder.encode_images(images), encoder.encode_text(["a chair"])
    fingerprint = encoder.fingerprint
    encoder.towers.to("cuda")
    near(encoder.encode_images(images).cpu(), expected[0], 1e-4)
    near(encoder.encode_text(["a chair"]).cpu(), expected[1], 1e-4)
    assert encoder.fingerprint == fingerprint
