"""Preprocessing of photos, compared with the transforms of open_clip and Hugging Face, and their configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from basrelief.encoders import encoder_spec, load_encoder_folder, photos, save_encoder
from basrelief.encoders.clip import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from basrelief.encoders.photos import fit_image
from basrelief.encoders.preprocessing import ImageFit, Preprocessing, read_preprocessing
from basrelief.encoders.registry import list_encoders
from basrelief.errors import ConfigError, WeightsError
from basrelief.models import Model, get_recipe
from support import parity_arrays
from support.small_models import small_encoder

SIDE = 32
DEFAULT = Preprocessing(CLIP_MEAN, CLIP_STD)
RECORDED = parity_arrays("open_clip_preprocessing.npz")
CASES = sorted(name for name in RECORDED if name.startswith("out_"))


def eight_bit(pixels: Tensor) -> np.ndarray:
    return (pixels * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("case", CASES)
def test_open_clips_transform_gives_the_same_pixels(case: str) -> None:
    _, size, mode, interpolation = case.split("_")
    picture = Image.fromarray(RECORDED[f"in_{size}"])
    ours = fit_image(picture, SIDE, ImageFit(mode, interpolation))  # type: ignore[arg-type]
    np.testing.assert_array_equal(eight_bit(ours), RECORDED[case])


def test_a_model_shows_the_tower_what_open_clip_would(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = small_encoder()
    seen: list[Tensor] = []
    monkeypatch.setattr(encoder.towers, "image_features", lambda pixels, tuned: seen.append(pixels) or torch.ones(len(pixels), 16))
    Model(get_recipe("pointclip-b32"), encoder).embed_images([Image.fromarray(RECORDED["in_61x40"]), RECORDED["in_61x40"]])
    for row in seen[0]:
        np.testing.assert_allclose(row.numpy(), RECORDED["normalised_61x40"], atol=1e-6)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (32, 32), (33, 66), (200, 40)])
def test_hugging_faces_processor_gives_the_same_pixels(size: tuple[int, int]) -> None:
    """Sizes whose crop leaves an even number of pixels over; its Pillow processor rounds odd ones down, its torch one as open_clip does."""
    processing = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    processor = processing.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    theirs = processor(picture, return_tensors="np")["pixel_values"][0]
    ours = (fit_image(picture, SIDE, ImageFit()) - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("size", [(500, 20), (20, 500), (300, 33)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_middle_of_a_long_picture_is_scaled_alike(size: tuple[int, int], interpolation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.fromarray(np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    fit = ImageFit("shortest", interpolation)
    middle = eight_bit(fit_image(picture, SIDE, fit))
    monkeypatch.setattr(photos, "_LONG", 1000)
    whole = eight_bit(fit_image(picture, SIDE, fit))
    assert np.abs(middle.astype(int) - whole).max() <= 1


def test_a_line_of_pixels_costs_no_more_than_its_middle() -> None:
    for size in ((1, 200_000), (200_000, 1)):
        assert fit_image(Image.new("RGB", size, (255, 0, 0)), 224, ImageFit()).shape == (3, 224, 224)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1", "CMYK"])
def test_every_mode_becomes_three_channels(mode: str) -> None:
    picture = Image.fromarray(RECORDED["in_61x40"]).convert(mode)
    expected = fit_image(picture.convert("RGB"), SIDE, ImageFit())
    assert torch.equal(fit_image(picture, SIDE, ImageFit()), expected)


def test_who_squashes_and_who_is_bilinear() -> None:
    fits: dict[ImageFit, set[str]] = {}
    for name in list_encoders():
        family = next((one for one in ("PE-Core", "SigLIP2", "MobileCLIP2") if one in name), name)
        fits.setdefault(encoder_spec(name).image_fit, set()).add(family)
    assert fits.pop(ImageFit("squash", "bicubic")) == {
        "ViT-H-14/dfn5b",
        "SigLIP2",
        *(f"ViT-{size}-worldwide/metaclip2_worldwide" for size in ("B-32", "L-14")),
    }
    assert fits.pop(ImageFit("squash", "bilinear")) == {"PE-Core"}
    assert fits.pop(ImageFit("shortest", "bilinear")) == {"SLIP-ViT-B-16/yfcc15m", "MobileCLIP2"}
    assert fits.keys() == {ImageFit("shortest", "bicubic")}


def written(folder: Path, name: str, record: object) -> Preprocessing:
    (folder / name).write_text(json.dumps(record))
    return read_preprocessing(folder, DEFAULT, side=224)


def test_without_a_file_the_known_values_hold(tmp_path: Path) -> None:
    assert read_preprocessing(tmp_path, DEFAULT, side=224) is DEFAULT


def test_open_clips_configuration(tmp_path: Path) -> None:
    name = "open_clip_config.json"
    assert written(tmp_path, name, {"model_cfg": {}}) == DEFAULT
    assert written(tmp_path, name, {"preprocess_cfg": {"mean": None, "size": 224, "fill_color": 0}}) == DEFAULT
    record = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "interpolation": "bilinear", "resize_mode": "squash", "size": [224, 224]}
    assert written(tmp_path, name, {"preprocess_cfg": record}) == Preprocessing(IMAGENET_MEAN, IMAGENET_STD, ImageFit("squash", "bilinear"))


def test_hugging_faces_configuration(tmp_path: Path) -> None:
    name = "preprocessor_config.json"
    clip = {"crop_size": 224, "do_center_crop": True, "resample": 3, "size": 224, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    assert written(tmp_path, name, clip) == DEFAULT
    newer = clip | {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
    assert written(tmp_path, name, newer) == DEFAULT
    squashed = {
        "do_center_crop": False,
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    assert written(tmp_path, name, squashed) == Preprocessing((0.5,) * 3, (0.5,) * 3, ImageFit("squash", "bilinear"))
    assert written(tmp_path, "open_clip_config.json", {}) == DEFAULT  # open_clip's comes first


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("open_clip_config.json", "{", "Expecting property name"),
        ("open_clip_config.json", "[]", "no attribute 'get'"),
        ("open_clip_config.json", '{"preprocess_cfg": {"size": 336}}', "it is for pictures of 336, but the tower takes 224 pixels"),
        (
            "open_clip_config.json",
            '{"preprocess_cfg": {"resize_mode": "longest"}}',
            "Unknown resize_mode 'longest'; expected one of shortest, squash",
        ),
        (
            "open_clip_config.json",
            '{"preprocess_cfg": {"interpolation": "random"}}',
            "Unknown interpolation 'random'; expected one of bicubic, bilinear",
        ),
        ("open_clip_config.json", '{"preprocess_cfg": {"resize_mode": []}}', "Unknown resize_mode '[]'; expected one of"),
        ("open_clip_config.json", '{"preprocess_cfg": {"mean": [1, 2]}}', "not enough values"),
        ("open_clip_config.json", '{"preprocess_cfg": {"mean": [1, 2, NaN]}}', "channels"),
        ("open_clip_config.json", '{"preprocess_cfg": {"std": [1, 0, 1]}}', "std holds 0"),
        ("open_clip_config.json", '{"preprocess_cfg": 7}', "no attribute 'items'"),
        ("open_clip_config.json", "[" * 100_000, "recursion"),
        ("preprocessor_config.json", '{"size": {"shortest_edge": 256}, "crop_size": 224}', "it is for pictures of {'shortest_edge': 256}"),
        ("preprocessor_config.json", '{"resample": 1}', "resample is 1; known are 2 (bilinear) and 3 (bicubic)"),
        ("preprocessor_config.json", '{"resample": {}}', "unhashable"),
        ("preprocessor_config.json", '{"size": {}}', "it is for pictures of {}"),
    ],
)
def test_configurations_that_make_no_sense(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(WeightsError) as caught:
        read_preprocessing(tmp_path, DEFAULT, side=224)
    assert str(caught.value).startswith(f"{name} does not state the preprocessing of these weights: ")
    assert reason in str(caught.value)


def test_our_own_folders_keep_it(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_encoder(encoder, tmp_path)
    assert load_encoder_folder(tmp_path).image_fit == ImageFit()
    encoder.image_fit = ImageFit("squash", "bilinear")
    save_encoder(encoder, tmp_path)
    assert load_encoder_folder(tmp_path).image_fit == ImageFit("squash", "bilinear")


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown resize_mode 'crop'; expected one of shortest, squash"):
        ImageFit(resize_mode="crop")  # type: ignore[arg-type]
