"""Checkpoints of every version of torch: what is read, what is dropped, and agreement with current torch."""

from __future__ import annotations

import argparse
import pathlib
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basrelief.encoders.checkpoint.read import open_checkpoint
from basrelief.encoders.checkpoint.records import StoredTensor
from basrelief.encoders.state_dict import open_state_dict, read_state_dict
from basrelief.errors import FileFormatError, WeightsError
from basrelief.limits import limits, use_limits
from support.old_checkpoints import (
    Call,
    Global,
    Object,
    Tensor,
    legacy_checkpoint,
    scalar,
    tar_checkpoint,
    training_checkpoint,
    zip_checkpoint,
)

WEIGHTS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "half": np.arange(5, dtype=np.float16), "n": np.array(5)}
Write = Callable[[object], bytes]
LAYOUTS = pytest.mark.parametrize("write", [zip_checkpoint, legacy_checkpoint])


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def same(found: dict[str, torch.Tensor], expected: dict[str, np.ndarray]) -> bool:
    """Whether tensors have these names, types and numbers."""
    pairs = [(found[name], torch.from_numpy(np.array(array))) for name, array in expected.items() if name in found]
    return found.keys() == expected.keys() and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


@LAYOUTS
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_of_a_training_script_under_an_old_torch_is_read(tmp_path: Path, write: Write, prefix: str) -> None:
    path = written(tmp_path / "best.pt", write(training_checkpoint(WEIGHTS, prefix=prefix)))
    found = open_state_dict(path)
    assert same(found.tensors, WEIGHTS)
    assert found.place == "model_state_dict"
    assert found.dropped == {"scheduler_d_visual_state_dict.anneal_func": "__builtin__.getattr", "args": "argparse.Namespace"}


@LAYOUTS
def test_todays_torch_reads_the_same_from_these_files(tmp_path: Path, write: Write) -> None:
    """The bytes that the other tests are written with are those of torch, not only readable by us."""
    path = written(tmp_path / "best.pt", write(training_checkpoint(WEIGHTS, prefix="module.")))
    real = torch.load(path, map_location="cpu", weights_only=False)
    assert real["args"].output == pathlib.PosixPath("/data/shapenet")
    assert real["best_accuracy"] == np.float64(0.82)
    assert callable(real["scheduler_d_visual_state_dict"]["anneal_func"])
    ours = open_checkpoint(path)
    for name, tensor in real["model_state_dict"].items():
        assert torch.equal(ours.tensor(ours.content["model_state_dict"][name]), tensor)
    moments = ours.content["optimizer_d_visual_state_dict"]["state"][0]
    theirs = real["optimizer_d_visual_state_dict"]["state"][0]
    assert torch.equal(ours.tensor(moments["exp_avg_sq"]), theirs["exp_avg_sq"])
    assert (ours.content["epoch"], moments["step"], ours.content["best_accuracy"]) == (9, 7, np.float64(0.82))
    assert ours.content["optimizer_d_visual_state_dict"]["param_groups"] == real["optimizer_d_visual_state_dict"]["param_groups"]


def test_the_first_layout_of_torch_is_read_as_todays_torch_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path / "w.tar", tar_checkpoint(WEIGHTS))
    real = torch.load(path, weights_only=False)
    found = read_state_dict(path)
    assert same(found, WEIGHTS)
    assert all(torch.equal(found[name], real[name]) for name in WEIGHTS)


def everything() -> dict[str, Any]:
    """Every kind of value that training scripts save."""
    model = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=10)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    numbers = torch.arange(12.0).view(3, 4)
    return {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "views": [numbers, numbers.T, numbers[1:, ::2], numbers.flatten()[5], numbers[:0]],
        "parameter": torch.nn.Parameter(numbers),
        "bytes": torch.arange(3, dtype=torch.uint8),
        "new types": [torch.ones(3, dtype=torch.uint16), torch.ones(3).to(torch.float8_e4m3fn)],
        "size": numbers.shape,
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "random": np.random.default_rng(0).bit_generator.state,
        "array": np.arange(3),
        "groups": defaultdict(list, {"a": [1, 2]}),
        "nested": OrderedDict(a=(None, True, -(1 << 40), 1.5, "text", b"bytes")),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_value_is_read_as_torch_reads_it(tmp_path: Path, zipped: bool, protocol: int) -> None:
    content = everything()
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found = open_checkpoint(tmp_path / "w.pt")
    # with protocol 5, arrays are made by a function of NumPy, which is not called
    assert {name.partition(".")[0] for name in found.dropped} == ({"array"} if protocol == 5 else set())
    for name, value in content.items():
        if name != "array":
            compare(found.content[name], value, found.tensor)


def compare(found: Any, value: Any, read: Callable[[StoredTensor], torch.Tensor]) -> None:
    """Compare two nested values."""
    match value:
        case torch.Tensor():
            assert torch.equal(read(found).float(), value.float())
            assert (read(found).dtype, read(found).shape) == (value.dtype, value.shape)
        case dict():
            assert list(found) == list(value)
            for key, inner in value.items():
                compare(found[key], inner, read)
        case list() | tuple():
            assert len(found) == len(value)
            for one, other in zip(found, value, strict=True):
                compare(one, other, read)
        case torch.device():
            assert found == str(value)
        case _:
            assert found == value


def test_what_is_no_plain_value_is_left_out_and_listed(tmp_path: Path) -> None:
    content = {
        "state_dict": {"w": torch.ones(2)},
        "args": argparse.Namespace(lr=0.1),
        "path": pathlib.PurePosixPath("/data"),
        "set": {1, 2},
        "tensors": [torch.ones(2), torch.ones(2, 2).to_sparse()],
        "function": len,
        "class": dict,
        "types": [np.dtype("f4"), np.zeros(2, dtype=[("a", "f4")]), np.array([None])],
        "dates": np.array(["2020-01-01"], dtype="M8[D]"),
        "loop": (loop := []),
    }
    loop.append(loop)
    torch.save(content, tmp_path / "w.pt", pickle_protocol=4)
    found = open_checkpoint(tmp_path / "w.pt")
    assert found.dropped == {
        "args": "argparse.Namespace",
        "path": "pathlib.PurePosixPath",
        "set": "a set",
        "tensors.1": "torch._utils._rebuild_sparse_tensor",
        "function": "builtins.len",
        "class": "builtins.dict",
        "types.0": "a class",
        "types.1": "an array of objects",
        "types.2": "an array of objects",
        "dates": "an array of objects",
    }
    assert found.content["loop"] == [None]
    assert set(found.content) == {"state_dict", "tensors", "types", "loop"}
    assert found.content["tensors"][1] is None
    assert same(read_state_dict(tmp_path / "w.pt"), {"w": np.ones(2, np.float32)})


def test_a_pickled_model_says_how_to_save_it(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    message = r"w\.pt holds a pickled torch\.nn\.modules\.linear\.Linear, which is not read; expected tensors by name\. Save model\.state_dict\(\) instead of the model"
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "w.pt")


STATE = {"a.b": torch.ones(2)}
OTHER = {"a.b": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "place", "unused"),
    [
        ({"model_state_dict": STATE, "epoch": 1}, "model_state_dict", ()),
        ({"state_dict": STATE, "state_dict_ema": OTHER, "arch": "vit"}, "state_dict", ("state_dict_ema",)),
        ({"model": STATE, "model_ema": OTHER, "ema": OTHER}, "model", ("model_ema", "ema")),
        ({"state_dict_ema": STATE}, "state_dict_ema", ()),
        ({"module": STATE, "optimizer": None, "ds_version": "0.7"}, "module", ()),
        ({"state_dict": {"module": STATE}}, "state_dict.module", ()),
        ({"model": {"state_dict": STATE}, "lr": 0.1}, "model.state_dict", ()),
        ({"module": {f"module.{name}": tensor for name, tensor in STATE.items()}, "ds_config": {"zero": 1}}, "module", ()),
        (STATE, "", ()),
    ],
)
def test_where_the_weights_are_in_a_file(tmp_path: Path, content: Any, place: str, unused: tuple[str, ...]) -> None:
    torch.save(content, tmp_path / "w.pt")
    found = open_state_dict(tmp_path / "w.pt")
    assert (found.place, found.unused) == (place, unused)
    assert list(found.tensors) == ["a.b"]
    assert torch.equal(found.tensors["a.b"], torch.ones(2))


def test_tensors_that_were_one_are_one_again(tmp_path: Path) -> None:
    shared = torch.ones(3)
    for zipped in (True, False):
        torch.save({"a": shared, "b": shared[1:]}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        found = read_state_dict(tmp_path / "w.pt")
        found["a"][2] = 7
        assert float(found["b"][1]) == 7
        assert float(read_state_dict(tmp_path / "w.pt")["a"][2]) == 1


def test_a_part_of_a_storage_is_found_in_the_legacy_layout(tmp_path: Path) -> None:
    """Old versions of torch wrote parts of storages as parts."""
    numbers = np.arange(10, dtype=np.float32)
    content = legacy_checkpoint({"a": Tensor(numbers, (4,), (1,))})
    whole, part = b"K\nNt", b"K\n(X\x01\x00\x00\x00vK\x03K\x06tt"  # 10 numbers and no part; six of them, from the fourth
    assert content.count(whole) == 1
    path = written(tmp_path / "w.pt", content.replace(whole, part))
    assert read_state_dict(path)["a"].tolist() == [3, 4, 5, 6]
    assert torch.load(path, map_location="cpu", weights_only=False)["a"].tolist() == [3, 4, 5, 6]


def test_an_archive_that_was_packed_again_is_read(tmp_path: Path) -> None:
    state = {"a": torch.arange(1000.0), "b": torch.ones(3, dtype=torch.float64)}
    torch.save(state, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "misaligned.pt", "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    for name in ("packed.pt", "misaligned.pt"):
        found = read_state_dict(tmp_path / name)
        assert all(torch.equal(found[key], state[key]) for key in state)
    with (
        use_limits(type(limits())(unpacked_bytes=3000)),
        pytest.raises(WeightsError, match=r"is compressed, and .* unpacks to 4,000 bytes"),
    ):
        read_state_dict(tmp_path / "packed.pt")


def test_checksums_are_checked_where_torch_wrote_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.full((100,), 3.25)}, tmp_path / "w.pt")
    raw = (tmp_path / "w.pt").read_bytes()
    changed = raw.replace(b"\x00\x00\x50\x40" * 100, b"\x00\x00\x50\x40" * 99 + b"\x00\x00\x50\x41")
    with pytest.raises(WeightsError, match=r"w\.pt is damaged: the checksum of 'w/data/0' is wrong\. Download it again\."):
        read_state_dict(written(tmp_path / "w.pt", changed))
    before = torch.serialization.get_crc32_options()
    try:
        torch.serialization.set_crc32_options(False)
        torch.save({"a": torch.ones(4)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_state_dict(tmp_path / "w.pt")["a"].tolist() == [1, 1, 1, 1]


def test_another_byte_order_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, b"big" if member.filename.endswith("byteorder") else old.read(member))
    with pytest.raises(WeightsError, match=r"big\.pt was saved on a big-endian machine; this one is little-endian\. Save it again"):
        read_state_dict(tmp_path / "big.pt")


@LAYOUTS
def test_reading_leaves_the_file_alone(tmp_path: Path, write: Write) -> None:
    path = written(tmp_path / "w.pt", write({"a": Tensor.of(np.ones(4, np.float32))}))
    before = path.read_bytes()
    read_state_dict(path)["a"].zero_()
    assert path.read_bytes() == before


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """A storage of the optimizer that is damaged does no harm to the weights."""
    content = zip_checkpoint({"state_dict": {"a": Tensor.of(np.ones(4, np.float32))}, "optimizer": Tensor.of(np.full(4, 2, np.float32))})
    damaged = content.replace(np.full(4, 2, np.float32).tobytes(), bytes(16))
    path = written(tmp_path / "w.pt", damaged)
    assert read_state_dict(path)["a"].tolist() == [1, 1, 1, 1]
    checkpoint = open_checkpoint(path)
    with pytest.raises(FileFormatError, match="the checksum of 'archive/data/1' is wrong"):
        checkpoint.tensor(checkpoint.content["optimizer"])


def test_objects_of_unknown_classes_are_left_out_at_any_depth(tmp_path: Path) -> None:
    thing = Object(Global("deepspeed.runtime.zero", "Stage"), {"inside": [Tensor.of(np.ones(3, np.float32))]})
    called = Call(Global("__main__", "make"), (1, thing), {"state": scalar(2.0)})
    path = written(tmp_path / "w.pt", zip_checkpoint({"module": {"a": Tensor.of(np.ones(2, np.float32))}, "engine": [thing, (called,)]}))
    assert open_state_dict(path).dropped == {"engine.0": "deepspeed.runtime.zero.Stage", "engine.1.0": "__main__.make"}
