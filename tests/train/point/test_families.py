"""Every family of point networks is trained by the same loop, in float32 and bfloat16."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basrelief.encoders.points.files import load_point_network
from basrelief.encoders.points.registry import FAMILIES, network_spec
from basrelief.train.point.fit import Space, fit_point
from basrelief.train.run import RunContext, make_accelerator

from .conftest import DIM, SMALL, made_triplets

_PATCH = {"dim": 64, "depth": 2, "heads": 1, "mlp_dim": 64, "patch_dim": 32, "patches": 8, "samples": 8}
SIZES: dict[str, dict[str, object]] = {
    "openshape-pointbert": _PATCH,
    "tamm-pointbert": {**_PATCH, "hidden": 32},
    "openshape-sparseconv": {"stem": 8, "planes": [8, 12, 16, 24], "layers": [1, 1, 1, 1], "width": 32, "hidden": 32},
    "tamm-sparseconv": {"stem": 8, "planes": [8, 12, 16, 24], "layers": [1, 1, 1, 1], "width": 32},
    "ulip2-colored": {"depth": 2},
    "uni3d-ti": {"depth": 2, "groups": 16, "neighbours": 8},
}


def test_every_family_is_tried() -> None:
    assert {network_spec(name).family for name in SIZES} == set(FAMILIES) - {"small_points"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SIZES)
def test_a_family_is_trained(name: str, precision: str, tmp_path: Path) -> None:
    spec = network_spec(name).with_changes(SIZES[name])
    settings = replace(SMALL, epochs=2, images=2, precision=precision, optimiser=replace(SMALL.optimiser, layer_decay=0.95, clip=5.0))
    context = RunContext(make_accelerator(precision, cpu=True), tmp_path)
    fit_point(made_triplets(), settings=settings, context=context, space=Space("none"), spec=spec)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(math.isfinite(row["total"]) for row in rows)
    network, record = load_point_network(tmp_path / "point.safetensors")
    assert (network.embedding_dim, record.family) == (DIM, spec.family)
    first = spec.with_embedding_dim(DIM).build().state_dict()
    assert any(not torch.equal(tensor, first[key]) for key, tensor in network.state_dict().items())


@pytest.mark.gpu
def test_a_gpu_takes_the_steps_of_a_cpu(tmp_path: Path) -> None:
    spec = network_spec("openshape-pointbert").with_changes(_PATCH)
    curves = []
    for cpu in (True, False):
        context = RunContext(make_accelerator("float32", cpu=cpu), tmp_path / str(cpu))
        fit_point(made_triplets(), settings=replace(SMALL, epochs=2), context=context, space=Space("none"), spec=spec)
        curves.append([json.loads(line)["total"] for line in (tmp_path / str(cpu) / "log.jsonl").read_text().splitlines()])
    assert curves[0] == pytest.approx(curves[1], rel=0.02)
