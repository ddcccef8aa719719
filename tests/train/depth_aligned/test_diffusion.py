"""The ControlNet painter with a small random pipeline of diffusers: inputs that matter, and invalid settings."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, MissingExtraError, WeightsNotFoundError
from basrelief.train import AlignedMaker, AlignedSettings, make_records
from basrelief.train.depth_aligned.diffusion import ControlNetPainter, load_painter
from basrelief.train.depth_aligned.make import Painter
from basrelief.train.depth_aligned.read import open_aligned
from basrelief.train.depth_aligned.settings import DiffusionSettings

pytest.importorskip("diffusers")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers' own, of its own names
        yield


@pytest.fixture(scope="module")
def how(tmp_path_factory: pytest.TempPathFactory) -> DiffusionSettings:
    from support.small_diffusion import write_diffusion

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base, control = write_diffusion(tmp_path_factory.mktemp("diffusion"))
    return DiffusionSettings(
        base=str(base), control=str(control), size=32, steps=2, batch_size=4, precision="float32", prompt="A {label}.", negative="bad"
    )


@pytest.fixture(scope="module")
def painter(how: DiffusionSettings) -> ControlNetPainter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_painter(how)


def maps(count: int = 4) -> np.ndarray:
    made = np.zeros((count, 24, 24), np.uint8)
    for number in range(count):
        made[number, 4 : 20 - number, 4:20] = 120 + 30 * number
    return made


def paint(painter: Painter, control: np.ndarray, labels: list[str], seeds: list[int], size: int = 24) -> np.ndarray:
    return painter.paint(control, labels, seeds=seeds, size=size).astype(int)


def test_pictures_are_of_the_size_asked_for(painter: ControlNetPainter) -> None:
    found = painter.paint(maps(), ["chair"] * 4, seeds=[0, 1, 2, 3], size=20)
    assert (found.shape, found.dtype) == ((4, 20, 20, 3), np.uint8)
    assert found.std() > 2


def test_a_picture_depends_on_map_label_and_seed(painter: ControlNetPainter) -> None:
    first = paint(painter, maps(1), ["chair"], [0])
    assert np.abs(paint(painter, maps(1), ["chair"], [0]) - first).max() == 0
    assert np.abs(paint(painter, 255 - maps(1), ["chair"], [0]) - first).max() > 0, "the ControlNet steers"
    assert np.abs(paint(painter, maps(1), ["zeppelin"], [0]) - first).max() > 0, "the prompt steers"
    assert np.abs(paint(painter, maps(1), ["chair"], [1]) - first).mean() > 1, "the seed decides the noise"


def test_a_picture_does_not_depend_on_its_batch(painter: ControlNetPainter) -> None:
    labels, seeds = ["chair", "mug", "bed", "car", "sofa"], [5, 6, 7, 8, 9]
    whole = paint(painter, maps(5), labels, seeds)
    for row in range(5):
        alone = paint(painter, maps(5)[row : row + 1], labels[row : row + 1], seeds[row : row + 1])
        assert np.abs(alone[0] - whole[row]).max() <= 1, "but for rounding"


def test_without_guidance_a_step_takes_one_pass(how: DiffusionSettings) -> None:
    passes: dict[float, list[int]] = {}
    for guidance in (9.0, 1.0):
        painter = load_painter(replace(how, guidance=guidance))
        rows: list[int] = []
        painter.pipeline.unet.register_forward_pre_hook(lambda _, given, rows=rows: rows.append(len(given[0])))
        paint(painter, maps(2), ["chair"] * 2, [0, 1])
        passes[guidance] = rows
    assert passes == {9.0: [4, 4], 1.0: [2, 2]}


@pytest.mark.parametrize(("scheduler", "steps"), [("ddim", 5), ("lcm", 2)])
def test_a_few_step_scheduler_takes_as_few_steps(scheduler: str, steps: int, how: DiffusionSettings) -> None:
    painter = load_painter(replace(how, scheduler=scheduler, steps=steps, guidance=1.0))
    seen: list[float] = []
    painter.pipeline.unet.register_forward_pre_hook(lambda _, given: seen.append(float(given[1])))
    paint(painter, maps(1), ["chair"], [0])
    assert len(seen) == steps
    assert seen == sorted(seen, reverse=True)
    assert type(painter.pipeline.scheduler).__name__ == {"ddim": "DDIMScheduler", "lcm": "LCMScheduler"}[scheduler]


def test_zero_strength_ignores_the_depth_map(how: DiffusionSettings) -> None:
    painter = load_painter(replace(how, strength=0.0))
    one, other = (paint(painter, control, ["chair"], [0]) for control in (maps(1), 255 - maps(1)))
    assert np.abs(one - other).max() == 0


def test_the_negative_prompt_counts(how: DiffusionSettings, painter: ControlNetPainter) -> None:
    other = load_painter(replace(how, negative="completely different words"))
    assert np.abs(paint(other, maps(1), ["chair"], [0]) - paint(painter, maps(1), ["chair"], [0])).max() > 0


def test_other_braces_in_a_prompt_are_kept(how: DiffusionSettings) -> None:
    """A label of a stranger, or a prompt with braces of its own, is never a format."""
    painter = load_painter(replace(how, prompt="A {label} {0}."))
    seen: list[str] = []
    real = painter.pipeline.encode_prompt
    painter.pipeline.encode_prompt = lambda prompt, *given, **more: (seen.extend(prompt), real(prompt, *given, **more))[1]
    paint(painter, maps(1), ["{label.__class__}"], [0])
    assert seen == ["A {label.__class__} {0}."]


def test_a_lora_changes_the_pictures(how: DiffusionSettings, painter: ControlNetPainter, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers

    unet = load_painter(how).pipeline.unet
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    state = convert_state_dict_to_diffusers(peft.get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers={name: 30 * tensor for name, tensor in state.items()})
    before = paint(painter, maps(1), ["chair"], [0])
    for lora in (tmp_path / "pytorch_lora_weights.safetensors", tmp_path):
        changed = load_painter(replace(how, lora=str(lora)))
        assert np.abs(paint(changed, maps(1), ["chair"], [0]) - before).max() > 0


def test_missing_weights_are_reported(how: DiffusionSettings, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="Cannot load '.*' from a folder or the hub: "):
        load_painter(replace(how, control=str(tmp_path / "nowhere")))
    with pytest.raises(WeightsNotFoundError, match="or use source=shaded, which needs no weights"):
        load_painter(replace(how, base=str(tmp_path)))
    with pytest.raises((WeightsNotFoundError, ConfigError)):
        load_painter(replace(how, lora=str(tmp_path / "nothing.safetensors")))


def test_a_pickle_is_not_read(how: DiffusionSettings, tmp_path: Path) -> None:
    """Only safetensors: a .bin of a stranger could hold anything."""
    import shutil

    shutil.copytree(how.control, tmp_path / "control")
    weights = tmp_path / "control" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({"a": torch.zeros(1)}, weights.with_suffix(".bin"))
    with pytest.raises(WeightsNotFoundError):
        load_painter(replace(how, control=str(tmp_path / "control")))


def test_without_diffusers_the_error_names_the_extra(how: DiffusionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"Generating images needs diffusers\. Run: pip install basrelief\[generate\]"):
        load_painter(how)


def test_generated_images_are_read_back(how: DiffusionSettings, painter: ControlNetPainter, library: Benchmark, tmp_path: Path) -> None:
    settings = AlignedSettings(size=24, points=800, diffusion=how)
    maker = AlignedMaker(settings, painter)
    assert make_records(library, tmp_path / "out", maker=maker) == []
    found = open_aligned(tmp_path / "out")
    assert (len(found), found.views, found.labels) == (4, 10, ("chair", "mug"))
    pictures = found.pictures(0)
    assert pictures.shape == (10, 24, 24, 3)
    assert len({picture.tobytes() for picture in pictures}) == 10, "each view has a seed of its own"
    manifest = json.loads((tmp_path / "out" / "records.json").read_text())
    assert manifest["style"]["diffusion"]["steps"] == 2
    assert "batch_size" not in manifest["style"]["diffusion"], "it does not decide a picture"


def test_the_painters_batch_does_not_change_the_result(how: DiffusionSettings, library: Benchmark, tmp_path: Path) -> None:
    """A batch of 40 holds four shapes, one of 4 less than one; a run may go on with another."""
    for batch in (4, 40):
        settings = AlignedSettings(size=24, points=800, diffusion=replace(how, batch_size=batch))
        maker = AlignedMaker(settings, load_painter(settings.diffusion))
        assert maker.batch_size == (4 if batch == 40 else 1)
        make_records(library, tmp_path / str(batch), maker=maker)
    one, other = open_aligned(tmp_path / "4"), open_aligned(tmp_path / "40")
    for row in range(4):
        assert np.abs(one.pictures(row).astype(int) - other.pictures(row)).max() <= 1
        np.testing.assert_array_equal(one.depth(row), other.depth(row))


def test_a_controlnet_source_needs_a_painter(how: DiffusionSettings) -> None:
    with pytest.raises(ConfigError, match=r"Source 'controlnet' needs a painter\. Use AlignedMaker\.load\(settings\)\."):
        AlignedMaker(AlignedSettings(diffusion=how))
    assert AlignedMaker.load(AlignedSettings(source="shaded")).painter is None
    assert isinstance(AlignedMaker.load(AlignedSettings(diffusion=how)).painter, Painter)
