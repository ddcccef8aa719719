"""Checkpoints as old versions of torch wrote them, operation by operation, without torch's writer.

`zip_checkpoint` writes the layout of torch 1.6 to 1.11, `legacy_checkpoint` that of torch 0.2 to 1.5, `tar_checkpoint` that of torch 0.1.
All pickles are of protocol 2. `training_checkpoint` is the content of a file of a training script.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What a pickled object is: a function, its arguments, and perhaps a state."""

    function: Global
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Object:
    """An instance of a class with its attributes."""

    kind: Global
    state: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor; the same `numbers` are one storage."""

    numbers: np.ndarray
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        """A tensor of its own storage."""
        array = np.asarray(array, order="C")
        return cls(array.reshape(-1), array.shape, tuple(step // array.itemsize for step in array.strides))


@dataclass
class OldPickler:
    """Writes protocol 2 as Python's pickler does, with torch's persistent ids."""

    legacy: bool = False
    storages: dict[str, np.ndarray] = field(default_factory=dict)
    _memo: dict[object, int] = field(default_factory=dict)
    _keys: dict[int, str] = field(default_factory=dict)

    def dumps(self, value: object) -> bytes:
        """Return the pickle of a value."""
        self._memo.clear()
        return b"\x80\x02" + self._any(value) + b"."

    def _any(self, value: Any) -> bytes:
        if value is None or value is True or value is False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        writers = {
            int: self._int,
            float: lambda v: b"G" + struct.pack(">d", v),
            str: lambda v: self._once(v, b"X" + len(v.encode()).to_bytes(4, "little") + v.encode()),
            bytes: lambda v: self._any(Call(Global("_codecs", "encode"), (v.decode("latin1"), "latin1"))),
            tuple: lambda v: b"(" + b"".join(map(self._any, v)) + b"t" if v else b")",
            list: lambda v: b"](" + b"".join(map(self._any, v)) + b"e",
            dict: lambda v: b"}" + self._items(v),
            OrderedDict: lambda v: self._any(Global("collections", "OrderedDict")) + b")R" + self._items(v),
            Global: lambda v: self._once(v, f"c{v.module}\n{v.name}\n".encode()),
            Call: lambda v: self._any(v.function) + self._any(v.arguments) + b"R" + (b"" if v.state is None else self._any(v.state) + b"b"),
            Object: lambda v: self._any(v.kind) + b")\x81" + self._any(dict(v.state)) + b"b",
            Tensor: self._tensor,
        }
        return writers[type(value)](value)

    def _int(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)

    def _items(self, value: Mapping[Any, Any]) -> bytes:
        return b"(" + b"".join(self._any(key) + self._any(inner) for key, inner in value.items()) + b"u"

    def _once(self, value: object, written: bytes) -> bytes:
        """Write a value the first time, and refer to it later."""
        if value in self._memo:
            return b"j" + self._memo[value].to_bytes(4, "little")
        self._memo[value] = len(self._memo)
        return written + b"r" + self._memo[value].to_bytes(4, "little")

    def _tensor(self, tensor: Tensor) -> bytes:
        key = self._keys.setdefault(id(tensor.numbers), str(len(self._keys)))
        self.storages[key] = tensor.numbers
        kind = Global("torch", _STORAGES[tensor.numbers.dtype.str[1:]])
        saved = ("storage", kind, key, "cuda:0", tensor.numbers.size) + ((None,) if self.legacy else ())
        rest = (tensor.offset, tensor.shape, tensor.stride, False, OrderedDict())
        function = self._any(Global("torch._utils", "_rebuild_tensor_v2"))
        return function + b"(" + self._any(saved) + b"Q" + b"".join(map(self._any, rest)) + b"tR"


def zip_checkpoint(value: object, *, root: str = "archive") -> bytes:
    """Return the file that torch 1.6 to 1.11 write: records aligned to 64 bytes by an extra field, storages in the order of their names."""
    pickler, out = OldPickler(), io.BytesIO()
    content = pickler.dumps(value)
    with zipfile.ZipFile(out, "w") as archive:
        records = [(f"data/{key}", pickler.storages[key].tobytes()) for key in sorted(pickler.storages)]
        for name, data in [("data.pkl", content), *records, ("version", b"3\n")]:
            info = zipfile.ZipInfo(f"{root}/{name}")
            padding = -(out.tell() + 30 + len(info.filename) + 4) % 64
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, data)
    return out.getvalue()


def legacy_checkpoint(value: object) -> bytes:
    """Return the file that torch 0.2 to 1.5 write."""
    pickler = OldPickler(legacy=True)
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    content, keys = pickler.dumps(value), sorted(pickler.storages)
    pickles = b"".join((pickler.dumps(MAGIC), pickler.dumps(PROTOCOL), pickler.dumps(system), content, pickler.dumps(keys)))
    return pickles + b"".join(struct.pack("<q", pickler.storages[key].size) + pickler.storages[key].tobytes() for key in keys)


def tar_checkpoint(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return the file that torch 0.1 writes for a state dict."""
    plain = OldPickler()
    storages, views, pickle = plain.dumps(len(tensors)), plain.dumps(len(tensors)), b"\x80\x02}("
    for i, (name, array) in enumerate(tensors.items()):
        kind = _STORAGES[array.dtype.str[1:]]
        storages += plain.dumps((i, "cpu", Global("torch", kind))) + struct.pack("<q", array.size) + array.tobytes()
        views += plain.dumps((100 + i, i, Global("torch", kind.replace("Storage", "Tensor")))) + struct.pack("<q", array.ndim)
        views += struct.pack(f"<{2 * array.ndim + 1}q", *array.shape, *(step // array.itemsize for step in array.strides), 0)
        pickle += b"X" + len(name).to_bytes(4, "little") + name.encode() + b"K" + bytes([100 + i]) + b"Q"
    members = {"sys_info": plain.dumps({"protocol_version": 1000}), "pickle": pickle + b"u.", "tensors": views}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (members | {"storages": storages + plain.dumps([])}).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def scalar(value: float) -> Call:
    """NumPy's float64, as NumPy 1 pickles it."""
    state = (3, "<", None, None, None, -1, -1, 0)
    kind = Call(Global("numpy", "dtype"), ("f8", False, True), state)
    return Call(Global("numpy.core.multiarray", "scalar"), (kind, struct.pack("<d", value)))


def training_checkpoint(weights: Mapping[str, np.ndarray], *, name: str = "model_state_dict", prefix: str = "") -> dict[str, Any]:
    """Return what a training script under torch 1.11 saves: weights, the state of Adam and of a scheduler, arguments, a path, a figure."""
    state = OrderedDict((prefix + key, Tensor.of(array)) for key, array in weights.items())
    first = next(iter(weights.values()))
    moments = {"step": 7, "exp_avg": Tensor.of(np.zeros_like(first)), "exp_avg_sq": Tensor.of(np.ones_like(first))}
    group = {"lr": 0.0003, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1, "amsgrad": False, "params": [0]}
    cycle = Global("torch.optim.lr_scheduler", "OneCycleLR")
    scheduler = {
        "total_steps": 100,
        "anneal_func": Call(Global("__builtin__", "getattr"), (cycle, "_annealing_cos")),
        "last_epoch": 7,
        "_last_lr": [scalar(0.0003)],
    }
    path = Call(Global("pathlib", "PosixPath"), ("/", "data", "shapenet"))
    return {
        "epoch": 9,
        name: state,
        "optimizer_d_visual_state_dict": {"state": {0: moments}, "param_groups": [group]},
        "scheduler_d_visual_state_dict": scheduler,
        "args": Object(Global("argparse", "Namespace"), {"lr": 0.0003, "output": path, "clip_model": "ViT-B-32"}),
        "best_accuracy": scalar(0.82),
    }
