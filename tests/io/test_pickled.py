"""Pickled arrays made to harm: states, endless structures, wrong lengths. See `test_objects.py` for valid ones."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import BasreliefError, FileFormatError
from basrelief.io import load
from basrelief.io.formats.objects import read_objects
from basrelief.io.formats.pickled import ArrayUnpickler

from .conftest import Put

NAMES = b"c%s\n%s\n"
ARRAY = NAMES % (b"numpy._core.multiarray", b"_reconstruct") + NAMES % (b"numpy", b"ndarray") + b"K\x00\x85C\x01b\x87R"
DTYPE = NAMES % (b"numpy", b"dtype")
SCALAR = NAMES % (b"numpy._core.multiarray", b"scalar")


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def dtype(code: str, order: str = "<", rest: bytes = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00") -> bytes:
    return DTYPE + short(code) + b"\x89\x88\x87R(K\x03" + short(order) + rest + b"tb"


def filled(shape: bytes, kind: bytes, data: bytes, fortran: bytes = b"\x89") -> bytes:
    return ARRAY + b"(K\x01" + shape + kind + fortran + data + b"tb"


def unpickled(operations: bytes, name: str = "a.npy") -> object:
    return ArrayUnpickler(BytesIO(b"\x80\x04" + operations + b"."), name).load()


def npy(operations: bytes) -> bytes:
    out = BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    return out.getvalue() + b"\x80\x04" + operations + b"."


EIGHT = b"C\x08" + b"\x41" * 8


FORGED = [
    SCALAR + dtype("O", "|") + EIGHT + b"\x86R",
    SCALAR + dtype("O", "|", rest=b"NNNK\x08K\x08K\x00") + EIGHT + b"\x86R",
    SCALAR + dtype("f8", rest=b"NNNK\x08K\x08K\x3f") + b"C\x04abcd" + b"\x86R",
    filled(b"K\x01\x85", dtype("O", "|"), EIGHT),
    filled(b"K\x01\x85", dtype("f8", rest=b"N" + short("a") + b"\x85}" + short("a") + dtype("O") + b"K\x00\x86sK\x08K\x08K\x00"), EIGHT),
    filled(b"K\x01\x85", dtype("f8", rest=dtype("O") + b"K\x01\x85\x86NNK\x08K\x08K\x00"), EIGHT),
    filled(b"K\x01\x85", dtype("V8"), EIGHT),
    filled(b"K\x01\x85", dtype("f8,O"), EIGHT * 2),
    filled(b"K\x01\x85", dtype("(9)O"), EIGHT),
    dtype("O", "|") + b"(K\x03" + short("|") + b"NNNK\x08K\x08K\x00tb",
]


def test_bytes_of_a_file_never_become_objects(put: Put) -> None:
    """Run in a process of its own, since what these files did was to end the process."""
    paths = [str(put(f"{i}.npy", npy(operations))) for i, operations in enumerate(FORGED)]
    program = f"""
from basrelief.errors import FileFormatError
from basrelief.io import load
for path in {paths!r} * 3:
    try:
        load(path)
    except FileFormatError as error:
        assert ".npy" in str(error), error
    else:
        raise SystemExit(path + " was read")
"""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_object_of_python_or_numpy_takes_a_state() -> None:
    """BUILD and REDUCE work on records of ours only; a dict, a list or a name is no record."""
    for target in (b"}", b"]", b")", short("a"), DTYPE, SCALAR, SCALAR + dtype("f8") + EIGHT + b"\x86R"):
        with pytest.raises(FileFormatError, match="a pickle that sets a state that NumPy does not"):
            unpickled(target + b"}b")
    for target in (b"}", b"]", short("a"), ARRAY, dtype("f8")):
        with pytest.raises(FileFormatError, match="a pickle that calls a"):
            unpickled(target + b")R")
    with pytest.raises(FileFormatError, match="a pickle that sets a state that NumPy does not"):
        unpickled(filled(b"K\x01\x85", dtype("f8"), EIGHT) + b"(K\x01K\x01\x85" + dtype("f8") + b"\x89" + EIGHT + b"tb")


@pytest.mark.parametrize(
    "operation", [b"\x82\x01", b"\x83\x01\0", b"\x84\x01\0\0\0", b")\x81", b"}\x92", b"(o", b"(ios\nsystem\n", b"\x97", b"\x98"]
)
def test_operations_that_make_or_fetch_objects_are_unknown(operation: bytes) -> None:
    with pytest.raises(FileFormatError, match="a pickle that uses the operation"):
        unpickled(ARRAY + operation)


def test_names_and_types_are_not_results() -> None:
    for operations, shown in ((DTYPE, "name"), (dtype("f8"), "type"), (b"](" + DTYPE + b"e", "name")):
        with pytest.raises(FileFormatError, match=f"a pickle that leaves a {shown} behind"):
            unpickled(operations)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (b"]" * 200 + b"a" * 199, "Records in a.npy are nested more than 128 levels deep"),
        (b"]\x94h\x00a", "nested more than 128 levels deep"),
        (b"}\x94Nh\x00s", "nested more than 128 levels deep"),
        (b"]\x94" + b"(" + b"h\x00" * 1000 + b"e", "nested more than 128 levels deep"),
        (b")K\x01a", "a pickle that changes a tuple"),
        (b"})Ns", "a pickle that has a tuple as a key"),
        (b"}(Nu", "truncated or damaged: a key has no value"),
        (b"e", "truncated or damaged: a mark is missing"),
        (b"(0", "a pickle that uses the operation b'0'"),
        (b"a", "truncated or damaged: a value is missing"),
        (b"(]a", "truncated or damaged: a value is missing"),
        (b"h\x05", "truncated or damaged: a reference points nowhere"),
        (b"\x8a\x09" + b"\xff" * 9, "a pickle that holds an integer of 9 bytes"),
        (b"cnumpy\nndarray", "truncated or damaged: a name does not end"),
        (b"X\xff\xff\xff\xffabc", "truncated or damaged: data ends early"),
        (b"\x8e" + b"\xff" * 7 + b"\x7fabc", "truncated or damaged: data ends early"),
        (b"\x8e" + b"\xff" * 8 + b"abc", "truncated or damaged: data ends early"),
        (b"\x8d" + b"\xff" * 8 + b"abc", "truncated or damaged: data ends early"),
    ],
)
def test_pickles_that_no_writer_writes(operations: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        unpickled(operations)


@pytest.mark.parametrize("protocol", [0, 1, 5, 255])
def test_other_protocols_are_refused(protocol: int) -> None:
    with pytest.raises(FileFormatError, match="a pickle that has a protocol that is not read"):
        ArrayUnpickler(BytesIO(b"\x80" + bytes([protocol]) + b"N."), "a.npy").load()


@pytest.mark.parametrize(
    ("shape", "kind", "data"),
    [
        (b"K\x02\x85", dtype("f8"), EIGHT),
        (b"J\xff\xff\xff\xff\x85", dtype("f8"), EIGHT),
        (b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", dtype("f8"), EIGHT),
        (b"K\x03\x85", dtype("O", "|"), b"](NNe"),
        (b"J\xff\xff\xff\x7f\x85", dtype("O", "|"), b"]"),
        (b"G" + b"\0" * 8 + b"\x85", dtype("f8"), b"C\0"),
        (b"K\x02\x85", dtype("U1"), b"C\x08" + b"\xff" * 8),
        (b"K\x03\x85", dtype("f8"), b"C\x17" + b"a" * 23),
    ],
)
def test_arrays_whose_data_do_not_fit(shape: bytes, kind: bytes, data: bytes) -> None:
    with pytest.raises((FileFormatError, ValueError)):
        unpickled(filled(shape, kind, data))


def test_structures_that_double_at_each_step_cost_nothing() -> None:
    doubling = b")\x94" + b"".join(
        b"h"
        + bytes(
            [
                i,
            ]
        )
        + b"h"
        + bytes([i])
        + b"\x86\x94"
        for i in range(100)
    )
    value = unpickled(doubling)
    for _ in range(100):
        assert isinstance(value, tuple)
        value = value[0] if value else ()


@pytest.mark.parametrize(
    "operation", [b"h\x5a\x93", DTYPE + b"h\x5a\x85R", b"h\x5ah\x5ab", b"}h\x5aNs", filled(b"h\x5a", dtype("f8"), EIGHT)]
)
def test_structures_that_double_are_never_shown_compared_or_hashed(operation: bytes) -> None:
    doubling = b")\x94" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(100))
    with pytest.raises((FileFormatError, ValueError)):
        unpickled(doubling + operation)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_many_arrays_over_the_same_bytes_share_them() -> None:
    data = b"B" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"\x94"
    one = ARRAY + b"(K\x01J\0\0\x10\0\x85" + dtype("i1", "|") + b"\x89h\x00tb"
    value = unpickled(b"](" + data + one * 50 + b"e")
    assert isinstance(value, list)
    assert value[50].nbytes == 1 << 20
    assert tracemalloc.get_traced_memory()[1] < 8 << 20


def test_many_arrays_over_the_same_list_are_charged(limited: None) -> None:
    fill = b"](" + b"N" * 1000 + b"e\x94"
    one = ARRAY + b"(K\x01M\xe8\x03\x85" + dtype("O", "|") + b"\x89h\x00tb"
    with pytest.raises(FileFormatError, match="Reading a.npy takes more than 1,000,000 bytes of memory"):
        unpickled(b"](" + fill + one * 100 + b"e")


def test_texts_that_widen_are_charged(limited: None) -> None:
    text = ("a" * 400_000 + "\U0001f600").encode()
    with pytest.raises(FileFormatError, match="takes more than 1,000,000 bytes of memory"):
        unpickled(b"X" + len(text).to_bytes(4, "little") + text)


def test_bytes_as_text_are_charged(limited: None) -> None:
    encode = NAMES % (b"_codecs", b"encode") + b"h\x00" + short("latin1") + b"\x86R"
    with pytest.raises(FileFormatError, match="takes more than 1,000,000 bytes of memory"):
        unpickled(b"](X" + (1 << 16).to_bytes(4, "little") + b"a" * (1 << 16) + b"\x94" + encode * 9 + b"e")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "memory_bytes=1000000")


def test_values_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "pickled_values=1000")
    assert unpickled(b"]" + b"Na" * 400) == [None] * 400
    with pytest.raises(FileFormatError, match="a.npy holds more than 1,000 pickled values. Save arrays, not lists"):
        unpickled(b"]" + b"Na" * 600)


def test_integers_cannot_be_made_to_share_a_hash() -> None:
    keys = b"".join(b"\x8a\x08" + (i << 40).to_bytes(8, "little", signed=True) + b"N" for i in range(3000))
    assert len(unpickled(b"}(" + keys + b"u")) == 3000  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["f2", ">f4", "<f8", "i1", ">i8", "u2", "b1", "U3", "S4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_numpy_writes_is_read_as_it_was(code: str, order: str, protocol: int) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4).astype(code), order=order)  # type: ignore[call-overload]
    value = {"a": array, "s": array[0, 0, 1], "empty": np.zeros((0, 3), code), "objects": np.array([[1, None], ["x", array]], dtype=object)}
    found = ArrayUnpickler(BytesIO(pickle.dumps(value, protocol=protocol)), "a.npy").load()
    assert found["a"].dtype == array.dtype
    assert np.array_equal(found["a"], array)
    assert (found["s"], found["s"].dtype) == (value["s"], array[0, 0, 1].dtype)
    assert found["empty"].shape == (0, 3)
    assert found["objects"].shape == (2, 2)
    assert np.array_equal(found["objects"][1, 1], array)


def test_shared_values_stay_shared() -> None:
    array = np.arange(3.0)
    found = ArrayUnpickler(BytesIO(pickle.dumps([array, array], protocol=4)), "a.npy").load()
    assert found[0] is found[1]


def test_the_files_of_the_attack(shared_assets: Path) -> None:
    for name in ("scalar_O.npy", "fields_obj_1.npy", "poison.npy"):
        path = shared_assets / "hostile" / name
        if not path.is_file():
            pytest.skip("needs the hostile files")
        with pytest.raises(BasreliefError):
            load(path)
        with pytest.raises(BasreliefError):
            read_objects(path)
