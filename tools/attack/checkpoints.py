"""Endless hostile checkpoints, read in a process that may die: each should give tensors or a basrelief error, and run nothing.

Files begin as `torch.save` writes them, in both layouts, or are put together from operations at random; then operations, names, sizes of
storages, fields of the archive and single bytes are exchanged.
"""

from __future__ import annotations

import argparse
import io
import itertools
import pickletools
import random
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch

_NAMES = (
    ("__torch__.model", "Net"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "UntypedStorage"),
    ("torch", "QInt8Storage"),
    ("torch", "Size"),
    ("torch", "float32"),
    ("torch", "device"),
    ("torch", "load"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.storage", "_load_from_bytes"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "dtype"),
    ("argparse", "Namespace"),
    ("os", "mkdir"),
    ("os", "system"),
    ("builtins", "getattr"),
    ("builtins", "eval"),
    ("copyreg", "_reconstructor"),
)
_CODES = (b"R", b"b", b"\x81", b"\x92", b"Q", b"t", b"e", b"u", b"s", b"a", b"\x85", b"\x86", b"\x87", b"0", b"1", b"2", b"(", b")", b"}")
_SIZES = (0, 1, 3, 4, 5, 16, 255, -1, 1 << 31, 1 << 40, (1 << 62) + 1, -(1 << 63))


def checkpoints(seed: int, count: int) -> Iterator[bytes]:
    """Generate hostile checkpoints.

    Args:
        seed: The same files for the same seed.
        count: How many.

    Yields:
        The content of each.
    """
    rng = random.Random(seed)
    makers: tuple[Callable[[random.Random], bytes], ...] = (_spliced, _operations, _forged_sizes, _archive_tricks, _scratched)
    for _ in range(count):
        yield rng.choice(makers)(rng)


def _value(rng: random.Random) -> dict[str, Any]:
    weights = OrderedDict((f"{rng.choice(['', 'module.'])}layer.{i}", torch.randn(rng.randrange(4), 3)) for i in range(rng.randrange(1, 4)))
    more = {
        "epoch": rng.choice([3, np.int64(3), np.float64(0.5), 1 << 100]),
        "args": argparse.Namespace(path=PurePosixPath("/data"), lr=0.1),
        "views": [next(iter(weights.values())).T, torch.zeros(1).expand(1000, 1000)],
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, dtype=torch.float16)}},
        "array": np.arange(4.0),
        "dtype": torch.float16,
    }
    chosen = {key: more[key] for key in rng.sample(sorted(more), rng.randrange(len(more)))}
    return {rng.choice(["model_state_dict", "state_dict", "module", "ema"]): weights, **chosen}


def _saved(rng: random.Random, *, zipped: bool) -> bytes:
    out = io.BytesIO()
    torch.save(_value(rng), out, _use_new_zipfile_serialization=zipped, pickle_protocol=rng.choice([2, 2, 3, 4, 5]))
    return out.getvalue()


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def _packed(rng: random.Random, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    kind = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if rng.random() < 0.2:
            archive.writestr("archive/constants.pkl", b"\x80\x02).")  # a TorchScript archive
    return out.getvalue()


def _with_pickle(rng: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    """Change the pickle of an archive."""
    members = _members(_saved(rng, zipped=True))
    name = next(name for name in members if name.endswith("data.pkl"))
    return _packed(rng, members | {name: change(members[name])})


def _cut(data: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(data) if place is not None]
    return [data[a:b] for a, b in itertools.pairwise(sorted({*places, len(data)}))]


def _spliced(rng: random.Random) -> bytes:
    """Exchange operations of a pickle, or put names and codes between them."""

    def change(data: bytes) -> bytes:
        parts = _cut(data)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(parts))
            parts[at : at + rng.randrange(3)] = rng.choice(
                [[_name(rng)], [rng.choice(_CODES)], [_name(rng), b")", b"R"], [rng.choice(parts)]]
            )
        return b"".join(parts)

    return _with_pickle(rng, change)


def _name(rng: random.Random) -> bytes:
    module, name = rng.choice(_NAMES)
    return f"c{module}\n{name}\n".encode()


def _number(rng: random.Random) -> bytes:
    return b"\x8a\x08" + rng.choice(_SIZES).to_bytes(8, "little", signed=True)


def _operations(rng: random.Random) -> bytes:
    """Generate random operations, many of them tensors over storages that do not fit."""

    def change(_data: bytes) -> bytes:
        out = b"\x80\x02"
        for _ in range(rng.randrange(1, 40)):
            out += rng.choice([_name(rng), _number(rng), rng.choice(_CODES), _tensor(rng), b"U\x01a", b"h\x00", b"q\x00"])
        return out + b"."

    return _with_pickle(rng, change)


def _tensor(rng: random.Random) -> bytes:
    storage = b"(U\x07storage" + _name(rng) + b"U\x010U\x03cpu" + _number(rng) + b"tQ"
    shape, stride = ((b"(" + b"".join(_number(rng) for _ in range(rng.randrange(3))) + b"t") for _ in range(2))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(rng) + shape + stride + b"\x89NtR"


def _forged_sizes(rng: random.Random) -> bytes:
    """Change the sizes of tensors and storages of a valid file."""

    def change(data: bytes) -> bytes:
        parts = _cut(data)
        numbers = [i for i, part in enumerate(parts) if part[:1] in b"KMJ\x8a"]
        for i in rng.sample(numbers, min(len(numbers), rng.randrange(1, 4))):
            parts[i] = _number(rng)
        return b"".join(parts)

    return _with_pickle(rng, change)


def _archive_tricks(rng: random.Random) -> bytes:
    """Repeat, remove, resize and rename members, and change fields of the directory."""
    members = _members(_saved(rng, zipped=True))
    name = rng.choice(sorted(members))
    match rng.randrange(5):
        case 0:
            del members[name]
        case 1:
            members[name] = members[name][: rng.randrange(len(members[name]) + 1)] + bytes(rng.randrange(9))
        case 2:
            members[rng.choice(["/etc/passwd", "../x", "b/data.pkl", f"{name}/", "data.pkl", "data"])] = members[name]
        case 3:
            members[name] = bytes(rng.choice([1, 1 << 20, 1 << 24]))
        case _:
            pass
    out = bytearray(_packed(rng, members))
    if rng.random() < 0.3:
        with warnings.catch_warnings(), io.BytesIO(bytes(out)) as again:
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(again, "a") as archive:
                archive.writestr(name, b"again")
            out = bytearray(again.getvalue())
    for _ in range(rng.randrange(3)):
        at = out.find(b"PK\x01\x02", rng.randrange(len(out)))
        if at >= 0:
            struct.pack_into(
                "<I", out, at + rng.choice([8, 16, 20, 24, 42]), rng.choice([0, 1, 8, 12, 0xFFFFFFFF, rng.randrange(len(out))])
            )
    return bytes(out)


def _scratched(rng: random.Random) -> bytes:
    """Change single bytes of a file of either layout, or cut it."""
    out = bytearray(_saved(rng, zipped=rng.random() < 0.4))
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        out[rng.randrange(len(out))] = rng.choice([0, 255, rng.randrange(256)])
    return bytes(out[: rng.randrange(len(out))]) if rng.random() < 0.2 else bytes(out)
