"""Endless hostile pickled `.npy` files, read in a process that may die: each should give arrays or a basrelief error.

Files begin as pickles that NumPy writes, or are put together from operations at random; then states of dtypes and arrays, operations,
lengths and single bytes are exchanged.
"""

from __future__ import annotations

import io
import itertools
import pickle
import pickletools
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_GLOBALS = (
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("builtins", "list"),
    ("os", "system"),
    ("copyreg", "_reconstructor"),
    ("numpy", "memmap"),
    ("numpy._core.numeric", "_frombuffer"),
)
_CODES = (
    "O",
    "O8",
    "f8",
    "f4",
    "i1",
    "u8",
    "b1",
    "U3",
    "S5",
    "V16",
    "f8,O",
    "(1000000,)f8",
    "M8[s]",
    "<f4",
    ">U2",
    "c16",
    "g",
    "P",
    "",
    "S0",
)


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Generate hostile `.npy` files.

    Args:
        seed: The same files for the same seed.
        count: How many.

    Yields:
        The content of each.
    """
    rng = random.Random(seed)
    makers: tuple[Callable[[random.Random], bytes], ...] = (_valid, _forged_states, _spliced, _operations, _memo_tricks, _lengths)
    for _ in range(count):
        body = rng.choice(makers)(rng)
        if rng.random() < 0.3:
            body = _scratched(rng, body)
        yield _header(rng) + body


def _header(rng: random.Random) -> bytes:
    descr: Any = "|O" if rng.random() < 0.9 else rng.choice(["O8", "<f8", [("a", "|O"), ("b", "<f8")], "U3", "V8", ("O", (4,))])
    shape: Any = () if rng.random() < 0.7 else rng.choice([(1,), (2, 2), (1 << 62,), (-1,), (0,), (1 << 31, 1 << 31)])
    text = repr({"descr": descr, "fortran_order": rng.random() < 0.1, "shape": shape}).encode() + b"\n"
    text = _scratched(rng, text) if rng.random() < 0.05 else text
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _value(rng: random.Random, level: int = 0) -> Any:  # noqa: ANN401 - any value that NumPy pickles
    """A value of a file of clouds, or of a type that such a file must not hold."""
    return rng.choice(_LEAVES if level > 3 or rng.random() < 0.4 else _CONTAINERS)(rng, level)


def _some(rng: random.Random, level: int) -> list[Any]:
    return [_value(rng, level + 1) for _ in range(rng.randrange(4))]


def _objects(rng: random.Random, level: int) -> np.ndarray:
    values = _some(rng, level)
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return out


_LEAVES: tuple[Callable[[random.Random, int], Any], ...] = (
    lambda rng, _: np.ones((rng.randrange(5), 3)).astype(rng.choice(["f2", "f4", "f8", ">f4"])),
    lambda rng, _: np.asfortranarray(np.arange(12).reshape(2, -1).astype(rng.choice(["i1", "u2", ">i8", "b1"]))),
    lambda rng, _: rng.choice([np.float64(2.5), np.int32(7), np.str_("ab"), np.bytes_(b"xyz"), np.bool_(True), np.uint8(3)]),
    lambda rng, _: np.array(rng.choice([["ab", "cde"], [b"x", b"yz"]])),
    lambda rng, _: rng.choice(["text", "\U0001f600", "", b"bytes", b"", None, True, False]),
    lambda rng, _: rng.choice([0, -1, 255, 1 << 31, -(1 << 62), 1.5, float("nan"), float("inf")]),
    lambda rng, _: rng.choice(
        [1 << 200, np.zeros(2, dtype=[("a", "O"), ("b", "f8")]), np.array(["2020-01-01"], dtype="M8[D]"), np.dtype("O")]
    ),
)
_CONTAINERS: tuple[Callable[[random.Random, int], Any], ...] = (
    _objects,
    _some,
    lambda rng, level: tuple(_some(rng, level)),
    lambda rng, level: dict(zip(rng.sample(["xyz", "rgb", "label", 7], 4), _some(rng, level), strict=False)),
)


def _valid(rng: random.Random) -> bytes:
    array = np.empty((), dtype=object)
    array[()] = _value(rng)
    return pickle.dumps(array, protocol=rng.choice([2, 3, 4, 4, 4, rng.randrange(6)]))


def _text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def _name(rng: random.Random, pick: int | None = None) -> bytes:
    module, name = _GLOBALS[pick] if pick is not None and rng.random() < 0.95 else rng.choice(_GLOBALS)
    return f"c{module}\n{name}\n".encode() if rng.random() < 0.5 else _text(module) + _text(name) + b"\x93"


def _raw(rng: random.Random) -> bytes:
    size = rng.choice([0, 1, 3, 4, 8, 8, 16, 24, 64])
    data = bytes(rng.choice([0, 1, 0x41, 0xFF, 0x7F]) for _ in range(size))
    return b"C" + bytes([size]) + data


def _integer(rng: random.Random) -> bytes:
    value = rng.choice([0, 1, 2, 3, 4, 8, 16, 63, 255, 1000, -1, -2, 1 << 30, -(1 << 31)])
    return b"J" + struct.pack("<i", value)


def _dtype(rng: random.Random) -> bytes:
    """A dtype as NumPy writes it, with a state of the file's choice."""
    made = _name(rng, 3) + _text(rng.choice(_CODES)) + rng.choice([b"\x85", b"\x89\x88\x87"]) + b"R"
    if rng.random() < 0.2:
        return made
    order = _text(rng.choice(["<", ">", "|", "=", "x", ""])) if rng.random() < 0.9 else b"N"
    sub = rng.choice([b"N", b"N", b"N", _name(rng, 3) + _text("O") + b"\x85R" + b"K\x02\x85\x86"])
    names = rng.choice([b"N", b"N", b"N", _text("a") + b"\x85", b")"])
    fields = rng.choice([b"N", b"N", b"N", b"}", b"}" + _text("a") + _name(rng, 3) + _text("O") + b"\x85R" + _integer(rng) + b"\x86s"])
    rest = _integer(rng) + _integer(rng) + rng.choice([b"K\x00", b"K\x3f", _integer(rng)])
    tail = rng.choice([b"", b"N", b"N" + _integer(rng) + b"\x86"])
    return (
        made + b"(" + rng.choice([b"K\x03", b"K\x04", b"K\x01", b"J\xff\xff\xff\xff"]) + order + sub + names + fields + rest + tail + b"tb"
    )


def _shape(rng: random.Random) -> bytes:
    return rng.choice([b")", _integer(rng) + b"\x85", b"K\x01\x85", _integer(rng) + _integer(rng) + b"\x86", b"K\x02K\x03\x86", b"K\x08"])


def _array(rng: random.Random) -> bytes:
    made = _name(rng, 0) + _name(rng, 2) + rng.choice([b"K\x00\x85", _shape(rng)]) + rng.choice([b"C\x01b", b"U\x01b"]) + b"\x87R"
    data = rng.choice([_raw(rng), b"](" + _integer(rng) + b"Ne", b"]", b"N", b"U\x04abcd"])
    fortran = rng.choice([b"\x89", b"\x88", b"K\x07"])
    times = rng.choice([0, 1, 1, 1, 2])
    return made + (b"(" + rng.choice([b"K\x01", b"K\x02"]) + _shape(rng) + _dtype(rng) + fortran + data + b"tb") * times


def _scalar(rng: random.Random) -> bytes:
    return _name(rng, 1) + _dtype(rng) + _raw(rng) + b"\x86R"


def _forged_states(rng: random.Random) -> bytes:
    parts = [rng.choice([_array, _scalar, _dtype])(rng) for _ in range(rng.randrange(1, 4))]
    start = rng.choice([b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"])
    if rng.random() < 0.5:
        return start + parts[0] + b"."
    objects = _name(rng, 0) + _name(rng, 2) + b"K\x00\x85C\x01b\x87R(K\x01K" + bytes([len(parts)]) + b"\x85" + _name(rng, 3) + _text("O8")
    return (
        start
        + objects
        + b"\x89\x88\x87R(K\x03"
        + _text("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89]("
        + b"".join(parts)
        + b"etb."
    )


def _spliced(rng: random.Random) -> bytes:
    """Insert operations of one pickle into another."""
    first, second = _cut(_valid(rng)), _cut(rng.choice([_valid, _forged_states])(rng))
    for _ in range(rng.randrange(1, 5)):
        at, start = rng.randrange(len(first) + 1), rng.randrange(len(second))
        first[at : at + rng.randrange(3)] = second[start : start + rng.randrange(6)]
    return b"".join(first)


def _cut(data: bytes) -> list[bytes]:
    """Split a pickle into its operations; the rest of a broken one stays in one piece."""
    places: list[int] = []
    try:
        places.extend(place for _, _, place in pickletools.genops(data) if place is not None)
    except Exception:  # a broken pickle breaks as it likes
        places.append(len(data))
    bounds = sorted({0, *places, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(bounds)] or [b"."]


def _operations(rng: random.Random) -> bytes:
    """Generate random operations, mostly with matching arguments."""
    codes = [op.code.encode("latin1") for op in pickletools.opcodes]
    out = io.BytesIO()
    out.write(b"\x80\x04")
    for _ in range(rng.randrange(1, 60)):
        choice = rng.random()
        if choice < 0.4:
            out.write(rng.choice([_array, _scalar, _dtype, _raw, _integer, _shape, _name])(rng))
        elif choice < 0.9:
            out.write(
                rng.choice(
                    [
                        b"(",
                        b"]",
                        b"}",
                        b")",
                        b"N",
                        b"\x94",
                        b"h\x00",
                        b"h\x01",
                        b"R",
                        b"b",
                        b"e",
                        b"u",
                        b"t",
                        b"a",
                        b"s",
                        b"\x85",
                        b"2",
                        b"0",
                    ]
                )
            )
        else:
            out.write(rng.choice(codes) + bytes(rng.randrange(256) for _ in range(rng.randrange(5))))
    return out.getvalue() + b"."


def _memo_tricks(rng: random.Random) -> bytes:
    """Generate structures that refer to themselves, nest deeply or double at each step."""
    size = rng.randrange(1, 2000)
    match rng.randrange(5):
        case 0:
            body = b"]" * size + b"a" * (size - 1)
        case 1:
            body = b"]\x94" + b"(h\x00h\x00e" * size
        case 2:
            body = b")\x94" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(min(size, 250)))
        case 3:
            body = _array(rng) + b"\x94" + (b"h\x00" + rng.choice([b"a", b"b", b"R", b"\x85"])) * min(size, 50)
        case _:
            body = b"]\x94" + b"]h\x00a\x94" + b"h\x00h\x01a" + b"}\x94h\x02Nh\x02s"
    return b"\x80\x04" + body + b"."


def _lengths(rng: random.Random) -> bytes:
    """Generate values with a false length."""
    width, code = rng.choice(
        [(4, b"B"), (4, b"X"), (4, b"T"), (8, b"\x8e"), (8, b"\x8d"), (8, b"\x96"), (4, b"\x8b"), (1, b"\x8a"), (1, b"C")]
    )
    length = rng.choice([0, 5, 127, (1 << 31) - 1, (1 << 32) - 1, (1 << 62), (1 << 64) - 1]) & ((1 << 8 * width) - 1)
    return b"\x80\x04" + code + length.to_bytes(width, "little") + b"abcde" + rng.choice([b".", b"\x94h\x00.", b"\x97.", b"\x82\x01."])


def _scratched(rng: random.Random, data: bytes) -> bytes:
    """Change, drop, duplicate or move a few bytes."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randrange(1, 9)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 33)]
            case _:
                out[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\x01\0\0\0"])
    return bytes(out)
