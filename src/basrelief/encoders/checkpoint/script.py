"""TorchScript archives, such as OpenAI's first CLIP files: the parameters of their modules, without their code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from basrelief.encoders.checkpoint.records import StoredTensor
from basrelief.encoders.checkpoint.unpickler import TorchUnpickler
from basrelief.limits import limits

_MODULE = object()


class ScriptUnpickler(TorchUnpickler):
    """Parses the pickle of a TorchScript archive; a module becomes the dictionary of its attributes."""

    def _look_up(self, module: str, name: str) -> object:
        return _MODULE if module.partition(".")[0] == "__torch__" else super()._look_up(module, name)

    def _call(self, target: object, arguments: object) -> object:
        return {} if target is _MODULE else super()._call(target, arguments)

    def _build(self, record: object, state: object) -> object:
        if type(record) is not dict or type(state) is not dict:
            return super()._build(record, state)
        self._charge(100 * len(state))  # one state may be given to many modules
        record.update(state)
        return record


def flatten(modules: object) -> dict[str, StoredTensor]:
    """Name the tensors of nested modules as their state dict does, e.g. `visual.conv1.weight`.

    Args:
        modules: What `ScriptUnpickler.load` returns.

    Raises:
        ValueError: If there are more attributes than `Limits.pickled_values`.
    """
    found: dict[str, StoredTensor] = {}
    for count, (name, value) in enumerate(_attributes(modules, "")):
        if count >= limits().pickled_values:
            raise ValueError(f"the modules have more than {limits().pickled_values:,} attributes")
        if isinstance(value, StoredTensor):
            found[name] = value
    return found


def _attributes(modules: object, prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in modules.items() if isinstance(modules, Mapping) else ():
        yield f"{prefix}{name!s:.80}", value
        if isinstance(value, Mapping):
            yield from _attributes(value, f"{prefix}{name!s:.80}.")
