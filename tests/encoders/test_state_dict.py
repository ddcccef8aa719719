"""Weights files: format detection by content, no code execution, clear errors."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from basrelief.encoders.state_dict import read_metadata, read_state_dict, read_state_dicts
from basrelief.errors import WeightsError
from support.hostile_pickles import MakesFolder

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(1, dtype=torch.int64)}


def equal(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[n], STATE[n]) for n in STATE)


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w"])
def test_safetensors_by_content(tmp_path: Path, name: str) -> None:
    save_file(STATE, str(tmp_path / name))
    assert equal(read_state_dict(tmp_path / name))


ONE, TWO = {"a": torch.ones(1)}, {"b": torch.ones(2), "c": torch.ones(3)}
ADAM = {"state": {0: {"step": torch.ones(1), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (ONE, {"": ONE}),
        ({"module.a": torch.ones(1)}, {"": ONE}),
        (
            {"state_dict": TWO, "logit_scale": {"module.a": torch.ones(1)}, "image_proj": None, "epoch": 3},
            {"state_dict": TWO, "logit_scale": ONE},
        ),
        ({"module": {f"module.{name}": tensor for name, tensor in TWO.items()}, "optimizer": ADAM}, {"module": TWO}),
        ({"state_dict": TWO, "args": argparse.Namespace(lr=1), "optimizer": ADAM}, {"state_dict": TWO}),
        ({**TWO, "tau": 0.1, "extra": [1]}, {"": TWO}),
        ({**ONE, "model": {"state_dict": TWO, "lr": 1}, "ema": ONE}, {"": ONE, "model.state_dict": TWO, "ema": ONE}),
        ({"random": {"torch": torch.ones(1), "python": 1}, "model": ONE}, {"model": ONE}),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_all_state_dicts_by_place(
    tmp_path: Path, content: dict[str, object], found: dict[str, dict[str, torch.Tensor]], zipped: bool
) -> None:
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    read = read_state_dicts(tmp_path / "w.pt")
    assert {place: sorted(tensors) for place, tensors in read.items()} == {place: sorted(tensors) for place, tensors in found.items()}
    assert all(torch.equal(read[place][name], tensor) for place, tensors in found.items() for name, tensor in tensors.items())


def test_a_safetensors_file_is_one_state_dict(tmp_path: Path) -> None:
    save_file({f"module.{name}": tensor for name, tensor in STATE.items()}, str(tmp_path / "w"))
    read = read_state_dicts(tmp_path / "w")
    assert list(read) == [""]
    assert equal(read[""])


def test_no_state_dict_may_lack_a_tensor(tmp_path: Path) -> None:
    torch.save({"state_dict": ONE, "adapter": {**TWO, "d": MakesFolder(tmp_path / "owned")}}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"d in w\.pt is no plain tensor but posix\.mkdir, which is not read"):
        read_state_dicts(tmp_path / "w.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {"a": 1}, {}, {1: torch.zeros(1)}, torch.zeros(3), {"model": {}}, {"optimizer": ADAM}]
)
def test_a_file_without_any_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt holds a \w+ with .*; expected tensors by name\. Save the state dict alone\."):
        read_state_dicts(tmp_path / "w.pt")


def test_a_file_of_a_pickled_model_is_refused(tmp_path: Path) -> None:
    for content, message in [
        (argparse.Namespace(), "holds a pickled argparse.Namespace"),
        ({"model": argparse.Namespace()}, "model in w.pt is no"),
    ]:
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(WeightsError, match=message):
            read_state_dicts(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_tensors(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert equal(read_state_dict(str(tmp_path / name)))


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model", "module", "weights", "state_dict_ema", "ema"])
def test_wrappers_and_module_prefixes_come_off(tmp_path: Path, wrapper: str) -> None:
    inner = {f"module.{n}": t for n, t in STATE.items()}
    torch.save({"epoch": 3, wrapper: inner, "optimizer": {"lr": 0.1}}, tmp_path / "w.pt")
    assert equal(read_state_dict(tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["module.point_model.module.proj", "module.module"], ["point_model.module.proj", "module"]),
        (["module.module.a", "module.module.b"], ["a", "b"]),
        (["module._orig_mod.a"], ["a"]),
        (["module.a", "head.b"], ["module.a", "head.b"]),
        (["a.module.b"], ["a.module.b"]),
        (["module."], ["module."]),
    ],
)
def test_prefixes_come_off_where_every_name_has_them(tmp_path: Path, names: list[str], found: list[str]) -> None:
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "w.pt")
    assert list(read_state_dict(tmp_path / "w.pt")) == found


def test_a_torchscript_archive_gives_its_state_dict(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False)))
    with pytest.warns(DeprecationWarning):
        torch.jit.script(module.half()).save(str(tmp_path / "ViT-B-32.pt"))
    found, expected = read_state_dict(tmp_path / "ViT-B-32.pt"), module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, by_torch: bool) -> None:
    content, path = {"a": MakesFolder(tmp_path / "owned")}, tmp_path / "w.pt"
    if by_torch:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"a in w\.pt is no plain tensor but posix\.mkdir, which is not read|its signature is wrong"):
        read_state_dict(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": 1}, {"a": torch.zeros(1), "b": "x"}, {}, {1: torch.zeros(1)}, torch.zeros(3), {"model": {}}]
)
def test_anything_but_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt holds a \w+ with .*; expected tensors by name\. Save the state dict alone\."):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x02garbage", b"just text, quite long", b"\x00" * 7 + b"\x00{}"])
def test_broken_files_say_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"w\.pt is (truncated or damaged|not a weights file|a pickle that)|cannot be read|Cannot read|holds a "
    ):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.98])
def test_truncated_files_say_so(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / "w"
    state = {f"t{i}": torch.full((50,), float(i)) for i in range(10)}
    if kind == "safetensors":
        save_file(state, str(path))
    else:
        torch.save(state, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(WeightsError, match=r"Cannot read w as safetensors: |w cannot be read as a checkpoint \(BadZipFile"):
        read_state_dict(path)


def test_a_safetensors_head_that_lies_is_refused(tmp_path: Path) -> None:
    head = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(WeightsError, match="Cannot read w as safetensors"):
        read_state_dict(tmp_path / "w")


def test_a_path_that_is_no_file_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(WeightsError, match=r"(Cannot read the weights .*|is not a regular file)\. Check the path\."):
            read_state_dict(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x10\0\0\0\0\0\0\0{"]))
def test_random_bytes_are_refused(tmp_path: Path, tail: bytes, head: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(head + tail)
    with pytest.raises(WeightsError):
        read_state_dict(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_changed_byte_gives_tensors_or_a_clear_error(tmp_path: Path, where: int, value: int, zipped: bool) -> None:
    path = tmp_path / "w"
    torch.save(STATE, path) if zipped else save_file(STATE, str(path))
    raw = bytearray(path.read_bytes())
    raw[where % len(raw)] = value
    path.write_bytes(bytes(raw))
    try:
        found = [read_state_dict(path), *read_state_dicts(path).values()]
    except WeightsError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensors in found for tensor in tensors.values())


def test_metadata_is_read_from_the_head(tmp_path: Path) -> None:
    save_file(STATE, str(tmp_path / "w"), metadata={"basrelief": "1"})
    assert read_metadata(tmp_path / "w") == {"basrelief": "1"}
    save_file(STATE, str(tmp_path / "w"))
    assert read_metadata(tmp_path / "w") == {}


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 40])
def test_metadata_of_another_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsError, match=r"Cannot read w as safetensors: .*\. Download it again\."):
        read_metadata(tmp_path / "w")
    with pytest.raises(WeightsError, match=r"Cannot read none as safetensors: "):
        read_metadata(tmp_path / "none")
