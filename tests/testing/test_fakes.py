"""The fake encoder follows the `Encoder` protocol."""

from __future__ import annotations

import re

import pytest
import torch

from basrelief.encoders import Encoder
from basrelief.errors import ConfigError
from basrelief.testing import FakeEncoder


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


def _images(count: int = 3, *, seed: int = 0, channels: tuple[int, ...] = ()) -> torch.Tensor:
    return torch.rand(count, *channels, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_it_is_an_encoder(encoder: FakeEncoder) -> None:
    assert isinstance(encoder, Encoder)


def test_images_get_features_of_the_right_length(encoder: FakeEncoder) -> None:
    features = encoder.encode_images(_images())
    assert features.shape == (3, encoder.embedding_dim)
    assert features.dtype == torch.float32


def test_equal_images_get_equal_features_and_others_do_not(encoder: FakeEncoder) -> None:
    assert torch.equal(encoder.encode_images(_images()), FakeEncoder().encode_images(_images()))
    assert not torch.allclose(encoder.encode_images(_images()), encoder.encode_images(_images(seed=1)))


def test_like_images_lie_close(encoder: FakeEncoder) -> None:
    image, other = _images(1), _images(1, seed=7)
    near = encoder.encode_images(image + 0.001)
    assert (encoder.encode_images(image) - near).norm() < 0.1 * (encoder.encode_images(image) - encoder.encode_images(other)).norm()


def test_one_channel_means_three_equal_ones(encoder: FakeEncoder) -> None:
    images = _images()
    assert torch.allclose(encoder.encode_images(images), encoder.encode_images(images[:, None].expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("side", [8, 30, 112])
def test_any_size_is_taken(encoder: FakeEncoder, side: int) -> None:
    assert encoder.encode_images(torch.rand(2, side, side)).shape == (2, 16)


def test_text_features_depend_on_the_words_only(encoder: FakeEncoder) -> None:
    both = encoder.encode_text(["a chair", "a table"])
    assert torch.equal(both[1:], encoder.encode_text(["a table"]))
    assert not torch.allclose(both[0], both[1])


def test_seeds_give_other_fakes() -> None:
    assert not torch.allclose(FakeEncoder(seed=0).encode_text(["a"]), FakeEncoder(seed=1).encode_text(["a"]))


def test_tuned_rows_go_their_own_way(encoder: FakeEncoder) -> None:
    images, tuned = _images(), torch.tensor([False, True, False])
    frozen, other = encoder.encode_both(images)
    mixed = encoder.encode_images(images, tuned=tuned)
    assert torch.equal(mixed[0], frozen[0])
    assert torch.equal(mixed[1], other[1])
    assert not torch.allclose(frozen, other)


def test_no_tuned_row_is_as_none(encoder: FakeEncoder) -> None:
    images = _images()
    assert torch.equal(encoder.encode_images(images, tuned=torch.zeros(3, dtype=torch.bool)), encoder.encode_images(images))


def test_preprocessing_is_applied(encoder: FakeEncoder) -> None:
    images = _images()
    other = encoder.with_preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert torch.allclose(other.encode_images(images), encoder.encode_images((images - 0.5) / 0.5), atol=1e-5)
    assert (other.mean, other.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert encoder.mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "other",
    [
        FakeEncoder(seed=1),
        FakeEncoder(embedding_dim=8),
        FakeEncoder(image_size=64),
        FakeEncoder(tuned=False),
        FakeEncoder().with_preprocessing((0.1, 0.1, 0.1), (1.0, 1.0, 1.0)),
    ],
)
def test_fingerprint_changes_with_every_option(encoder: FakeEncoder, other: FakeEncoder) -> None:
    assert other.fingerprint != encoder.fingerprint
    assert encoder.fingerprint == FakeEncoder().fingerprint


def test_wrong_dimensions_are_refused(encoder: FakeEncoder) -> None:
    with pytest.raises(ConfigError, match=re.escape("images has shape (2, 1, 8, 8); expected (n, s, s) or (n, 3, s, s).")):
        encoder._small(torch.rand(2, 1, 8, 8))


def test_a_branch_that_is_not_there_is_refused() -> None:
    encoder = FakeEncoder(tuned=False)
    assert not encoder.has_tuned_block
    with pytest.raises(ConfigError, match="This fake has no tuned block"):
        encoder.encode_both(_images())
    with pytest.raises(ConfigError, match="This fake has no tuned block"):
        encoder.encode_images(_images(), tuned=torch.ones(3, dtype=torch.bool))


def test_no_prompt_is_refused(encoder: FakeEncoder) -> None:
    with pytest.raises(ConfigError, match="prompts is empty"):
        encoder.encode_text([])
