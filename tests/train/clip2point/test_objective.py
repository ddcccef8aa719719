"""Losses of the pre-training: parity with values and gradients of the original code, and a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from basrelief.render.base import PointBatch
from basrelief.train.clip2point.objective import invariance_loss, pair_losses
from basrelief.train.clip2point.trainer import Pretrainer
from support import parity_arrays
from support.recorded_encoders import recorded_encoder

SIZES = ("B2D8", "B8D32", "B16D64")


def slow_ntxent(first: list[list[float]], second: list[list[float]], temperature: float) -> float:
    """Every feature picks its partner among all others, one at a time."""

    def unit(row: list[float]) -> list[float]:
        length = math.sqrt(sum(x * x for x in row))
        return [x / length for x in row]

    rows = [unit(row) for row in [*first, *second]]
    half, total = len(first), 0.0
    for i, row in enumerate(rows):
        near = [math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / temperature) for other in rows]
        total -= math.log(near[(i + half) % (2 * half)] / (sum(near) - near[i]))
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_contrast_by_loops(temperature: float) -> None:
    first, second = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    found = invariance_loss(first, second, temperature=temperature)
    assert found.item() == pytest.approx(slow_ntxent(first.tolist(), second.tolist(), temperature), rel=1e-9)


def test_equal_labels_are_no_negatives_and_different_ones_are_the_papers() -> None:
    first, second = torch.randn(4, 6), torch.randn(4, 6)
    torch.testing.assert_close(invariance_loss(first, second), invariance_loss(first, second, torch.arange(4)))
    assert invariance_loss(first, second, torch.zeros(4, dtype=torch.int64)).item() == pytest.approx(0, abs=1e-6)


def test_length_does_not_matter_to_the_contrast_but_to_the_mean() -> None:
    first, second, picture = torch.randn(4, 6), torch.randn(4, 6), torch.randn(4, 6)
    one = pair_losses(first, second, picture=picture, balance=torch.tensor(1.0))
    other = pair_losses(first, 9 * second, picture=5 * picture, balance=torch.tensor(1.0))
    torch.testing.assert_close(one.intra, other.intra)
    assert not torch.isclose(one.cross, other.cross)


@pytest.mark.parametrize("balance", [0.5, 1.0, 2.0])
def test_the_learned_weight_scales_the_intra_loss(balance: float) -> None:
    parts = pair_losses(torch.randn(3, 4), torch.randn(3, 4), picture=torch.randn(3, 4), balance=torch.tensor(balance))
    expected = parts.cross + parts.intra / balance**2 + math.log(balance + 1)
    torch.testing.assert_close(parts.total, expected)


def test_the_picture_gets_no_gradient() -> None:
    picture = torch.randn(3, 4, requires_grad=True)
    depth = torch.randn(3, 4, requires_grad=True)
    pair_losses(depth, torch.randn(3, 4), picture=picture, balance=torch.tensor(1.0)).total.backward()
    assert picture.grad is None
    assert depth.grad is not None


def recorded_sizes() -> list[str]:
    return sorted({name.partition("/")[0] for name in parity_arrays("clip2point_losses.npz") if "/" in name})


def test_losses_and_gradients_are_the_originals() -> None:
    arrays = parity_arrays("clip2point_losses.npz")
    sizes = recorded_sizes()
    assert len(sizes) == 3
    for size in sizes:
        leaf = {name: torch.from_numpy(arrays[f"{size}/{name}"]).requires_grad_() for name in ("depth1", "depth2", "weights")}
        picture = torch.from_numpy(arrays[f"{size}/image"])
        found = pair_losses(leaf["depth1"], leaf["depth2"], picture=picture, balance=leaf["weights"])
        assert found.intra.item() == pytest.approx(float(arrays[f"{size}/depth_loss"]), rel=1e-5, abs=1e-5)
        assert found.cross.item() == pytest.approx(float(arrays[f"{size}/image_loss"]), rel=1e-5, abs=1e-5)
        assert found.total.item() == pytest.approx(float(arrays[f"{size}/total"]), rel=1e-5, abs=1e-5)
        found.total.backward()
        for name, tensor in leaf.items():
            torch.testing.assert_close(tensor.grad, torch.from_numpy(arrays[f"{size}/grad_{name}"]), rtol=1e-4, atol=1e-6)


def recorded_pretrainer() -> tuple[Pretrainer, dict[str, np.ndarray]]:
    arrays = parity_arrays("clip2point_forward.npz")

    def tower(name: str) -> dict[str, Tensor]:
        start = f"sd/{name}."
        return {f"visual.{n.removeprefix(start)}": torch.from_numpy(a).float() for n, a in arrays.items() if n.startswith(start)}

    clip = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    made = Pretrainer(recorded_encoder(tower("image_model")).with_preprocessing(*clip))
    made.towers.load_state_dict(recorded_encoder(tower("point_model")).towers.state_dict())
    with torch.no_grad():
        made.balance.copy_(torch.from_numpy(arrays["sd/weights"]).float())
    return made, arrays


def test_a_step_from_points_to_gradients_is_the_originals() -> None:
    made, arrays = recorded_pretrainer()
    batch = PointBatch.pack(list(arrays["points"]))
    angles = [torch.from_numpy(arrays[name]).flatten() for name in ("azim", "elev")]
    random = torch.from_numpy(np.concatenate([arrays["rand1"], arrays["rand2"]], axis=1))
    distance = torch.from_numpy(arrays["dist"]) * (1 + (random - 0.5) / 5)
    from dataclasses import replace

    projection = replace(made.projection, rot=False)
    depth = projection.image(projection.pair(batch, *angles, distance))
    picture = torch.from_numpy(arrays["image_uint8"]).permute(0, 3, 1, 2).float() / 255
    found = made(depth, picture)
    assert found.intra.item() == pytest.approx(float(arrays["depth_loss"]), abs=2e-3)
    assert found.cross.item() == pytest.approx(float(arrays["image_loss"]), abs=2e-3)
    assert found.total.item() == pytest.approx(float(arrays["loss"]), abs=4e-3)
    found.total.backward()
    assert made.balance.grad is not None
    assert made.balance.grad.item() == pytest.approx(float(arrays["grad_weights"]), rel=1e-2)
    weight = made.towers.get_submodule("visual_projection").get_parameter("weight")
    recorded = torch.from_numpy(arrays["grad_point_proj"]).T
    assert F.cosine_similarity(weight.grad.flatten(), recorded.flatten(), dim=0) > 0.999  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in made.pictures.towers.parameters())


def test_only_the_image_tower_and_the_balance_learn() -> None:
    from support.small_models import small_encoder

    made = Pretrainer(small_encoder())
    learned = {name.split(".")[1] if name.startswith("towers.") else name for name, p in made.named_parameters() if p.requires_grad}
    assert learned == {"vision_model", "visual_projection", "balance"}
    before = made.pictures.towers.state_dict()
    for name, tensor in made.towers.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.data_ptr() != before[name].data_ptr()
