"""Queries of a model across modalities, on `tiny` and generated shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import basrelief as br
from basrelief.errors import ConfigError
from basrelief.models import Model
from basrelief.shapes import make_shape
from basrelief.tasks import find_nearest
from support.small_models import ball

NAMES = ("chair", "mug", "car", "guitar", "lamp", "bed")


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def library(tiny: Model) -> torch.Tensor:
    return tiny.embed_shapes([make_shape(name, seed=900 + seed) for name in NAMES for seed in range(2)])


def test_words_less_what_they_have_in_common_find_shapes(tiny: Model, library: torch.Tensor) -> None:
    queries = torch.stack([tiny.embed_query([name]) for name in NAMES])
    _, hits = find_nearest(F.normalize(queries - queries.mean(dim=0), dim=-1), library, top=1)
    assert (hits[:, 0] // 2).tolist() == list(range(len(NAMES)))


def test_a_shape_finds_its_kind(tiny: Model, library: torch.Tensor) -> None:
    for place, name in enumerate(NAMES):
        _, hits = find_nearest(tiny.embed_query([make_shape(name, seed=31)])[None], library, top=1)
        assert int(hits[0, 0]) // 2 == place


def test_a_mixture_of_shape_and_word_finds_both(tiny: Model, library: torch.Tensor) -> None:
    query = tiny.embed_query([make_shape("mug", seed=31), "guitar"])
    _, hits = find_nearest(query[None], library, top=4)
    assert set((hits[0] // 2).tolist()) >= {NAMES.index("mug"), NAMES.index("guitar")}


def test_a_negative_word_drives_its_kind_away(tiny: Model, library: torch.Tensor) -> None:
    both = tiny.embed_query(["mug", "guitar"])
    without = tiny.embed_query(["mug", "guitar", "guitar"], weights=[1.0, 1.0, -1.5])
    guitars = library[2 * NAMES.index("guitar") :][:2]
    assert float((without @ guitars.T).max()) < float((both @ guitars.T).min())


def test_parts_are_embedded_by_their_kind(tiny: Model) -> None:
    picture = np.full((40, 40, 3), 128, np.uint8)
    cloud = ball()
    parts = ["mug", cloud, picture, Image.fromarray(picture)]
    each = [tiny.embed_text(["mug"])[0], tiny.embed_shapes([cloud])[0], tiny.embed_images([picture])[0], tiny.embed_images([picture])[0]]
    torch.testing.assert_close(tiny.embed_query(parts), F.normalize(torch.stack(each).sum(dim=0), dim=-1))
    for part, expected in zip(parts, each, strict=True):
        torch.testing.assert_close(tiny.embed_query([part]), expected, atol=1e-6, rtol=0)


def test_an_empty_query_is_refused(tiny: Model) -> None:
    with pytest.raises(ConfigError, match="There are 0 weights for 0 parts"):
        tiny.embed_query([])
    with pytest.raises(ConfigError, match="texts|prompts|labels"):
        tiny.embed_query([""])
