"""Alignment runs: parity with two original steps, trained parameters, stops, selection on validation, caches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.encoders import ClipEncoder, Tokenizer, load_tuned
from basrelief.errors import ConfigError
from basrelief.models import Model, get_recipe
from basrelief.testing import FakeEncoder
from basrelief.train import OpenDlignSettings, TrainOptions
from basrelief.train.opendlign.settings import CACHES
from basrelief.train.opendlign.trainer import Aligner, _AlignRun, align, tuning_encoder, tuning_model
from support import parity_arrays, parity_path
from support.recorded_encoders import recorded_opendlign
from support.small_models import small_encoder

from .conftest import SETTINGS, Made


def curve(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["total"] for line in lines if line["stage"] == "train"]


def state(encoder: ClipEncoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.towers.state_dict().items()}


def same(one: ClipEncoder, other: ClipEncoder) -> bool:
    return all(torch.equal(tensor, other.towers.state_dict()[name]) for name, tensor in one.towers.state_dict().items())


class Recorded(Made):
    """The four shapes of three views that were shown to the original."""

    def __init__(self, home: Path, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(home, shapes=4, views=3)
        self.arrays = arrays

    def depth(self, row: int) -> np.ndarray:
        found: np.ndarray = self.arrays["depth_uint8"][row]  # of three channels that differ, to see which is which
        return found

    def pictures(self, row: int) -> np.ndarray:
        found: np.ndarray = self.arrays["rgb_uint8"][row]
        return found


@pytest.mark.parametrize("act", ["gelu", "quick"])
@pytest.mark.parametrize("cache", CACHES)
def test_two_steps_of_the_run_are_the_originals(act: str, cache: str, tmp_path: Path) -> None:
    """From the files through the cache and the loop: the original's losses and numbers after two steps."""
    arrays = parity_arrays("opendlign_small.npz")
    encoder = recorded_opendlign(arrays, act, Tokenizer.from_file(parity_path("bpe_simple_vocab_16e6.txt.gz")))
    kept = encoder.towers.tuned_blocks
    assert kept is not None
    settings = OpenDlignSettings(batch_size=4, epochs=70, views=3, cache=cache, cache_type="float32", workers=1, save_every=10**6)
    model = Aligner(encoder)
    assert model.towers.tuned_blocks is not None
    model.towers.tuned_blocks.load_state_dict(kept.state_dict())  # what the original's two steps began from
    stopped: list[float] = []

    class Stopped(_AlignRun):
        def train_step(self, content: list[object]) -> object:  # type: ignore[override]
            if len(stopped) == 2:
                raise KeyboardInterrupt
            losses = super().train_step(sorted(content, key=lambda row: row.pictures.tobytes()))  # type: ignore[attr-defined, arg-type]
            stopped.append(losses.total.item())
            return losses

    from concurrent.futures import ThreadPoolExecutor

    from basrelief.train.opendlign.features import FeatureStore
    from basrelief.train.run import RunContext, make_accelerator
    from basrelief.train.stopping import StopSignal

    store = FeatureStore(Recorded(tmp_path, arrays), model.encoder, settings=settings, folder=tmp_path / "features")
    store.fill()
    with ThreadPoolExecutor(1) as readers, StopSignal() as stop:
        context = RunContext(make_accelerator("float32"), tmp_path / "run")
        run = Stopped(store, model, settings=settings, context=context, readers=readers, notes={})
        with pytest.raises(KeyboardInterrupt):
            run.run(None, stop)
    assert stopped == pytest.approx([float(arrays[f"{act}/train_loss_step{i}"]) for i in range(2)], rel=1e-4)
    attention = model.towers.tuned_blocks.get_submodule("0.self_attn")
    found = torch.cat([attention.get_submodule(f"{part}_proj").get_parameter("weight").detach() for part in "qkv"])
    name = "clip_model.visual.transformer.depth_control_visual.resblocks.0.attn.in_proj_weight"
    torch.testing.assert_close(found, torch.from_numpy(arrays[f"{act}/param_after_2_steps/{name}"]), rtol=0, atol=2e-6)


def test_only_the_attention_of_the_tuned_block_moves(made: Made, tmp_path: Path) -> None:
    encoder = small_encoder()
    before = state(encoder)
    trained = align(made, encoder, out=tmp_path / "run", settings=SETTINGS)
    assert not encoder.has_tuned_block, "what was given stays as it is"
    after = state(trained)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name])
    fresh = small_encoder()
    fresh.towers.add_tuned_blocks()
    changed = {name for name, tensor in state(fresh).items() if not torch.equal(tensor, after[name])}
    assert changed == {f"tuned_blocks.0.self_attn.{part}_proj.{kind}" for part in ("q", "k", "v", "out") for kind in ("weight", "bias")}


def test_a_run_writes_its_files(made: Made, tmp_path: Path) -> None:
    trained = align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS, options=TrainOptions(notes={"recipe": "mine"}))
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"checkpoint.pt", "log.jsonl", "tuned_block.safetensors", "features"}
    assert len(curve(tmp_path / "run")) == 3 * (9 // 4)
    plain = small_encoder()
    record = load_tuned(plain, tmp_path / "run" / "tuned_block.safetensors")
    assert same(plain, trained)
    assert record["notes"]["recipe"] == "mine"
    assert record["notes"]["settings"]["epochs"] == 3
    assert record["notes"]["projection"] == {"name": "opendlign", "size": 32}
    assert (record["notes"]["shapes"], record["notes"]["step"]) == (9, 6)
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert not any("vision_model" in name for name in checkpoint["tuned"]), "a checkpoint holds the tuned block alone"


def test_the_loss_falls(tmp_path: Path) -> None:
    settings = replace(SETTINGS, batch_size=16, epochs=60, lr=5e-3, save_every=10**6)
    align(Made(tmp_path, shapes=16), small_encoder(), out=tmp_path / "run", settings=settings)
    found = curve(tmp_path / "run")
    assert np.mean(found[-5:]) < np.mean(found[:5]) - 0.1


@pytest.mark.parametrize("cache", CACHES)
def test_caching_does_not_change_the_result(cache: str, made: Made, tmp_path: Path) -> None:
    settings = replace(SETTINGS, cache=cache)
    align(made, small_encoder(), out=tmp_path / "one", settings=settings)
    align(made, small_encoder(), out=tmp_path / "other", settings=replace(SETTINGS, cache="none"))
    assert curve(tmp_path / "one") == pytest.approx(curve(tmp_path / "other"), abs=1e-3)


def test_training_is_seeded(made: Made, tmp_path: Path) -> None:
    one, other, third = (
        align(made, small_encoder(), out=tmp_path / name, settings=replace(SETTINGS, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(one, other)
    assert not same(one, third)


def test_an_interrupted_run_resumes_on_the_same_curve(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = align(made, small_encoder(), out=tmp_path / "whole", settings=SETTINGS)
    real = _AlignRun.train_step

    def stopped(self: _AlignRun, content: object) -> object:
        if self.step == 3:  # after the checkpoint of step 2
            raise KeyboardInterrupt
        return real(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(_AlignRun, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        align(made, small_encoder(), out=tmp_path / "stopped", settings=SETTINGS)
    monkeypatch.setattr(_AlignRun, "train_step", real)
    made.read.clear()
    again = align(made, small_encoder(), out=tmp_path / "stopped", settings=SETTINGS)
    assert same(whole, again)
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole"), "no step twice, none left out"
    assert made.read == [], "features are not worked out again"


@pytest.mark.slow  # in a full quick run its signal has ended the worker
def test_a_stop_request_saves_and_the_run_resumes(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    settings = replace(SETTINGS, save_every=10**6)
    whole = align(made, small_encoder(), out=tmp_path / "whole", settings=settings)
    real = _AlignRun.train_step

    def asked(self: _AlignRun, content: object) -> object:
        if self.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(_AlignRun, "train_step", asked)
    with pytest.raises(KeyboardInterrupt):
        align(made, small_encoder(), out=tmp_path / "stopped", settings=settings)
    assert torch.load(tmp_path / "stopped" / "checkpoint.pt", weights_only=True)["step"] == 3
    monkeypatch.setattr(_AlignRun, "train_step", real)
    assert same(whole, align(made, small_encoder(), out=tmp_path / "stopped", settings=settings))


def test_a_finished_run_is_not_repeated(made: Made, tmp_path: Path) -> None:
    align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    before = (tmp_path / "run" / "tuned_block.safetensors").read_bytes(), (tmp_path / "run" / "log.jsonl").read_bytes()
    align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    assert ((tmp_path / "run" / "tuned_block.safetensors").read_bytes(), (tmp_path / "run" / "log.jsonl").read_bytes()) == before


def test_a_run_with_other_settings_is_rejected(made: Made, tmp_path: Path) -> None:
    align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    with pytest.raises(ConfigError, match="Folder 'run' holds a run with other settings or data. Name another folder with --out."):
        align(made, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, lr=2e-3))


def test_validation_chooses_the_block(made: Made, tmp_path: Path) -> None:
    found: list[dict[str, torch.Tensor]] = []

    def validate(encoder: ClipEncoder) -> float:
        found.append(state(encoder))
        return [0.3, 0.9, 0.5][len(found) - 1]

    trained = align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS, validate=validate)
    assert len(found) == 3
    for name, tensor in found[1].items():
        assert torch.equal(tensor, trained.towers.state_dict()[name])
    plain = small_encoder()
    assert load_tuned(plain, tmp_path / "run" / "tuned_block.safetensors")["notes"]["validation"] == 0.9


def test_rejected_views_are_left_out_on_both_sides(made: Made, tmp_path: Path) -> None:
    """A picture that the filter rejected has no say, whatever it shows."""
    made.dropped = {row: [0, 9] for row in range(9)}
    one = align(made, small_encoder(), out=tmp_path / "one", settings=SETTINGS)
    spoilt = Made(tmp_path)
    spoilt.dropped = made.dropped
    clean, dark = spoilt.pictures, spoilt.depth

    def pictures(row: int) -> np.ndarray:
        seen = clean(row).copy()
        seen[[0, 9]] = 255
        return seen

    def depth(row: int) -> np.ndarray:
        seen = dark(row).copy()
        seen[[0, 9]] = 0
        return seen

    spoilt.pictures, spoilt.depth = pictures, depth  # type: ignore[method-assign]
    other = align(spoilt, small_encoder(), out=tmp_path / "other", settings=SETTINGS)
    for name, tensor in one.towers.state_dict().items():
        torch.testing.assert_close(tensor, other.towers.state_dict()[name], atol=1e-6, rtol=0)
    assert not same(one, align(Made(tmp_path), small_encoder(), out=tmp_path / "whole", settings=SETTINGS))


def test_shapes_without_a_kept_view_are_not_drawn(made: Made, tmp_path: Path) -> None:
    made.dropped = {row: list(range(10)) for row in range(5)}
    align(made, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    assert len(curve(tmp_path / "run")) == 3, "four shapes are left, one batch an epoch"
    with pytest.raises(ConfigError, match=r"batch_size is 5, but there are only 4 shapes with images\. Lower batch_size\."):
        align(made, small_encoder(), out=tmp_path / "more", settings=replace(SETTINGS, batch_size=5))


@pytest.mark.parametrize(("blocks", "residual"), [(1, False), (2, True), (2, False)])
def test_ablation_variants_train(blocks: int, residual: bool, made: Made, tmp_path: Path) -> None:
    trained = align(made, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, blocks=blocks, residual=residual))
    assert len(trained.towers.tuned_blocks or ()) == blocks
    assert trained.towers.tuned_residual is residual
    width = trained.config.vision.width
    assert sum(parameter.numel() for parameter in trained.towers.tuned_parameters()) == blocks * (4 * width**2 + 4 * width)
    again = small_encoder()
    load_tuned(again, tmp_path / "run" / "tuned_block.safetensors")
    assert same(again, trained)


def test_gradients_of_several_steps_accumulate(made: Made, tmp_path: Path) -> None:
    """Weights move every second step; a run that is stopped between saves at a step where nothing waits."""
    settings = replace(SETTINGS, accumulate=2, epochs=4)
    whole = align(made, small_encoder(), out=tmp_path / "run", settings=settings)
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(rates) == 8
    assert rates[1] == rates[2], "the schedule goes with the weights"
    assert rates[2] != rates[3] == rates[4]
    plain = align(made, small_encoder(), out=tmp_path / "plain", settings=replace(SETTINGS, epochs=4))
    assert not same(whole, plain)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_other_precisions_train(precision: str, made: Made, tmp_path: Path) -> None:
    align(made, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, precision=precision, epochs=1))
    assert all(np.isfinite(curve(tmp_path / "run")))


def test_the_weight_of_the_distance_counts(made: Made) -> None:
    encoder = small_encoder()
    with torch.no_grad():
        tokens = encoder.towers.trunk(encoder.prepare(torch.from_numpy(made.depth(0)).float() / 255))
        frozen = encoder.towers.frozen_token(tokens)
    pictures = torch.randn(2, 5, encoder.embedding_dim, generator=torch.Generator().manual_seed(0))
    given = tokens.view(2, 5, *tokens.shape[1:]), frozen.view(2, 5, -1)
    found = [Aligner(encoder, distance=weight)(*given, pictures=pictures) for weight in (0.0, 1.0, 2.0)]
    assert found[0].total == found[0].contrast
    assert (found[2].total - found[1].total).item() == pytest.approx(found[1].distance.item(), rel=1e-3)


def test_a_fresh_block_is_the_frozen_one(made: Made) -> None:
    """Before the first step both branches agree, so the loss is that of plain CLIP."""
    encoder = small_encoder()
    images = encoder.prepare(torch.from_numpy(np.concatenate([made.depth(0), made.depth(1)])).float() / 255)
    with torch.no_grad():
        tokens = encoder.towers.trunk(images)
        frozen = encoder.towers.frozen_token(tokens)
        plain = encoder.towers.project(frozen).view(2, 10, -1)
        found = Aligner(encoder)(tokens.view(2, 10, *tokens.shape[1:]), frozen.view(2, 10, -1), pictures=plain)
    assert found.distance.item() == pytest.approx(0, abs=1e-10)


def test_the_encoder_has_the_preprocessing_of_the_recipe() -> None:
    model = Model(get_recipe("opendlign-untuned"), small_encoder())
    assert tuning_encoder(model).mean == (0.485, 0.456, 0.406)
    tiny = br.load_model("tiny", device="cpu")
    assert tuning_encoder(tiny).mean == tiny.encoder.mean
    with pytest.raises(ConfigError, match="Only CLIP encoders can be tuned, got FakeEncoder. Load a model with load_untuned."):
        tuning_encoder(Model(get_recipe("opendlign-untuned"), FakeEncoder()))


def test_validation_uses_the_tuned_model(made: Made) -> None:
    tiny = br.load_model("tiny", device="cpu")
    asked = tuning_model(tiny, made)
    assert (asked.recipe.projection, asked.recipe.projection_options) == ("opendlign", {"size": 32})
    assert asked.recipe.tuned_views == (5, 6, 7, 8, 9)
    paper = tuning_model(Model(get_recipe("opendlign-untuned"), small_encoder()), made)
    assert isinstance(paper.encoder, ClipEncoder)
    assert paper.encoder.mean == (0.485, 0.456, 0.406)


def test_a_row_has_the_features_of_a_step() -> None:
    from basrelief.train.opendlign.features import Row

    assert issubclass(Row, tuple)
    assert NamedTuple in getattr(Row, "__orig_bases__", ())
    assert Row._fields == ("tokens", "frozen", "pictures", "kept")
