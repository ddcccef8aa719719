"""The quality filter: its scores on pictures of known quality, what it keeps, and resuming."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from basrelief.errors import ConfigError
from basrelief.models import Model, get_recipe
from basrelief.train import Thresholds
from basrelief.train.depth_aligned.quality import contour_agreement, filter_aligned, label_agreement, quality_sheet
from basrelief.train.depth_aligned.read import QUALITY, AlignedSet, open_aligned, read_quality
from support.small_models import small_encoder

from .conftest import write_published


@pytest.fixture(scope="module")
def judge() -> Model:
    return Model(replace(get_recipe("opendlign-untuned"), templates="name"), small_encoder())


def disc(radius: int, *, at: tuple[int, int] = (48, 48), size: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - at[0]) ** 2 + (columns - at[1]) ** 2 < radius**2


def pictured(mask: np.ndarray, *, inside: int = 200, outside: int = 40) -> np.ndarray:
    return np.where(mask, inside, outside).astype(np.uint8)[None, ..., None].repeat(3, axis=-1)


def mapped(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 90, 255).astype(np.uint8)[None]


def test_a_picture_with_the_same_outline_scores_high() -> None:
    assert contour_agreement(mapped(disc(30)), pictured(disc(30)))[0] > 0.99


def test_an_outline_may_be_off_by_the_dilation_of_the_depth_map() -> None:
    """The 7x7x7 maximum moves it by three pixels; five are too many for all of it to count."""
    assert contour_agreement(mapped(disc(33)), pictured(disc(30)))[0] > 0.99
    assert contour_agreement(mapped(disc(30)), pictured(disc(20)))[0] < 0.6


def test_a_picture_of_another_shape_scores_low() -> None:
    assert contour_agreement(mapped(disc(30)), pictured(disc(12, at=(48, 48))))[0] < 0.5
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    assert contour_agreement(mapped(disc(30)).repeat(40, axis=0), noise).mean() == pytest.approx(0.5, abs=0.05)


def test_contrast_does_not_matter_but_edges_do() -> None:
    faint = pictured(disc(30), inside=105, outside=100)
    assert contour_agreement(mapped(disc(30)), faint)[0] > 0.99
    blurred = Image.fromarray(pictured(disc(30))[0]).filter(ImageFilter.GaussianBlur(12))
    plain = np.full((1, 96, 96, 3), 90, np.uint8)
    assert contour_agreement(mapped(disc(30)), plain)[0] == 0.5
    assert contour_agreement(mapped(disc(30)), np.asarray(blurred)[None])[0] > 0.5


def test_steps_within_the_shape_count_too() -> None:
    depth = mapped(disc(30))
    depth[0, 48:, :][disc(30)[48:, :]] = 160
    halves = np.where(np.arange(96)[:, None] >= 48, 80, 200) * np.ones((96, 96))
    both = np.where(disc(30), halves, 40).astype(np.uint8)[None, ..., None].repeat(3, axis=-1)
    assert contour_agreement(depth, both)[0] > contour_agreement(depth, pictured(disc(30)))[0]


def test_colour_alone_makes_an_edge() -> None:
    mask = disc(30)
    grey = np.full((96, 96, 3), 0, np.uint8)
    grey[mask], grey[~mask] = (200, 100, 0), (0, 100, 200)
    assert contour_agreement(mapped(mask), grey[None])[0] > 0.99


def test_an_empty_depth_map_scores_chance() -> None:
    assert contour_agreement(np.full((2, 32, 32), 255, np.uint8), np.zeros((2, 32, 32, 3), np.uint8)).tolist() == [0.5, 0.5]


def test_shaded_pictures_agree_with_their_own_maps_best(images: AlignedSet) -> None:
    own = [contour_agreement(images.depth(row), images.pictures(row)).mean() for row in range(len(images))]
    others = [contour_agreement(images.depth(row), images.pictures((row + 3) % len(images))).mean() for row in range(len(images))]
    assert min(own) > max(others)


def test_the_label_score_is_a_rank() -> None:
    cosines = torch.tensor([[0.3, 0.2, 0.1, 0.0], [0.0, 0.1, 0.2, 0.3], [0.2, 0.3, 0.1, 0.0]])
    assert label_agreement(cosines, 0).tolist() == pytest.approx([1.0, 0.0, 2 / 3])
    assert label_agreement(cosines, 3).tolist() == pytest.approx([0.0, 1.0, 0.0])
    assert label_agreement(cosines[:, :1], 0).tolist() == [1.0, 1.0, 1.0], "with one label there is nothing to mistake"


def copied(images: AlignedSet, root: Path) -> Path:
    shutil.copytree(images.home, root / "images")
    return root / "images"


def test_every_picture_is_scored_and_bad_ones_are_rejected(images: AlignedSet, judge: Model, tmp_path: Path) -> None:
    home = copied(images, tmp_path)
    told: list[tuple[int, int]] = []
    found = filter_aligned(open_aligned(home), judge, thresholds=Thresholds(0.5, 0.6), progress=lambda *now: told.append(now))
    assert told[-1] == (6, 6)
    assert found.pictures == 60
    again = open_aligned(home)
    kept = np.stack([again.kept(row) for row in range(6)])
    assert kept.sum() == found.kept
    header, scores = read_quality(home)
    assert (header["label"], header["contour"]) == (0.5, 0.6)
    assert set(scores) == set(images.keys)
    label, contour = (np.stack([scores[key][which] for key in again.keys]) for which in (0, 1))
    np.testing.assert_array_equal(kept, (label >= 0.5) & (contour >= 0.6))
    assert (found.by_label, found.by_contour) == ((label < 0.5).sum(), (contour < 0.6).sum())
    assert 0 < found.kept < 60


def test_other_thresholds_reuse_the_scores(images: AlignedSet, judge: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = copied(images, tmp_path)
    filter_aligned(open_aligned(home), judge)
    monkeypatch.setattr(Model, "embed_images", lambda *_: pytest.fail("judged again"))
    found = filter_aligned(open_aligned(home), judge, thresholds=Thresholds(0.0, 0.0))
    assert found.kept == 60
    assert open_aligned(home).kept(0).all()
    filter_aligned(open_aligned(home), judge, thresholds=Thresholds(1.0, 1.0))
    assert not open_aligned(home).kept(0).all()


def test_another_model_scores_again(images: AlignedSet, judge: Model, tmp_path: Path) -> None:
    home = copied(images, tmp_path)
    filter_aligned(open_aligned(home), judge)
    before = (home / QUALITY).read_text()
    filter_aligned(open_aligned(home), Model(judge.recipe, small_encoder(seed=5)))
    after = (home / QUALITY).read_text()
    assert json.loads(after.splitlines()[0])["judge"] != json.loads(before.splitlines()[0])["judge"]
    assert len(after.splitlines()) == len(before.splitlines()) == 7


def test_an_interrupted_filter_keeps_its_scores(images: AlignedSet, judge: Model, tmp_path: Path) -> None:
    whole, stopped = copied(images, tmp_path / "whole"), copied(images, tmp_path / "stopped")
    filter_aligned(open_aligned(whole), judge)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_aligned(open_aligned(stopped), judge, progress=stop)
    assert len(read_quality(stopped)[1]) == 3
    filter_aligned(open_aligned(stopped), judge)
    assert (whole / QUALITY).read_text() == (stopped / QUALITY).read_text()


def test_shapes_without_a_label_cannot_be_filtered(judge: Model, tmp_path: Path) -> None:
    home = write_published(tmp_path, classes=False)
    with pytest.raises(ConfigError, match=r"Some shapes have no label\. Name the files ID\+CLASS"):
        filter_aligned(open_aligned(home), judge)


def test_the_sheet_shows_both_sides(images: AlignedSet, judge: Model, tmp_path: Path) -> None:
    home = copied(images, tmp_path)
    with pytest.raises(ConfigError, match="'images' has no quality.jsonl. Run basrelief train filter first."):
        quality_sheet(open_aligned(home))
    filter_aligned(open_aligned(home), judge, thresholds=Thresholds(0.5, 0.6))
    sheet = quality_sheet(open_aligned(home))
    assert sheet.width == 1200
    assert 800 < sheet.height < 1600, "twelve of each in three rows"
    filter_aligned(open_aligned(home), judge, thresholds=Thresholds(0.0, 0.0))
    assert quality_sheet(open_aligned(home)).height < sheet.height, "nothing was rejected"


def test_an_interrupted_filter_resumes(images: AlignedSet, judge: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is compared as it is kept: on the border, 0.65004 would be kept at first and rejected after a stop."""
    monkeypatch.setattr("basrelief.train.depth_aligned.quality.contour_agreement", lambda depth, _: np.full(len(depth), 0.65004))
    monkeypatch.setattr("basrelief.train.depth_aligned.quality.label_agreement", lambda seen, _: np.ones(len(seen)))
    thresholds = Thresholds(label=0, contour=0.65003)
    (images.home / QUALITY).unlink(missing_ok=True)
    first = filter_aligned(images, judge, thresholds=thresholds)
    assert filter_aligned(images, judge, thresholds=thresholds) == first
    (images.home / QUALITY).unlink()
