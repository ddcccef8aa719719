"""A small trained CLIP for tests, and a library to try it on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import basrelief as br
from basrelief.datasets import open_benchmark
from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.io import load
from basrelief.shapes import make_shape, write_library
from basrelief.testing import teach_pictures
from basrelief.types import Mesh


@pytest.fixture(scope="module")
def base() -> ClipEncoder:
    encoder = br.load_model("tiny", device="cpu", dtype="float32").encoder
    assert isinstance(encoder, ClipEncoder)
    return encoder


def pictures() -> Tensor:
    """Three colours, each in a few shades."""
    made = torch.zeros(6, 2, 3, 16, 16, dtype=torch.uint8)
    for row in range(6):
        made[row, :, row % 3] = 120 + 20 * row
    return made


@pytest.fixture(scope="module")
def texts(base: ClipEncoder) -> Tensor:
    return F.normalize(base.encode_text(["a mug", "a chair", "a car"]), dim=-1)


def test_it_learns_to_name_pictures(base: ClipEncoder, texts: Tensor) -> None:
    made = teach_pictures(base, pictures(), truth=[0, 1, 2] * 2, texts=texts, steps=60)
    found = F.normalize(made.encode_images(pictures()[:, 0].float() / 255), dim=-1) @ texts.T
    assert found.argmax(dim=1).tolist() == [0, 1, 2] * 2
    assert not any(parameter.requires_grad for parameter in made.towers.parameters())


def test_words_and_preprocessing_are_those_of_the_base(base: ClipEncoder, texts: Tensor) -> None:
    made = teach_pictures(base, pictures(), truth=[0, 1, 2] * 2, texts=texts, steps=1)
    torch.testing.assert_close(made.encode_text(["a mug"]), base.encode_text(["a mug"]))
    assert (made.mean, made.std, made.logit_scale) == (base.mean, base.std, base.logit_scale)
    assert made.image_size == 16


def test_it_is_seeded(base: ClipEncoder, texts: Tensor) -> None:
    one, same, other = (
        teach_pictures(base, pictures(), truth=[0, 1, 2] * 2, texts=texts, steps=2, seed=seed).fingerprint for seed in (0, 0, 1)
    )
    assert one == same != other


def test_a_library_is_a_folder_for_each_name(tmp_path: Path) -> None:
    root = write_library(tmp_path / "shapes", ("chair", "mug"), first=5, each=2)
    found = open_benchmark(root, "folder")
    assert found.labels == ("chair", "mug")
    assert [item.id for item in found.items] == ["chair/5.glb", "chair/6.glb", "mug/5.glb", "mug/6.glb"]
    shape, made = load(root / "mug" / "6.glb"), make_shape("mug", seed=6)
    assert isinstance(shape, Mesh)
    assert isinstance(made, Mesh)
    assert len(shape.faces) == len(made.faces)


def test_names_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="zeppelin"):
        write_library(tmp_path, ("zeppelin",))
