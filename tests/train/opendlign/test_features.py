"""Cached features: equal to computed ones, resumable, refused for other data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.train import OpenDlignSettings
from basrelief.train.opendlign.features import FeatureStore, cache_bytes
from basrelief.train.opendlign.settings import CACHES
from support.small_models import small_encoder

from .conftest import SETTINGS, Made


def store(made: Made, folder: Path, *, encoder: ClipEncoder | None = None, **changes: object) -> FeatureStore:
    used = encoder or small_encoder()
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    used.towers.add_tuned_blocks(settings.blocks)
    return FeatureStore(made, used, settings=settings, folder=folder)


@pytest.mark.parametrize("cache", CACHES)
def test_every_path_gives_the_same_features(cache: str, made: Made, tmp_path: Path) -> None:
    kept = store(made, tmp_path / "kept", cache=cache)
    kept.fill()
    encoder = kept.encoder
    for row in (0, 8):
        found = kept.row(row)
        pixels = encoder.prepare(torch.from_numpy(made.depth(row)).float() / 255)
        with torch.no_grad():
            tokens = encoder.towers.trunk(pixels)
            frozen = encoder.towers.frozen_token(tokens)
        pictures = encoder.encode_images(torch.from_numpy(made.pictures(row)).permute(0, 3, 1, 2).float() / 255)
        np.testing.assert_allclose(found.tokens, tokens.numpy(), atol=1e-5)
        np.testing.assert_allclose(found.frozen, frozen.numpy(), atol=1e-5)
        np.testing.assert_allclose(found.pictures, pictures.numpy(), atol=1e-5)
        assert found.kept.all()


def test_cached_features_are_not_computed_again(made: Made, tmp_path: Path) -> None:
    kept = store(made, tmp_path / "kept")
    kept.fill()
    made.read.clear()
    again = store(made, tmp_path / "kept")
    again.fill()
    for row in range(len(made)):
        again.row(row)
    assert made.read == []


def test_half_precision_is_close_and_half_as_large(made: Made, tmp_path: Path) -> None:
    whole, half = store(made, tmp_path / "whole"), store(made, tmp_path / "half", cache_type="float16")
    whole.fill()
    half.fill()
    one, other = whole.row(3), half.row(3)
    assert other.tokens.dtype == np.float16
    np.testing.assert_allclose(one.tokens, other.tokens, atol=2e-3)
    sizes = [(tmp_path / name / "tokens.npy").stat().st_size - 128 for name in ("whole", "half")]
    assert sizes[0] == 2 * sizes[1]


@pytest.mark.parametrize("stop", [0, 1])
def test_an_interrupted_run_resumes(stop: int, made: Made, tmp_path: Path) -> None:
    kept = store(made, tmp_path / "kept")
    passes: list[int] = []

    def halt(done: int, total: int) -> None:
        passes.append(done)
        if len(passes) == stop + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.fill(progress=halt)
    made.read.clear()
    again = store(made, tmp_path / "kept")
    again.fill()
    assert sorted(made.read) == list(range(4 * (stop + 1), 9)), "only what was not done"
    whole = store(made, tmp_path / "whole")
    whole.fill()
    for row in range(9):
        for one, other in zip(again.row(row), whole.row(row), strict=True):
            np.testing.assert_array_equal(one, other)


def test_processes_share_the_work(made: Made, tmp_path: Path) -> None:
    seen = []
    for rank in range(2):
        made.read.clear()
        store(made, tmp_path / "kept").fill(rank=rank, world_size=2)
        seen.append(sorted(made.read))
    assert seen == [[0, 2, 4, 6, 8], [1, 3, 5, 7]]
    assert np.load(tmp_path / "kept" / "done.npy").all()


@pytest.mark.parametrize(
    "other",
    [
        lambda made: {"encoder": small_encoder(seed=3)},
        lambda made: {"encoder": small_encoder().with_preprocessing((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))},
        lambda made: {"blocks": 2},
        lambda made: {"cache_type": "float16"},
        lambda made: {"cache": "pictures"},
    ],
    ids=["weights", "preprocessing", "blocks", "type", "cache"],
)
def test_features_of_another_encoder_are_rejected(other: Callable[[Made], dict[str, object]], made: Made, tmp_path: Path) -> None:
    store(made, tmp_path / "kept")
    with pytest.raises(ConfigError, match="The cache 'kept' holds features of another encoder or other images. Name another folder."):
        store(made, tmp_path / "kept", **other(made))  # type: ignore[arg-type]


def test_features_of_another_set_are_rejected(made: Made, tmp_path: Path) -> None:
    store(made, tmp_path / "kept")
    with pytest.raises(ConfigError, match="holds features of another encoder or other images"):
        store(Made(tmp_path, shapes=8), tmp_path / "kept")


def test_runs_with_other_views_share_what_is_kept(made: Made, tmp_path: Path) -> None:
    store(made, tmp_path / "kept").fill()
    made.read.clear()
    few = store(made, tmp_path / "kept", views=3)
    few.fill()
    assert made.read == []
    whole = store(made, tmp_path / "kept").row(2)
    found = few.row(2)
    assert found.tokens.shape[0] == found.pictures.shape[0] == len(found.kept) == 3
    np.testing.assert_array_equal(found.tokens, whole.tokens[[0, 3, 6]])


def test_a_full_disk_is_reported_before_the_start(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 10))  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"The cache needs 0\.0 GB, but only 0\.0 GB are free\. Set cache=pictures"):
        store(made, tmp_path / "kept")


def test_without_a_cache_nothing_is_written(made: Made, tmp_path: Path) -> None:
    bare = store(made, tmp_path / "kept", cache="none")
    bare.fill()
    assert made.read == []
    assert bare.row(0).tokens.shape[0] == 10
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_the_size_on_disk_is_estimated(cache: str, kind: str, made: Made, tmp_path: Path) -> None:
    kept = store(made, tmp_path / "kept", cache=cache, cache_type=kind)
    told = cache_bytes(kept.encoder.config, made, settings=kept.settings)
    files = [path for path in (tmp_path / "kept").glob("*.npy") if path.stem != "done"] if cache != "none" else []
    assert told == sum(path.stat().st_size - 128 for path in files)
    if cache == "tokens":
        assert json.loads((tmp_path / "kept" / "features.json").read_text())["arrays"]["tokens"][1] == kind


def test_the_published_size_is_the_default() -> None:
    """ViT-B-32 on 52,470 shapes: ten views of 50 tokens of 768 half numbers."""
    from basrelief.encoders import encoder_spec

    made = Made(Path(), shapes=1)
    each = cache_bytes(encoder_spec("ViT-B-32/openai").config, made, settings=OpenDlignSettings())
    assert each == 10 * (50 * 768 * 2 + 768 * 4 + 512 * 4)
    assert each * 52_470 / 1e9 == pytest.approx(43, abs=1)
