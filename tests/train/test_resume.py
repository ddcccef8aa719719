"""Every training: kills, stops and validation do not change its result."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.state_dict import read_metadata, read_state_dict
from basrelief.train import Clip2PointSettings, OpenDlignSettings, PointSettings, TrainOptions, UprightSettings
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain
from basrelief.train.data import ShapeSet
from basrelief.train.depth_aligned.read import AlignedSet
from basrelief.train.opendlign.trainer import align
from basrelief.train.pairs.read import PairSet
from basrelief.train.point.fit import Space, fit_point
from basrelief.train.point.triplets import StoredTriplets
from basrelief.train.run import RunContext, TrainingRun, make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.text import TextRun, TextSettings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.vision import Pictures, VisionModel, VisionRun, label_targets
from basrelief.train.upright.trainer import fit_upright
from basrelief.train.validation import Validate, evaluation_mode
from support.small_points import register, small_spec

Training = Callable[[Path, Validate | None, int], None]
"""Trains in a folder to the end, with a validation, adding the gradients of so many steps."""
STEPS = 8  # not a multiple of 3, the steps whose gradients are added
SAVE_EVERY = 2


class Killed(BaseException):
    """What a kill is to the code that it ends: nothing is tidied up on the disk."""


class Pairs(PairSet):
    labels, keys, truth = ("a", "b"), [str(i) for i in range(4)], [0, 1] * 2

    def points(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).normal(size=(64, 3)).astype(np.float32)

    def picture(self, row: int, view: int) -> np.ndarray:
        return np.random.default_rng([row, view]).integers(0, 256, (32, 32, 3), dtype=np.uint8)


class Aligned(AlignedSet):
    labels, keys, truth, views = ("a", "b"), [str(i) for i in range(4)], [0, 1] * 2, 3

    @property
    def projection(self) -> dict[str, Any]:
        return {"size": 32}

    def depth(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).integers(0, 256, (3, 32, 32), dtype=np.uint8)

    def pictures(self, row: int) -> np.ndarray:
        return np.random.default_rng([row, 1]).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)

    def kept(self, row: int) -> np.ndarray:
        return np.ones(3, dtype=bool)


def stem_encoder() -> ClipEncoder:
    """A small CLIP with batch norm, whose mode matters."""
    tokenizer = Tokenizer.of_bytes()
    vision = VisionConfig(image_size=32, width=32, layers=2, heads=2, patch_size=16, stem=(8, 16))
    text = TextConfig(width=32, layers=1, heads=2, context_length=77, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    return random_encoder(ClipConfig(embed_dim=16, vision=vision, text=text), tokenizer=tokenizer)


def clip2point(out: Path, validate: Validate | None, accumulate: int) -> None:
    how = Clip2PointSettings(
        batch_size=2,
        epochs=4,
        accumulate=accumulate,
        points=64,
        workers=1,
        save_every=SAVE_EVERY,
        optimiser=OptimiserSettings("adamw", lr=1e-3),
    )
    pretrain(Pairs(), stem_encoder(), out=out, settings=how, validate=validate)


def lamb(out: Path, validate: Validate | None, accumulate: int) -> None:
    how = Clip2PointSettings(
        batch_size=2, epochs=4, accumulate=accumulate, points=64, workers=1, save_every=SAVE_EVERY, precision="bfloat16"
    )
    pretrain(Pairs(), stem_encoder(), out=out, settings=how, validate=validate)


def opendlign(out: Path, validate: Validate | None, accumulate: int, cache: str = "none") -> None:
    how = OpenDlignSettings(batch_size=2, epochs=4, accumulate=accumulate, views=3, lr=1e-2, cache=cache, workers=1, save_every=SAVE_EVERY)
    align(Aligned(out), stem_encoder(), out=out, settings=how, validate=validate, options=TrainOptions(cpu=True))


def opendlign_cached(out: Path, validate: Validate | None, accumulate: int) -> None:
    opendlign(out, validate, accumulate, "tokens")


@pytest.fixture(scope="module")
def tiny(shapes: ShapeSet) -> Training:
    generator = torch.Generator().manual_seed(3)
    side = PROJECTION.size
    colour = torch.randint(0, 256, (3, 2, side, side, 3), generator=generator, dtype=torch.uint8)
    pictures = Pictures(colour, colour[..., 0], torch.tensor([0, 4, 7]))

    def train(out: Path, validate: Validate | None, accumulate: int) -> None:
        from basrelief.train.tiny.towers import new_encoder

        encoder = new_encoder(Tokenizer.train(["a chair", "a table", "a mug", "a car"], vocab_size=560), seed=0)
        how = TinySettings(batch_size=2, with_images=2, epochs=4, epoch_steps=2, warm_up=2, accumulate=accumulate, save_every=SAVE_EVERY)
        how = replace(how, validate_every=1)
        targets, texts = label_targets(encoder, shapes, [], settings=how)
        context = RunContext(make_accelerator("float32", cpu=True), out)
        run = VisionRun(VisionModel(encoder, targets, texts, how), shapes, pictures, settings=how, context=context)
        run.restore()
        with StopSignal() as stop:
            run.run(validate and partial(validate, encoder), stop)

    return train


@pytest.fixture(scope="module")
def upright(shapes: ShapeSet) -> Training:
    def train(out: Path, validate: Validate | None, accumulate: int) -> None:
        how = UprightSettings(batch_size=2, epochs=4, epoch_steps=2, accumulate=accumulate, save_every=SAVE_EVERY)
        fit_upright(
            shapes,
            None if validate is None else shapes,
            settings=how,
            context=RunContext(make_accelerator("float32", accumulate=accumulate, cpu=True), out),
        )

    return train


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Training:
    register(monkeypatch)
    rng = np.random.default_rng(0)
    clouds, images = rng.random((4, 32, 6), dtype=np.float32), rng.normal(size=(4, 2, 16)).astype(np.float32)
    text_rows = [[0], [], [1], [0, 1]]
    triplets = StoredTriplets("abcd", clouds=clouds, images=images, exists=np.ones((4, 2), bool), texts=images[0], text_rows=text_rows)

    def train(out: Path, validate: Validate | None, accumulate: int) -> None:
        how = PointSettings(
            batch_size=2, epochs=4, accumulate=accumulate, points=24, workers=1, save_every=SAVE_EVERY, max_logit_scale=14.3
        )
        context = RunContext(make_accelerator("float32", accumulate=accumulate, cpu=True), out)
        validation = None if validate is None else disturbing_points
        fit_point(triplets, settings=how, context=context, space=Space("none"), spec=small_spec(), validate=validation)

    return train


def disturbing_points(network: PointNetwork) -> float:
    """`disturbing` for a point network."""
    assert not any(part.training for part in network.modules())
    torch.rand(3)
    np.random.rand(3)
    random.random()
    found = float(network(torch.linspace(0, 1, 60).view(1, 10, 6), torch.tensor([10])).detach().abs().mean())
    network.train()
    return found - int(found)


@pytest.fixture(scope="module")
def text() -> Training:
    known = {name: torch.nn.functional.normalize(torch.arange(i + 1.0, i + 513.0).sin(), dim=0).numpy() for i, name in enumerate("abc")}

    def train(out: Path, validate: Validate | None, accumulate: int) -> None:
        from basrelief.train.tiny.towers import new_encoder

        encoder = new_encoder(Tokenizer.train(["a chair", "a table", "a mug", "a car"], vocab_size=560), seed=0)
        how = TextSettings(batch_size=4, epochs=4, epoch_steps=2, accumulate=accumulate, save_every=SAVE_EVERY)
        run = TextRun(encoder, known, settings=how, context=RunContext(make_accelerator("float32", cpu=True), out))
        run.restore()
        with StopSignal() as stop:
            run.run(validate and partial(validate, encoder), stop)

    return train


@pytest.fixture(
    params=[
        "clip2point",
        pytest.param("lamb", marks=pytest.mark.slow),
        pytest.param("opendlign_cached", marks=pytest.mark.slow),
        "opendlign",
        pytest.param("tiny", marks=pytest.mark.slow),
        pytest.param("upright", marks=pytest.mark.slow),
        "point",
        "text",
    ]
)
def training(request: pytest.FixtureRequest) -> Training:
    named = request.param in ("tiny", "upright", "point", "text")
    found: Training = request.getfixturevalue(request.param) if named else globals()[request.param]
    return found


def disturbing(encoder: ClipEncoder) -> float:
    """A validation that reads every weight, draws from every global generator, and leaves parts in training mode."""
    assert not any(part.training for part in encoder.towers.modules())
    torch.rand(3)
    np.random.rand(3)
    random.random()
    found = float(encoder.encode_images(torch.linspace(0, 1, encoder.image_size**2).view(1, encoder.image_size, -1)).abs().mean())
    encoder.towers.vision_model.train()
    return found - int(found)


def result(out: Path) -> dict[str, Any]:
    """Everything a run leaves, but the seconds."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    files = {path.name: (read_metadata(path), read_state_dict(path)) for path in out.glob("*.safetensors")}
    return {
        "rows": [{name: value for name, value in row.items() if name != "seconds"} for row in rows],
        "files": files,
        "checkpoint": torch.load(out / "checkpoint.pt", weights_only=True),
    }


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(same, one, other))
    return one == other


class Kills(list[tuple[str, int]]):
    """Where runs were killed; `after` holds the steps after which they are, or is empty for all."""

    after: tuple[int, ...] = ()


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    """Kill a run once at each point where what lies on the disk differs: around every record, validation, kept file and checkpoint."""
    met = Kills()

    def deadly(where: str, step: int) -> None:
        if (where, step) not in met and (not met.after or (where == "after write" and step in met.after)):
            met.append((where, step))
            raise Killed

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(self: TrainingRun[Any], *args: Any, **values: Any) -> object:
            deadly(f"before {name}", self.step)
            found = real(self, *args, **values)
            deadly(f"after {name}", self.step)
            return found

        return call

    for kind in (TrainingRun, *TrainingRun.__subclasses__()):
        for name in ("write", "save", "export", "_validate"):
            if name in vars(kind) and not getattr(vars(kind)[name], "__isabstractmethod__", False):
                monkeypatch.setattr(kind, name, wrapped(name, vars(kind)[name]))
    return met


@pytest.mark.parametrize("after", [(1, 5, 8), pytest.param((), marks=pytest.mark.slow)])
@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_run_ends_like_an_uninterrupted_one(
    training: Training, accumulate: int, after: tuple[int, ...], kills: Kills, tmp_path: Path
) -> None:
    kills.after = after

    def run(out: Path) -> bool:
        random.seed(len(kills))
        np.random.seed(len(kills))
        torch.manual_seed(len(kills))
        try:
            training(out, disturbing, accumulate)
        except Killed:
            return False
        return True

    while not run(tmp_path / "killed"):
        pass
    assert len(kills) > 2 * STEPS + 8 or len(kills) == len(after)
    assert {step for _, step in kills} == set(after or range(1, STEPS + 1))
    assert run(tmp_path / "whole"), "every kill was met"
    killed, whole = result(tmp_path / "killed"), result(tmp_path / "whole")
    assert whole["checkpoint"]["step"] == STEPS
    assert [row["step"] for row in whole["rows"] if row["stage"] == "train"] == list(range(1, STEPS + 1))
    assert killed["rows"] == whole["rows"]
    assert same(killed, whole)
    assert not [path.name for path in (tmp_path / "killed").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_validation_does_not_affect_training(training: Training, accumulate: int, tmp_path: Path) -> None:
    training(tmp_path / "asked", disturbing, accumulate)
    training(tmp_path / "not", None, accumulate)
    asked, plain = result(tmp_path / "asked"), result(tmp_path / "not")
    assert len([row for row in asked["rows"] if row["stage"] == "validation"]) == 4
    assert [row for row in asked["rows"] if row["stage"] == "train"] == plain["rows"]
    best = asked["checkpoint"].pop("best")
    assert best == pytest.approx(max(row["accuracy"] for row in asked["rows"] if row["stage"] == "validation"), abs=1e-4)
    assert plain["checkpoint"].pop("best") == -1.0
    assert same(asked["checkpoint"], plain["checkpoint"])


def test_evaluation_mode_restores_modes_and_generators() -> None:
    towers = stem_encoder().towers.train()
    towers.text_model.eval()
    before = [part.training for part in towers.modules()]
    state, numpy, python = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[union-attr]
    with pytest.raises(Killed), evaluation_mode(towers, device=torch.device("cpu")):
        assert not any(part.training for part in towers.modules())
        torch.rand(1), np.random.rand(), random.random()
        towers.text_model.train()
        raise Killed
    assert [part.training for part in towers.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy).all()  # type: ignore[index]
    assert random.getstate() == python
