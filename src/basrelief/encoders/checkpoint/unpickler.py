"""Parse the pickle of a checkpoint: tensors, plain containers and NumPy arrays; all other names become dead placeholders.

Files of authors hold more than tensors: arguments of the command line, paths, optimizers, schedulers. None of it is needed, so none of it
is made. "Calling" a placeholder, giving it a state or filling it gives the same placeholder, and what it was given is forgotten. At the
end, placeholders are left out of the result and listed.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar

import torch

from basrelief.encoders.checkpoint.records import (
    DTYPES,
    Foreign,
    Storage,
    StorageType,
    StoredTensor,
    make_storage,
    make_tensor,
    storage_type,
)
from basrelief.io.formats.npy_array import is_plain
from basrelief.io.formats.pickled import Array, ArrayUnpickler, Name, Type, numpy_name
from basrelief.io.pickle_machine import STEPS, is_key, push
from basrelief.limits import limits

_LEFT_OUT = object()
_MOST_LISTED = 1000
_LONGEST_INTEGER = 1024
_TENSORS = {
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_tensor_v3"): "typed tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    ("torch._tensor", "_rebuild_from_type_v2"): "subclass",
    ("torch._tensor", "_rebuild_from_type"): "subclass",
    ("torch.tensor", "_rebuild_from_type"): "subclass",
}
_VALUES = {
    ("collections", "OrderedDict"): "dict",
    ("collections", "defaultdict"): "defaultdict",
    ("collections", "Counter"): "dict",
    ("torch", "Size"): "size",
    ("torch", "device"): "device",
}
_OWN = {*_TENSORS.values(), *_VALUES.values()}


class TorchUnpickler(ArrayUnpickler):
    """Parses one pickle of a checkpoint (protocols 2 to 5).

    Attributes:
        dropped: What was left out of the result of `load`: where it stood, and its name; at most a thousand.
        storages: Every storage that the pickle mentions, by its key.
    """

    protocols: ClassVar[tuple[int, ...]] = (2, 3, 4, 5)
    integer_bytes: ClassVar[int] = _LONGEST_INTEGER  # those of random number generators are long
    reads: ClassVar[str] = "only tensors, arrays and plain values are read"

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        """Parse `file`, on disk or in memory; `name` is for messages."""
        super().__init__(file, name)
        self.dropped: dict[str, str] = {}
        self.storages: dict[str | int, Storage] = {}
        self._path: list[object] = []

    def load(self) -> Any:  # noqa: ANN401 - any value may stand in a file
        """Parse the pickle.

        Returns:
            The value, made of dicts, lists, tuples, strings, numbers, NumPy arrays and `StoredTensor`s. Placeholders are left out: an
            entry of a dict is missing, an element of a list is None, and a value that is nothing else is None.

        Raises:
            FileFormatError: If it does what no checkpoint does, ends early, or exceeds the limits.
        """
        found = super().load()
        return None if found is _LEFT_OUT else found

    def _take(self, size: int) -> bytes:
        data = super()._take(size)
        self._charge(size)
        return data

    def _look_up(self, module: str, name: str) -> object:
        kind = storage_type(module, name)
        if kind is not None:
            return kind
        known = _TENSORS.get((module, name)) or _VALUES.get((module, name))
        if known is not None:
            return Name(known)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        return numpy_name(module, name) or Foreign(_shown(f"{module[:80]}.{name[:80]}"))

    def _call(self, target: object, arguments: object) -> object:
        if isinstance(target, (Foreign, StorageType)):
            return target if isinstance(target, Foreign) else Foreign("a storage without a file")
        if type(target) is not Name or type(arguments) is not tuple:
            return super()._call(target, arguments)
        first = arguments[0] if arguments else None
        if isinstance(first, Foreign) and target.name != "defaultdict":
            return first  # a tensor over numbers that are not read, an array of a subclass
        if target.name in _OWN:
            return self._tensor(target.name, arguments) if target.name in _TENSORS.values() else self._value(target.name, arguments)
        if target.name == "dtype" and type(first) is str and first not in ("O", "O8") and not is_plain(first):
            return Foreign(_shown(f"NumPy's type {first[:40]}"))
        return super()._call(target, arguments)

    def _tensor(self, name: str, arguments: tuple[Any, ...]) -> object:
        match name, arguments:
            case "subclass", (function, _, tuple() as inner, *_):  # the function that rebuilds the tensor, and its arguments
                return self._call(function, inner)
            case "parameter", (StoredTensor() as tensor, *_):
                return tensor
            case "tensor", (storage, offset, shape, stride, *_):
                return make_tensor(storage, offset, shape, stride)
            case "typed tensor", (storage, offset, shape, stride, _, _, torch.dtype() as dtype, *_):
                return make_tensor(storage, offset, shape, stride, dtype)
        self._refuse("describes a tensor as torch does not")

    def _value(self, name: str, arguments: tuple[Any, ...]) -> object:
        match name, arguments:
            case ("dict", ()) | ("defaultdict", _):
                return {}
            case "dict", (list() | dict() as items,):
                return self._as_dict(items)
            case "size", (tuple() as sizes,):
                return sizes
            case "device", (str() as kind, *index):
                return ":".join(str(part)[:40] for part in (kind, *index) if type(part) in (str, int))
        self._refuse(f"makes a {name} as no checkpoint does")

    def _build(self, record: object, state: object) -> object:
        if isinstance(record, (Foreign, StoredTensor)) or type(record) is dict:
            return record  # attributes of tensors and of dictionaries, such as `_metadata` of a state dict
        if type(record) is Array and type(state) is tuple and len(state) == 5 and isinstance(state[2], Foreign):
            record.values = []  # an array of Python objects, which is left out
            return record
        return super()._build(record, state)

    def _persistent(self, saved: object) -> object:
        """Return the record of what a pickle refers to outside itself: a storage, or a class with its source."""
        if type(saved) is tuple and saved and saved[0] == "storage" and len(saved) in (5, 6):
            if isinstance(saved[1], Foreign):
                return saved[1]
            storage = make_storage(saved[1], saved[2], saved[4], *saved[5:])
            known = self.storages.setdefault(storage.key, storage)
            if known.nbytes != storage.nbytes:
                raise ValueError(
                    f"storage {str(storage.key)[:40]!r} has {known.nbytes:,} bytes in one place and {storage.nbytes:,} in another"
                )
            return storage
        if type(saved) is tuple and saved and saved[0] == "module" and len(saved) == 4:
            return saved[1] if isinstance(saved[1], Foreign) else Foreign("a module")
        self._refuse("refers to something outside it that is no storage")

    def _extend(self, values: list[Any]) -> None:
        if not self._is_foreign():
            super()._extend(values)

    def _fill(self, values: list[Any]) -> None:
        if not self._is_foreign():
            super()._fill(values)

    def _keeps(self, key: object) -> bool:
        return is_key(key) and not (type(key) is int and key.bit_length() > 63)  # long integers can be made to share a hash

    def _is_foreign(self) -> bool:
        top = self._pop()
        self._push(top)
        return isinstance(top, Foreign)

    def _discard(self) -> None:
        """Remove the topmost value, or the mark if there is none above it."""
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._pop()

    def _created(self, count: int) -> None:
        """Create what a class makes of its arguments."""
        values = self._popped(count)
        self._push(self._call(values[0], values[1]))

    def _as_dict(self, items: list[Any] | dict[Any, Any]) -> dict[Any, Any]:
        self._charge(100 * len(items))  # one list may fill many dictionaries
        pairs = list(items.items()) if isinstance(items, dict) else items
        if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            raise ValueError("a dictionary is made of other things than pairs")
        return {pair[0]: pair[1] for pair in pairs if self._keeps(pair[0])}

    def _result(self, value: Any, level: int, done: dict[int, Any]) -> Any:  # noqa: ANN401 - any value
        """Convert records to values, each once; leave placeholders out and list them."""
        if isinstance(value, (Foreign, Name, Type, StorageType, Storage)):
            return self._left_out(value.name if isinstance(value, Foreign) else "a storage" if isinstance(value, Storage) else "a class")
        if type(value) not in (list, tuple, dict, Array):
            return value
        if id(value) not in done:
            done[id(value)] = _LEFT_OUT  # met again inside itself
            if level >= limits().nesting:
                return self._left_out(f"values nested more than {limits().nesting} levels deep")
            done[id(value)] = self._converted(value, level, done)
        return done[id(value)]

    def _converted(self, value: Any, level: int, done: dict[int, Any]) -> Any:  # noqa: ANN401 - any value
        if type(value) is Array:
            if isinstance(value.values, list):
                return self._left_out("an array of objects")
            return self._array(value, level, done)
        if type(value) is dict:
            entries = ((key, self._at(key, inner, level, done)) for key, inner in value.items())
            return {key: made for key, made in entries if made is not _LEFT_OUT}
        inside = [self._at(i, inner, level, done) for i, inner in enumerate(value)]
        return type(value)(None if made is _LEFT_OUT else made for made in inside)

    def _at(self, key: object, inner: object, level: int, done: dict[int, Any]) -> Any:  # noqa: ANN401 - any value
        self._path.append(key)
        made = self._result(inner, level + 1, done)
        self._path.pop()
        return made

    def _left_out(self, name: str) -> object:
        if len(self.dropped) < _MOST_LISTED:
            self.dropped.setdefault(".".join(map(_part, self._path)), name)
        return _LEFT_OUT


def _part(key: object) -> str:
    """Return a key as part of a place; long ones are cut before they are formatted."""
    return _shown(str(key[:80] if isinstance(key, (str, bytes)) else key)[:80])


def _shown(text: str) -> str:
    """Return text of a file for a message, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


TorchUnpickler.steps = {
    **STEPS,
    b"0": TorchUnpickler._discard,
    b"Q": push(lambda m: m._persistent(m._pop())),
    b"\x81": lambda m: m._created(2),
    b"\x92": lambda m: m._created(3),
    b"\x8b": push(lambda m: m._signed(m._number(4))),
    b"\x96": push(lambda m: m._take(m._number(8))),
    b"\x8f": push(lambda m: Foreign("a set")),
    b"\x90": lambda m: m._extend(m._since_mark()),
    b"\x91": lambda m: (m._since_mark(), m._push(Foreign("a set"))),
}
