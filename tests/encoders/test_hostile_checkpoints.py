"""Checkpoints made to harm: nothing in them runs, memory stays bounded, and each is read or refused in a sentence."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders.checkpoint.read import open_checkpoint
from basrelief.encoders.state_dict import open_state_dict, read_state_dict
from basrelief.errors import FileFormatError, WeightsError
from basrelief.limits import limits, use_limits
from support.hostile_checkpoints import (
    FLOATS,
    FOUR,
    GOOD,
    REBUILD,
    entries,
    hostile,
    legacy,
    number,
    saved,
    state,
    tensor,
    text,
    zipped,
)
from support.old_checkpoints import Tensor, legacy_checkpoint, zip_checkpoint

PROGRAM = """
import sys
from pathlib import Path
from basrelief.encoders.state_dict import read_state_dict
from basrelief.errors import WeightsError
read, watched = False, ("os.", "subprocess.", "socket.", "pickle.", "shutil.", "ctypes.", "exec", "import")
def hook(event, arguments):
    if read and event.startswith(watched):
        raise SystemExit(f"{path}: {event} {arguments}")
import encodings.cp437  # of names in archives
read_state_dict(sys.argv[1])  # imports what it needs
sys.addaudithook(hook)
for path in map(Path, sys.argv[2:]):
    read = True
    try:
        read_state_dict(path)
    except WeightsError as error:
        assert path.name in str(error), error
    read = False
"""


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    """Run in a process of its own, with a hook that ends it if anything is imported, executed, made or unpickled."""
    marker, paths = tmp_path / "owned", []
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    for i, operations in enumerate(hostile(str(marker))):
        for name, content in (
            ("alone.pt", zipped(operations)),
            ("inside.pt", zipped(entries(a=GOOD, b=b"](" + operations + b"e"))),
            ("beside.pt", zipped(entries(state_dict=entries(a=GOOD), args=operations))),
            ("legacy.pt", legacy(entries(state_dict=entries(a=GOOD.replace(b"tQ", b"NtQ")), args=operations))),
        ):
            paths.append(tmp_path / f"{i}-{name}")
            paths[-1].write_bytes(content)
    command = [sys.executable, "-X", "faulthandler", "-c", PROGRAM, str(tmp_path / "good.pt"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert not marker.exists()


def test_the_operations_are_hostile_where_they_are_run(tmp_path: Path) -> None:
    """The first of them does make a folder in Python's own unpickler, so that the test above tests something."""
    import pickle

    pickle.loads(b"\x80\x02" + hostile(str(tmp_path / "owned"))[0] + b".")
    assert (tmp_path / "owned").is_dir()


def test_weights_beside_hostile_values_are_read(tmp_path: Path) -> None:
    for operations in (hostile("x")[0], hostile("x")[1], hostile("x")[7], hostile("x")[11]):
        path = tmp_path / "w.pt"
        path.write_bytes(zipped(entries(state_dict=entries(a=GOOD), args=operations)))
        found = open_state_dict(path)
        assert found.tensors["a"].tolist() == [0, 1, 2, 3]
        assert list(found.dropped) == ["args"]


def test_names_of_a_file_are_shown_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(zipped(entries(**{"state_dict": entries(a=GOOD), "a\x1b[2J": b"c\x1b[31mos\nsystem\n"})))
    assert open_state_dict(tmp_path / "w.pt").dropped == {"a?[2J": "?[31mos.system"}


@pytest.mark.parametrize(
    "operation",
    [b"\x82\x01", b"\x83\x01\0", b"\x84\x01\0\0\0", b"\x97", b"\x98", b"P0\n", b"I1\n", b"S'a'\n", b"p0\n", b"g0\n", b"(d", b"(l"],
)
def test_operations_that_torch_does_not_write_are_refused(tmp_path: Path, operation: bytes) -> None:
    with pytest.raises(WeightsError, match=r"w\.pt is a pickle that uses the operation .*; only tensors, arrays and plain values are read"):
        state(tmp_path / "w.pt", zipped(entries(a=GOOD + operation)))


@pytest.mark.parametrize(
    "reference",
    [
        b"K\x05",
        text("storage"),
        b"](" + text("storage") + FLOATS + b"e",
        b")",
        b"N",
        b"\x85" + text("storage"),
        b"(" + text("tensor") + b"t",
        b"}",
    ],
)
def test_references_that_are_no_storages_are_refused(tmp_path: Path, reference: bytes) -> None:
    with pytest.raises(WeightsError, match=r"refers to something outside it that is no storage|a value is missing"):
        state(tmp_path / "w.pt", zipped(entries(a=reference + b"Q")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tensor(saved(5)), r"storage '0' should have 20 bytes, but has 16"),
        (tensor(saved(3), shape=b"K\x03\x85"), r"storage '0' should have 12 bytes, but has 16"),
        (tensor(saved(1 << 60)), r"should have 4,611,686,018,427,387,904 bytes"),
        (tensor(saved(-1)), "a size is not a whole number of 0 or more"),
        (tensor(saved(kind=b"ctorch\nDoubleStorage\n"), shape=b"K\x02\x85"), "should have 32 bytes, but has 16"),
        (tensor(saved(key="../../etc/passwd")), r"it has no member 'data/\.\./\.\./etc/passwd'"),
        (tensor(saved(key="1")), "it has no member 'data/1'"),
        (tensor(saved(), shape=b"K\x05\x85"), "a tensor needs 5 numbers of a storage of 4"),
        (tensor(saved(), offset=b"K\x01"), "a tensor needs 5 numbers of a storage of 4"),
        (tensor(saved(), stride=b"K\x02\x85"), "a tensor needs 7 numbers of a storage of 4"),
        (tensor(saved(), stride=b"J\xff\xff\xff\xff\x85"), "a size is not a whole number of 0 or more"),
        (tensor(saved(), offset=b"J\xff\xff\xff\xff"), "a size is not a whole number of 0 or more"),
        (tensor(saved(), offset=number(1 << 62)), "a tensor needs 4,611,686,018,427,387,908 numbers"),
        (tensor(saved(), shape=b"\x88\x85"), "a size is not a whole number of 0 or more"),
        (tensor(saved(), shape=b"K\x02K\x02\x86"), "dimensions that torch does not write"),
        (tensor(saved(), shape=b"(" + b"K\x01" * 65 + b"t", stride=b"(" + b"K\x01" * 65 + b"t"), "at most 64 sizes"),
        (tensor(saved(), shape=b"(" + number(1 << 40) * 2 + b"t", stride=b"(K\x00K\x00t"), "dimensions that torch does not write"),
        (
            tensor(saved(), shape=b"(" + number(1 << 40) + b"t", stride=b"(K\x00t"),
            "a in w.pt is no plain tensor that holds its own numbers",
        ),
        (tensor(saved(), shape=b"K\x03K\x03\x86", stride=b"K\x01K\x00\x86"), "a in w.pt is no plain tensor that holds its own numbers"),
        (tensor(b"K\x07"), "a tensor is not described as torch does"),
        (tensor(saved(kind=b"K\x07")), "a storage is not described as torch does"),
        (REBUILD + b"(" + saved() + b"tR", "describes a tensor as torch does not"),
        (tensor(saved()) + saved(kind=b"ctorch\nHalfStorage\n") + b"\x86", "storage '0' has 16 bytes in one place and 8 in another"),
        (tensor(saved(kind=b"ctorch\nQInt8Storage\n")), "a in w.pt is no plain tensor but torch.QInt8Storage, which is not read"),
        (
            b"ctorch._utils\n_rebuild_tensor_v3\n(" + saved() + b"K\x00K\x04\x85K\x01\x85\x89NNtR",
            "describes a tensor as torch does not",
        ),
    ],
)
def test_storages_and_views_that_lie_are_refused(tmp_path: Path, value: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        state(tmp_path / "w.pt", zipped(entries(a=value)))


def test_a_legacy_storage_that_lies_is_refused(tmp_path: Path) -> None:
    value = entries(a=GOOD.replace(b"tQ", b"NtQ"))
    assert state(tmp_path / "w.pt", legacy(value))["a"].tolist() == [0, 1, 2, 3]
    with pytest.raises(WeightsError, match="storage '0' should have 4 numbers, but has 5"):
        state(tmp_path / "w.pt", legacy(value, size=5))
    big = entries(a=tensor(saved(1 << 50).replace(b"tQ", b"NtQ")))
    with pytest.raises(
        WeightsError, match=r"w\.pt is truncated: it has \d+ bytes of at least 1,125,899,906,\d+,\d+\.|4,503,599,627,\d+,\d+\."
    ):
        state(tmp_path / "w.pt", legacy(big, size=1 << 50))
    with pytest.raises(WeightsError, match="it holds a storage that nothing uses"):
        state(tmp_path / "w.pt", legacy(entries(a=b"K\x01")))
    outside = saved().replace(b"tQ", b"(" + text("v") + b"K\x02K\x03ttQ")
    with pytest.raises(WeightsError, match="a part of a storage lies outside it"):
        state(tmp_path / "w.pt", legacy(entries(a=tensor(outside, shape=b"K\x03\x85"))))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("write", [zip_checkpoint, legacy_checkpoint])
def test_truncated_files_are_refused(tmp_path: Path, write: Callable[[object], bytes], keep: float) -> None:
    content = write({"a": Tensor.of(np.zeros(1000, np.float32)), "b": Tensor.of(FOUR)})
    with pytest.raises(WeightsError, match=r"w\.pt (is truncated|cannot be read)"):
        state(tmp_path / "w.pt", content[: int(len(content) * keep)])


LONG = b"\x8b\xff\xff\xff\x7f"
DOUBLING = b")\x94" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(100))
SAME_LIST = b"](" + b"".join(text(f"k{i}") + b"N\x86" for i in range(100)) + b"e\x94"


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (LONG + b"\x01" * 100, "holds an integer of 2,147,483,647 bytes"),
        (b"\x8b\x00\x10\x00\x00" + b"\x01" * 4096, "holds an integer of 4,096 bytes"),
        (b"B\xff\xff\xff\xffabc", "data ends early"),
        (b"\x8e" + b"\xff" * 8 + b"abc", "data ends early"),
        (b"\x96" + b"\xff" * 8 + b"abc", "data ends early"),
        (b"X\xff\xff\xff\xffabc", "data ends early"),
        (
            b"B" + (600_000).to_bytes(4, "little") + bytes(600_000),
            "takes more than 1,000,000 bytes of memory|has 600,008 bytes; at most 500,000 are read",
        ),
        (
            b"X" + (140_000).to_bytes(4, "little") + b"a" * 140_000 + b"0" + b"X" + (400_000).to_bytes(4, "little") + b"a" * 400_000,
            "takes more than|at most 500,000 are read",
        ),
        (SAME_LIST + b"0" + b"ccollections\nOrderedDict\nh\x00\x85R0" * 60, "takes more than 1,000,000 bytes of memory"),
    ],
)
def test_memory_is_bounded(tmp_path: Path, operations: bytes, message: str) -> None:
    (tmp_path / "w.pt").write_bytes(zipped(operations))
    with use_limits(type(limits())(memory_bytes=1_000_000)), pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "w.pt")
    with use_limits(type(limits())(memory_bytes=1_000_000)), pytest.raises(WeightsError, match=message):
        state(tmp_path / "w.pt", legacy(operations))


@pytest.mark.parametrize(
    "operations",
    [
        b"]" * 1000 + b"a" * 999,
        b"]\x94" + b"(" + b"h\x00" * 1000 + b"e",
        b"]\x94]\x94(h\x00h\x01h\x00h\x01e0(h\x00h\x01h\x01e",
        DOUBLING,
        b"}\x94" + text("a") + b"h\x00s",
        b"ctorch._tensor\n_rebuild_from_type_v2\n\x94" + b"h\x00N" * 1000 + b")\x87" * 1000,
        b"ctorch._tensor\n_rebuild_from_type_v2\n\x94" + b"h\x00N" * 1000 + b")" + b"\x87" * 1000 + b"R",
        b"(" * 1000,
        b"N" * 1000,
    ],
)
def test_structures_without_end_are_left_out_or_refused(tmp_path: Path, operations: bytes) -> None:
    tracemalloc.start()
    try:
        found = state(tmp_path / "w.pt", zipped(entries(state_dict=entries(a=GOOD), other=operations)))
        assert found["a"].tolist() == [0, 1, 2, 3]
    except WeightsError as error:
        assert "w.pt" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 << 20


def test_values_are_counted(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(zipped(b"]" + b"Na" * 600))
    with use_limits(type(limits())(pickled_values=1000)), pytest.raises(WeightsError, match=r"w\.pt holds more than 1,000 pickled values"):
        read_state_dict(tmp_path / "w.pt")


def test_keys_that_could_harm_are_left_out(tmp_path: Path) -> None:
    """Long integers can be made to share a hash; a tuple's hash may take forever."""
    keys = (b"\x8a\x10" + (1 << 100).to_bytes(16, "little"), DOUBLING, b"cos\nsystem\n", b"]")
    operations = b"}(" + b"".join(key + b"K\x01" for key in keys) + text("a") + b"K\x02u"
    (tmp_path / "w.pt").write_bytes(zipped(operations))
    assert open_checkpoint(tmp_path / "w.pt").content == {"a": 2}


def test_a_few_bytes_are_not_many_tensors(tmp_path: Path) -> None:
    """Many views of one storage are one mapping."""
    shared = b"\x94" + b"".join(text(f"t{i}") + b"h\x00" for i in range(2000))
    path = tmp_path / "w.pt"
    path.write_bytes(zipped(GOOD + shared.replace(b"\x94", b"\x940}(", 1) + b"u"))
    assert len({tensor.untyped_storage().data_ptr() for tensor in read_state_dict(path).values()}) == 1


def test_any_changed_byte_gives_tensors_or_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for content in (zip_checkpoint({"a": Tensor.of(FOUR), "b": [1, "x"]}), legacy_checkpoint({"state_dict": {"a": Tensor.of(FOUR)}})):
        for place, value in itertools.product(rng.integers(0, len(content), 50), (0, 255, int(rng.integers(256)))):
            broken = bytearray(content)
            broken[place] = value
            (tmp_path / "w.pt").write_bytes(bytes(broken))
            try:
                read_state_dict(tmp_path / "w.pt")
            except WeightsError as error:
                assert "w.pt" in str(error)


def test_storages_of_a_damaged_file_raise_when_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(zipped(entries(a=tensor(saved(5)))))
    checkpoint = open_checkpoint(tmp_path / "w.pt")
    with pytest.raises(FileFormatError, match="should have 20 bytes"):
        checkpoint.tensor(checkpoint.content["a"])


@pytest.mark.parametrize(
    "attributes",
    [
        DOUBLING.replace(b")", b"}", 1).replace(b"\x86", b"\x86\x85"),
        b"}\x94" + b"".join(b"}(" + text("a") + b"h" + bytes([i]) + text("b") + b"h" + bytes([i]) + b"u\x94" for i in range(60)),
        b"}\x94" + text("a") + b"h\x00s",
        hostile("x")[0],
        b"c__torch__\nos\n)\x81" + hostile("x")[0] + b"b",
    ],
)
def test_modules_of_scripts_are_bounded_and_never_run(tmp_path: Path, attributes: bytes) -> None:
    """Modules that hold each other twice, at every one of sixty levels, have more names than there is memory."""
    operations = b"c__torch__.model\nNet\n)\x81}(" + text("w") + GOOD + text("x") + attributes + b"ub"
    path = tmp_path / "w.pt"
    path.write_bytes(zipped(operations, more={"archive/constants.pkl": b"\x80\x02)."}))
    with use_limits(type(limits())(pickled_values=20_000)):
        try:
            assert read_state_dict(path)["w"].tolist() == [0, 1, 2, 3]
        except WeightsError as error:
            assert re.search("w.pt cannot be read as a checkpoint .*more than 20,000 attributes|w.pt is a pickle that", str(error))
    assert not (tmp_path / "x").exists()
