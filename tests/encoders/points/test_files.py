"""Files of trained point networks: what they hold, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from basrelief.encoders.points.files import (
    PointRecord,
    is_point_file,
    load_point_network,
    read_point_record,
    save_point_network,
    space_fingerprint,
)
from basrelief.encoders.state_dict import read_metadata
from basrelief.errors import ConfigError, WeightsError
from support.small_models import small_encoder
from support.small_points import register, small_spec


@pytest.fixture(autouse=True)
def _family(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def record() -> PointRecord:
    spec = small_spec()
    return PointRecord(spec.name, spec.family, spec.size, 1024, "y-up", 0.4, 14.3, "tiny", "abc", {"settings": {"lr": 0.1}})


@pytest.fixture
def file(record: PointRecord, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_point_network(record.spec.build(), tmp_path / "point.safetensors", record=record)


def test_a_network_comes_back(file: Path, record: PointRecord) -> None:
    network, found = load_point_network(file)
    assert found == record
    assert is_point_file(file)
    torch.manual_seed(0)
    expected = record.spec.build().eval()
    points, sizes = torch.rand(2, 9, 6), torch.tensor([9, 4])
    assert torch.equal(network(points, sizes), expected(points, sizes))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("text")
    assert not is_point_file(tmp_path / "other.safetensors")
    assert not is_point_file(tmp_path / "text")
    with pytest.raises(WeightsError, match=r"other.safetensors has no valid record of a point network: 'point'. Train again."):
        read_point_record(tmp_path / "other.safetensors")


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    record = json.loads(read_metadata(file)["point"])
    change(record)
    save_file(load_file(file), file, metadata={"format": read_metadata(file)["format"], "point": json.dumps(record)})
    return file


@pytest.mark.parametrize(
    ("name", "value"), [("points", "many"), ("points", 0), ("logit_scale", 0.0), ("missing_color", 2), ("notes", []), ("size", 3)]
)
def test_wrong_records_are_refused(file: Path, name: str, value: object) -> None:
    with pytest.raises(WeightsError, match=r"point.safetensors has no valid record of a point network: .* Train again."):
        read_point_record(rewrite(file, lambda record: record.update({name: value})))


@pytest.mark.parametrize("size", [{"width": 10**9}, {"depth": 10**6}, {"layers": [1] * 5000}, {"layers": [3, 10**6]}, {"width": {}}])
def test_sizes_that_would_take_all_memory_are_refused(file: Path, size: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=r"no valid record of a point network: a size beyond all reason. Train again."):
        load_point_network(rewrite(file, lambda record: record["size"].update(size)))


def test_more_points_than_the_limit_are_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match="a size beyond all reason"):
        read_point_record(rewrite(file, lambda record: record.update(points=10**10)))


@pytest.mark.parametrize("name", ["points", "family"])
def test_records_without_a_field_are_refused(file: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"no valid record of a point network"):
        load_point_network(rewrite(file, lambda record: record.pop(name)))


def test_unknown_families_and_fields_are_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds a network that cannot be built. Unknown field of the size of small 'depth'"):
        load_point_network(rewrite(file, lambda record: record["size"].update(depth=3)))
    with pytest.raises(WeightsError, match=r"holds a network that cannot be built. Unknown family of point networks 'os'"):
        load_point_network(rewrite(file, lambda record: record.update(family="os")))


def test_weights_of_another_size_are_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match=r"The weights belong to another size of the network"):
        load_point_network(rewrite(file, lambda record: record["size"].update(width=8)))


def test_the_text_tower_decides_the_space() -> None:
    one, other, rounded = small_encoder(), small_encoder(seed=1), small_encoder()
    known = space_fingerprint(one)
    assert len(known) == 16
    assert space_fingerprint(other) != known
    rounded.towers.to(torch.bfloat16)
    assert space_fingerprint(rounded) == known
    rounded.towers.to(torch.float16)
    assert not space_fingerprint(rounded)
    with torch.no_grad():
        for name, parameter in one.towers.named_parameters():
            if name.startswith("vision_model"):
                parameter.zero_()
    assert space_fingerprint(one) == known


def test_a_spec_can_be_changed(record: PointRecord) -> None:
    assert record.spec.with_changes({"width": 8}).size == {**record.size, "width": 8}
    with pytest.raises(ConfigError, match=r"Unknown field of the size of small 'widht'"):
        replace(record.spec, size={"widht": 8}).build()
