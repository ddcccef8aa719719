"""Training on small triplets: it learns, resumes, starts from earlier weights, draws similar shapes, and has TAMM's two stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders.points.base import PointNetwork
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.encoders.points.files import load_point_network, read_point_record
from basrelief.errors import ConfigError, WeightsError
from basrelief.train.point.adapter import ImageAdapter, load_image_adapter, save_image_adapter
from basrelief.train.point.augment import plain_cloud
from basrelief.train.point.fit import Space, StartingPoint, fit_point
from basrelief.train.point.run import PointRun
from basrelief.train.point.settings import PointSettings
from basrelief.train.point.triplets import StoredTriplets, in_frame
from basrelief.train.point.validation import label_scores
from basrelief.train.run import RunContext, make_accelerator
from support.small_points import small_spec

from .conftest import DIM, SMALL, STILL, made_triplets

SPACE = Space("small/space", "abc")


def train(
    triplets: StoredTriplets,
    out: Path,
    settings: PointSettings = SMALL,
    *,
    start: StartingPoint | None = None,
    validate: Callable[[PointNetwork], float] | None = None,
    views: int = 1,
) -> torch.nn.Module:
    context = RunContext(make_accelerator("float32", accumulate=settings.accumulate, cpu=True), out)
    spec = small_spec(dim=DIM, views=views)
    return fit_point(triplets, settings=settings, context=context, space=SPACE, spec=spec, start=start, validate=validate)


def log(out: Path, stage: str = "train") -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["stage"] == stage]


def accuracy(network: torch.nn.Module, triplets: StoredTriplets, settings: PointSettings = SMALL) -> float:
    assert isinstance(network, PointNetwork)
    stored = [in_frame(triplets.cloud(row), settings.frame, missing_color=0.4) for row in range(len(triplets))]
    features = PointEncoder(network).encode_points([torch.from_numpy(plain_cloud(cloud, settings)) for cloud in stored])
    scores = label_scores(features, torch.from_numpy(triplets._texts))
    return float((scores.argmax(dim=1).numpy() == triplets.truth).mean())


def test_the_loss_falls(triplets: StoredTriplets, tmp_path: Path) -> None:
    train(triplets, tmp_path, replace(SMALL, epochs=20, augmentation=STILL))
    rows = log(tmp_path)
    assert len(rows) == 40
    assert np.mean([row["total"] for row in rows[-6:]]) < 0.6 * np.mean([row["total"] for row in rows[:6]])
    assert rows[0]["lr"] == 0.01


def test_the_file_says_what_it_is(triplets: StoredTriplets, tmp_path: Path) -> None:
    network = train(triplets, tmp_path)
    record = read_point_record(tmp_path / "point.safetensors")
    assert (record.network, record.family, record.encoder, record.encoder_fingerprint) == ("small", "small_points", "small/space", "abc")
    assert (record.points, record.frame, record.missing_color) == (64, "z-up-mirrored", 0.4)
    assert record.size == small_spec(dim=DIM).size
    assert record.notes["settings"]["preset"] == "openshape-pointbert"
    assert (record.notes["shapes"], record.notes["step"], len(record.notes["data"])) == (8, 8, 16)
    assert record.logit_scale == pytest.approx(log(tmp_path)[-1]["logit_scale"], rel=0.02)
    loaded, _ = load_point_network(tmp_path / "point.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_a_run_resumes_on_the_same_curve(triplets: StoredTriplets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(triplets, tmp_path / "whole")
    step = PointRun.train_step
    taken: list[int] = []

    def interrupted(self: PointRun, content: list[object]) -> object:
        taken.append(self.step)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return step(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(PointRun, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(triplets, tmp_path / "stopped")
    train(triplets, tmp_path / "stopped")
    assert taken == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7]
    drop = lambda rows: [{name: value for name, value in row.items() if name != "seconds"} for row in rows]  # noqa: E731
    assert drop(log(tmp_path / "stopped")) == drop(log(tmp_path / "whole"))
    one, other = (load_point_network(tmp_path / name / "point.safetensors")[0].state_dict() for name in ("whole", "stopped"))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_validation_chooses_the_weights(triplets: StoredTriplets, tmp_path: Path) -> None:
    figures = iter([0.25, 0.75, 0.5, 0.5])
    kept: list[torch.Tensor] = []

    def validate(network: PointNetwork) -> float:
        assert not network.training
        kept.append(network.state_dict()["heads.0.weight"].clone())
        return next(figures)

    network = train(triplets, tmp_path, validate=validate)
    assert torch.equal(network.state_dict()["heads.0.weight"], kept[1])
    assert read_point_record(tmp_path / "point.safetensors").notes["validation"] == 0.75
    assert [row["accuracy"] for row in log(tmp_path, "validation")] == [0.25, 0.75, 0.5, 0.5]


def test_the_logit_scale_has_a_maximum(triplets: StoredTriplets, tmp_path: Path) -> None:
    train(triplets, tmp_path, replace(SMALL, max_logit_scale=14.0))
    assert all(row["logit_scale"] <= 14.0001 for row in log(tmp_path)[1:])


def test_gradients_are_clipped(triplets: StoredTriplets, tmp_path: Path) -> None:
    clipped = replace(SMALL, epochs=1, optimiser=replace(SMALL.optimiser, clip=1e-9, weight_decay=0, eps=1.0))
    train(triplets, tmp_path / "clipped", clipped)
    train(triplets, tmp_path / "not", replace(clipped, optimiser=replace(clipped.optimiser, clip=0.0)))
    fresh = train(triplets, tmp_path / "still", replace(clipped, optimiser=replace(clipped.optimiser, lr=1e-12)))
    moved = [
        (load_point_network(tmp_path / name / "point.safetensors")[0].heads[0].weight - fresh.heads[0].weight).abs().max().item()  # type: ignore[index, operator, union-attr]
        for name in ("clipped", "not")
    ]
    assert moved[0] < 1e-8 < moved[1]


@pytest.fixture
def first_round(triplets: StoredTriplets, tmp_path: Path) -> Path:
    train(triplets, tmp_path / "first")
    return tmp_path / "first" / "point.safetensors"


def test_a_second_round_draws_similar_shapes(
    triplets: StoredTriplets, first_round: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[list[int]] = []
    indices = PointRun.batch_indices
    monkeypatch.setattr(PointRun, "batch_indices", lambda self, step: rows.append(indices(self, step)) or rows[-1])
    train(triplets, tmp_path / "second", replace(SMALL, neighbours=2, nearest=3), start=StartingPoint(first_round))
    neighbours = np.load(tmp_path / "second" / "neighbours.npy")
    assert neighbours.shape == (8, 3)
    assert len(rows) == 8
    for batch in rows:
        assert len(batch) == 4
        assert all(other in neighbours[seed] for seed, other in zip(batch[::2], batch[1::2], strict=True))
    assert log(tmp_path / "second")[0]["logit_scale"] == pytest.approx(read_point_record(first_round).logit_scale, abs=1e-3)


def test_similar_shapes_need_a_trained_network(triplets: StoredTriplets, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Batches of similar shapes need a trained network. Pass --start RUN/point.safetensors"):
        train(triplets, tmp_path, replace(SMALL, neighbours=2))


def test_more_neighbours_than_shapes_are_refused(first_round: Path, tmp_path: Path) -> None:
    few = made_triplets(4)
    with pytest.raises(ConfigError, match=r"neighbours is 4, but there are only 4 shapes. Lower it."):
        train(few, tmp_path / "second", replace(SMALL, neighbours=4), start=StartingPoint(first_round))


def test_a_start_of_another_size_is_refused(triplets: StoredTriplets, first_round: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"point.safetensors holds small of another size than small. Name the same network."):
        train(triplets, tmp_path / "second", start=StartingPoint(first_round), views=2)


def test_too_few_shapes_are_refused(triplets: StoredTriplets, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 16, but there are only 8 shapes. Lower batch_size."):
        train(triplets, tmp_path, replace(SMALL, batch_size=16))


ADAPTER = replace(SMALL, stage="image-adapter", preset="tamm-image-adapter", batch_size=8, epochs=20)


def test_the_first_stage_of_tamm_moves_images_to_texts(tmp_path: Path) -> None:
    triplets = made_triplets(16)
    adapter = train(triplets, tmp_path, ADAPTER)
    assert isinstance(adapter, ImageAdapter)
    rows = log(tmp_path)
    assert np.mean([row["text"] for row in rows[-12:]]) < np.mean([row["text"] for row in rows[:12]])
    assert {row["image"] for row in rows} == {0.0}
    assert torch.equal(load_image_adapter(tmp_path / "image_adapter.safetensors").fc[0].weight, adapter.fc[0].weight)
    assert not adapter.fc[0].weight.requires_grad


def test_an_adapter_is_the_published_formula() -> None:
    torch.manual_seed(0)
    adapter, x = ImageAdapter(8, ratio=0.2), torch.randn(3, 8)
    first, second = adapter.fc[0].weight, adapter.fc[2].weight
    assert first.shape == (2, 8)
    expected = 0.2 * torch.relu(torch.relu(x @ first.T) @ second.T) + 0.8 * x
    torch.testing.assert_close(adapter(x), expected)


def test_the_second_stage_reads_adapted_images(tmp_path: Path) -> None:
    triplets = made_triplets(16)
    train(triplets, tmp_path / "one", ADAPTER)
    adapter = tmp_path / "one" / "image_adapter.safetensors"
    settings = replace(SMALL, preset="tamm-pointbert", images=2, epochs=1)
    train(triplets, tmp_path / "two", settings, start=StartingPoint(image_adapter=adapter), views=2)
    train(triplets, tmp_path / "plain", settings, views=2)
    with_adapter, without = log(tmp_path / "two")[0], log(tmp_path / "plain")[0]
    assert with_adapter["text"] == without["text"]
    assert with_adapter["image"] != without["image"]
    network, _ = load_point_network(tmp_path / "two" / "point.safetensors")
    assert network.views == 2


def test_an_adapter_of_another_length_is_refused(triplets: StoredTriplets, tmp_path: Path) -> None:
    path = save_image_adapter(ImageAdapter(8), tmp_path / "adapter.safetensors", notes={})
    with pytest.raises(ConfigError, match=r"The image adapter is for features of length 8; these have 16. Train one on these."):
        train(triplets, tmp_path / "run", start=StartingPoint(image_adapter=path))


def test_other_files_are_no_adapters(first_round: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"point.safetensors is no image adapter: it is another kind of file. Train one with preset="):
        load_image_adapter(first_round)


@pytest.mark.slow
def test_a_network_beats_chance_on_other_shapes(tmp_path: Path) -> None:
    settings = replace(SMALL, epochs=40, batch_size=16)
    network = train(made_triplets(64), tmp_path, settings)
    held_out = made_triplets(40, seed=1)
    assert accuracy(network, held_out) > 0.6
