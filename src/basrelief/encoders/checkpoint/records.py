"""Inert records of what a checkpoint holds: storages, tensors over them, and placeholders for everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,  # counted in bytes
    "_UntypedStorage": torch.uint8,
}
_STORAGE_MODULES = ("torch", "torch.storage", "torch.cuda")
_DTYPES = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
DTYPES: dict[str, torch.dtype] = {str(dtype).removeprefix("torch."): dtype for dtype in _STORAGES.values()}
"""Element types by the name under which a file mentions them."""
DTYPES |= {name: getattr(torch, name) for name in _DTYPES if hasattr(torch, name)}
_MOST_DIMENSIONS = 64
_INT64 = 1 << 63


@dataclass(frozen=True, eq=False)
class Foreign:
    """A dead placeholder for a name that is not known, and for what calling it would give.

    Attributes:
        name: The name, for people.
    """

    name: str


@dataclass(frozen=True)
class StorageType:
    """A class of storages.

    Attributes:
        dtype: Type of the elements; bytes if the class has none.
    """

    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a file, by the description that the file gives of them.

    Attributes:
        key: Name of the storage in the file.
        dtype: Type of the elements.
        size: Number of elements of the whole storage.
        start: First element, if it is part of another storage.
        count: Number of elements from there.
    """

    key: str | int
    dtype: torch.dtype
    size: int
    start: int
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes of the whole storage."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that has not been read: a view of a storage, inside its bounds.

    Attributes:
        storage: The numbers.
        dtype: Type of the elements.
        offset: First element.
        shape: Dimensions.
        stride: Elements from one index to the next, each 0 or more.
    """

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def storage_type(module: str, name: str) -> StorageType | None:
    """Look up a class of storages by its name in a file, or None."""
    dtype = _STORAGES.get(name) if module in _STORAGE_MODULES else None
    return None if dtype is None else StorageType(dtype)


def make_storage(kind: object, key: object, size: object, view: object = None) -> Storage:
    """Create the record of a storage.

    Args:
        kind: A `StorageType`.
        key: Its name in the file.
        size: Number of elements.
        view: None, or key, first element and number of elements of a part of it.

    Raises:
        ValueError: If it is described in a way that torch does not.
    """
    if type(kind) is not StorageType or type(key) not in (str, int):
        raise ValueError("a storage is not described as torch does")
    count = _size(size)
    if view is None:
        return Storage(key, kind.dtype, count, 0, count)  # type: ignore[arg-type]
    if type(view) is not tuple or len(view) != 3 or _size(view[1]) + _size(view[2]) > count:
        raise ValueError("a part of a storage lies outside it")
    return Storage(key, kind.dtype, count, view[1], view[2])  # type: ignore[arg-type]


def make_tensor(storage: object, offset: object, shape: object, stride: object, dtype: object = None) -> StoredTensor:
    """Create the record of a tensor after checking that its view lies inside the storage.

    Args:
        storage: A `Storage`.
        offset: First element.
        shape: Dimensions.
        stride: Elements from one index to the next.
        dtype: Type of the elements; that of the storage when left out.

    Raises:
        ValueError: If it is described in a way that torch does not, or needs more elements than the storage has.
    """
    kind = storage.dtype if type(storage) is Storage and dtype is None else dtype
    if type(storage) is not Storage or type(kind) is not torch.dtype:
        raise ValueError("a tensor is not described as torch does")
    start, sizes, steps = _size(offset), _sizes(shape), _sizes(stride)
    if len(sizes) != len(steps) or math.prod(sizes) >= _INT64:
        raise ValueError("a tensor has dimensions that torch does not write")
    last = 0 if 0 in sizes else start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True)) + 1
    held = storage.count * storage.dtype.itemsize // kind.itemsize
    if max(start, last) > held:
        raise ValueError(f"a tensor needs {max(start, last):,} numbers of a storage of {held:,}")
    return StoredTensor(storage, kind, start, sizes, steps)


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < _INT64:
        raise ValueError("a size is not a whole number of 0 or more")
    return value


def _sizes(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > _MOST_DIMENSIONS:
        raise ValueError(f"dimensions are not a tuple of at most {_MOST_DIMENSIONS} sizes")
    return tuple(map(_size, value))
