"""Detections in .npz: everything comes back, other labels need no new rendering, hostile files are refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import basrelief as br
from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.limits import limits, use_limits
from basrelief.models import Model
from basrelief.scenes import Detections
from basrelief.scenes.crops import embed_boxes
from basrelief.scenes.export.archive import load_detections
from basrelief.scenes.label import LabelSettings, label_boxes
from support.made_detections import made_detections
from support.small_scenes import given, planted_scene


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def found(tiny: Model) -> Detections:
    scene, boxes = planted_scene(("chair", "lamp"))
    return label_boxes(embed_boxes(scene, given(boxes), tiny), ["chair", "lamp", "car"], LabelSettings(min_score=0.2))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return made_detections().save(tmp_path / "boxes.npz")


def change(path: Path, **arrays: np.ndarray | None) -> Path:
    """Replace arrays of a file, or remove them."""
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files} | arrays
    np.savez(path, **{name: array for name, array in kept.items() if array is not None})  # type: ignore[arg-type]
    return path


def change_info(path: Path, **values: object) -> Path:
    with np.load(path) as stored:
        info = json.loads(stored["info"].tobytes()) | values
    return change(path, info=np.frombuffer(json.dumps(info).encode(), np.uint8))


def test_every_field_comes_back(saved: Path) -> None:
    before, after = made_detections(), load_detections(saved)
    for field in dataclasses.fields(Detections):
        mine, theirs = getattr(before, field.name), getattr(after, field.name)
        if isinstance(mine, np.ndarray):
            assert np.array_equal(mine, theirs), field.name
        elif field.name not in ("scene", "proposals"):
            assert mine == theirs, field.name
    for name in ("to_file", "structure", "kind", "floor", "findings", "source"):
        assert np.array_equal(getattr(before.scene, name), getattr(after.scene, name)), name
    assert np.array_equal(before.scene.cloud.points, after.scene.cloud.points)
    assert after.scene.cloud.colors is not None
    assert before.scene.cloud.colors is not None
    assert np.abs(after.scene.cloud.colors - before.scene.cloud.colors).max() <= 0.501 / 255
    assert before.records() == after.records()
    assert np.array_equal(before.boxes.yaws, after.boxes.yaws)
    assert (after.proposals.method, after.proposals.class_probs) == ("segments", None)


def test_scans_without_boxes_and_colours_come_back(tmp_path: Path) -> None:
    after = load_detections(made_detections(boxes=0, colors=False).save(tmp_path / "none.npz"))
    assert len(after) == 0
    assert after.scene.cloud.colors is None


def test_other_labels_need_no_new_rendering(found: Detections, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = load_detections(found.save(tmp_path / "a.npz"), model=tiny)
    monkeypatch.setattr(Model, "prepare", None)
    expected, actual = found.relabel(["armchair", "floor lamp"]), again.relabel(["armchair", "floor lamp"])
    assert actual.records() == expected.records()
    assert np.array_equal(actual.view_embeddings, expected.view_embeddings)


def test_without_a_model_labels_stay(found: Detections, tmp_path: Path) -> None:
    again = load_detections(found.save(tmp_path / "a.npz"))
    assert again.names == found.names
    with pytest.raises(
        GeometryError, match="These boxes came without their model. Use Detections from basrelief.detect, or load them with"
    ):
        again.relabel(["chair", "car"])


def test_another_model_is_refused(found: Detections, tiny: Model, tmp_path: Path) -> None:
    path = change_info(found.save(tmp_path / "a.npz"), fingerprint="0" * 16)
    with pytest.raises(
        ConfigError, match=r"The boxes of a\.npz were embedded by 'tiny' with other weights than those of 'tiny'\. Load the same model"
    ):
        load_detections(path, model=tiny)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"File '.*none\.npz' not found\. Check the path\."):
        load_detections(tmp_path / "none.npz")
    np.savez(tmp_path / "points.npz", points=np.zeros((4, 3), np.float32))
    with pytest.raises(FileFormatError, match=r"points\.npz does not hold detections\. Save them with Detections\.save\."):
        load_detections(tmp_path / "points.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(FileFormatError, match=r"text\.npz cannot be read as detections"):
        load_detections(tmp_path / "text.npz")


def test_later_versions_are_refused(saved: Path) -> None:
    with pytest.raises(
        FileFormatError, match=r"boxes\.npz has version 2 of the format, but this version of basrelief reads 1\. Update basrelief\."
    ):
        load_detections(change_info(saved, version=2))


@pytest.mark.parametrize(
    "arrays",
    [
        {"scores": np.full(4, np.nan, np.float32)},
        {"scores": np.zeros(3, np.float32)},
        {"label_ids": np.array([0, 1, 2, 4])},
        {"label_ids": np.array([0.0, 1.0, 2.0, 3.0])},
        {"probabilities": np.zeros((4, 7), np.float32)},
        {"box_points": np.full(1600, 1 << 31, np.uint32)},
        {"box_point_counts": np.array([1, 2, 3, 4], np.uint32)},
        {"centers": np.full((4, 3), np.inf)},
        {"sizes": -np.ones((4, 3))},
        {"centers": np.zeros((4, 2))},
        {"points": np.zeros((0, 3), np.float32)},
        {"points": np.zeros((3600, 3), np.float64)},
        {"structure": np.zeros(7, np.int8)},
        {"to_file": np.zeros((4, 4))},
        {"view_embeddings": np.full((4, 3, 8), np.nan, np.float32)},
        {"view_embeddings": None},
        {"info": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"info": np.frombuffer(b"\xff", np.uint8)},
    ],
    ids=lambda arrays: "-".join(f"{name}{'' if array is None else array.shape}" for name, array in arrays.items()),
)
def test_inconsistent_files_are_refused(saved: Path, arrays: dict[str, np.ndarray | None]) -> None:
    with pytest.raises(FileFormatError, match=r"^(?:The array '\w+' of )?boxes\.npz|GeometryError"):
        load_detections(change(saved, **arrays))


@pytest.mark.parametrize(
    "values", [{"kind": "garden"}, {"labels": ["a"]}, {"floor": "low"}, {"findings": [["a"]]}, {"seconds": {"a": []}}, {"settings": 3}]
)
def test_wrong_texts_are_refused(saved: Path, values: dict[str, object]) -> None:
    with pytest.raises(FileFormatError, match=r"boxes\.npz"):
        load_detections(change_info(saved, **values))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return Path.write_text, (self.marker, "run")  # type: ignore[return-value]


def test_pickles_are_not_run(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    objects = io.BytesIO()
    np.lib.format.write_array_header_1_0(objects, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile(change(saved, colors=None), "a") as archive:
        archive.writestr("colors.npy", objects.getvalue() + pickle.dumps(Bomb(marker)))
    with pytest.raises(FileFormatError, match="'colors'"):
        load_detections(saved)
    assert not marker.exists()


def test_declared_sizes_are_checked_before_reading(saved: Path) -> None:
    with use_limits(dataclasses.replace(limits(), points=100)), pytest.raises(FileFormatError, match="declares 3,600 points; at most 100"):
        load_detections(saved)
    with use_limits(dataclasses.replace(limits(), boxes=3)), pytest.raises(FileFormatError, match="declares 4 boxes; at most 3"):
        load_detections(saved)
    with use_limits(dataclasses.replace(limits(), list_bytes=10)), pytest.raises(FileFormatError, match="bytes of text; at most 10"):
        load_detections(saved)
    with use_limits(dataclasses.replace(limits(), unpacked_bytes=1000)), pytest.raises(FileFormatError, match="bytes when unpacked"):
        load_detections(saved)


def test_truncated_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for share in (0.1, 0.5, 0.99):
        saved.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(FileFormatError):
            load_detections(saved)


def test_damaged_files_are_refused_or_read(saved: Path) -> None:
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            damaged[place] = rng.integers(0, 256)
        saved.write_bytes(bytes(damaged))
        with contextlib.suppress(FileFormatError):
            assert len(load_detections(saved)) == 4
