"""Checkpoints put together operation by operation, to be hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch

from basrelief.encoders.state_dict import read_state_dict
from support.old_checkpoints import MAGIC, PROTOCOL, OldPickler

FOUR = np.arange(4, dtype=np.float32)
FLOATS = b"ctorch\nFloatStorage\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def saved(size: int = 4, key: str = "0", kind: bytes = FLOATS) -> bytes:
    """The operations that refer to a storage."""
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(size) + b"tQ"


def tensor(storage: bytes, *, shape: bytes = b"K\x04\x85", stride: bytes = b"K\x01\x85", offset: bytes = b"K\x00") -> bytes:
    return REBUILD + b"(" + storage + offset + shape + stride + b"\x89" + ORDERED + b"tR"


def entries(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def zipped(operations: bytes, *, more: dict[str, bytes] | None = None, data: bytes | None = FOUR.tobytes()) -> bytes:
    """An archive with these operations, and one storage of four numbers."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + operations + b".")
        for name, content in ({"archive/data/0": data} if data is not None else {}).items():
            archive.writestr(name, content)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return out.getvalue()


def legacy(operations: bytes, *, size: int = 4) -> bytes:
    head = b"".join(OldPickler().dumps(value) for value in (MAGIC, PROTOCOL, {"little_endian": True}))
    return head + b"\x80\x02" + operations + b"." + OldPickler().dumps(["0"]) + struct.pack("<q", size) + FOUR.tobytes()


def state(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    path.write_bytes(content)
    return read_state_dict(path)


GOOD = tensor(saved())


def hostile(marker: str) -> list[bytes]:
    """Operations that make a folder, or worse, when they are run by Python's or torch's unpickler."""
    mkdir, arguments = b"cos\nmkdir\n", text(marker) + b"\x85"
    nested = b"\x80\x02" + mkdir + arguments + b"R."
    load = b"ctorch.storage\n_load_from_bytes\n"
    build = b"ccopyreg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR"
    return [
        mkdir + arguments + b"R",
        mkdir + arguments + b"\x81",
        mkdir + arguments + b"}\x92",
        b"(" + text(marker) + b"ios\nmkdir\n",
        b"(" + mkdir + text(marker) + b"o",
        b"\x82\x01" + arguments + b"R",
        text("os") + text("mkdir") + b"\x93" + arguments + b"R",
        b"c__builtin__\ngetattr\n(cos\npath\n" + text("os") + b"tR" + arguments + b"R",
        b"c__builtin__\neval\n" + text(f"__import__('os').mkdir({marker!r})") + b"\x85R",
        b"cfunctools\npartial\n" + mkdir + b"\x85R" + arguments + b"R",
        build + b"}(" + text("__class__") + mkdir + b"ub",
        build + entries(__setstate__=mkdir) + b"b" + arguments + b"b",
        load + b"ccodecs\nencode\n(" + text(nested.decode("latin1")) + text("latin1") + b"tR\x85R",
        load + b"B" + len(nested).to_bytes(4, "little") + nested + b"\x85R",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(" + mkdir + b"N" + arguments + b"NtR",
        b"ctorch._utils\n_rebuild_parameter_with_state\n(" + GOOD + b"\x89" + ORDERED + mkdir + arguments + b"RtR",
        b"ctorch._utils\n_rebuild_parameter\n(" + mkdir + b"\x89NtR",
        REBUILD + b"(" + mkdir + b"K\x00" + arguments + b"K\x01\x85\x89NtR",
        GOOD + entries(__dict__=mkdir) + b"b",
        FLOATS + mkdir + b"b",
        FLOATS + arguments + b"R",
        ORDERED + entries(__reduce__=mkdir) + b"b",
        b"ccollections\ndefaultdict\n" + mkdir + b"\x85R(" + text("a") + text(marker) + b"u",
        b"ctorch\nload\n" + arguments + b"R",
        b"cnumpy\nload\n(" + text(marker) + b"N\x88tR",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + text("O") + b"\x85RC\x08AAAAAAAA\x86R",
        b"ctorch.jit._pickle\nrestore_type_tag\n" + arguments + b"R",
        b"ctorch\nDevice\n" + arguments + b"R",
        b"ctorch\ndevice\n(" + mkdir + text("cpu") + b"tR",
    ]
