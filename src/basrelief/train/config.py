"""Recipes of training runs: a frozen dataclass, a YAML file over its defaults, and `a.b=c` over both, all checked."""

from __future__ import annotations

import dataclasses
import reprlib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from basrelief.errors import ConfigError, FileFormatError, MissingExtraError, unknown_choice
from basrelief.limits import limits

T = TypeVar("T")
_MOST = 1_000_000_000
"""Largest number of a recipe."""


def read_settings(kind: type[T], path: Path | None = None, overrides: Sequence[str] = ()) -> T:
    """Build a recipe.

    Args:
        kind: A frozen dataclass whose fields are numbers, texts, booleans or other such dataclasses, all with defaults.
        path: YAML file over the defaults, or None.
        overrides: `name=value` or `part.name=value`, over the file.

    Raises:
        ConfigError: If a name is unknown or a value is of another kind; the message names the nearest.
        FileFormatError: If the file is not YAML of that form.
    """
    record: dict[str, Any] = {} if path is None else _read(path)
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"override must be NAME=VALUE, but got {override!r}. Write e.g. batch=64.")
        _put(record, name.strip().split("."), _yaml(value, override))
    return _built(kind(), record, "")


def settings_record(settings: Any) -> dict[str, Any]:  # noqa: ANN401 - any recipe
    """A recipe as plain data, for logs and checkpoints."""
    return dataclasses.asdict(settings)


def _read(path: Path) -> dict[str, Any]:
    most = limits().settings_bytes
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        with path.open("rb") as file:
            text = file.read(most + 1).decode("utf-8")
        if len(text) > most:
            raise ValueError(f"it holds more than {most:,} bytes")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"recipe must be a readable YAML file, but got {path.name}: {error}. Check the path.") from error
    record = _yaml(text, path.name)
    if record is None:
        return {}
    if not isinstance(record, dict):
        raise FileFormatError(
            f"recipe must hold names and values, but got {type(record).__name__} in {path.name}. See docs/research/clip2point.md."
        )
    return record


def _yaml(text: str, where: str) -> Any:  # noqa: ANN401 - anything may stand there
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("recipe must be read with PyYAML, but it is not installed. Install basrelief[train].") from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
        """YAML without references: a few of them make a text of any size."""

        def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML has no types
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it refers to another part with *, which a recipe must not")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # ValueError: a date that is none, too many digits
        reason = str(error).splitlines()[0][:200]
        raise FileFormatError(f"recipe must be YAML, but got {where[:80]}: {reason}. Check its syntax.") from error


def _put(record: dict[str, Any], names: list[str], value: object) -> None:
    for name in names[:-1]:
        inner = record.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override must name a value inside a part, but got {'.'.join(names)!r}. {name!r} is a value.")
        record = inner
    record[names[-1]] = value


def _built(start: T, record: Mapping[str, Any], where: str) -> T:
    """Settings with some of their values changed; parts keep what is not named, as their whole has it."""
    hints = typing.get_type_hints(type(start))
    names = [field.name for field in dataclasses.fields(start)]  # type: ignore[arg-type]
    values = {}
    for name, value in record.items():
        if name not in names:
            raise ConfigError(unknown_choice("recipe key", f"{where}{name}"[:80], [f"{where}{known}" for known in names]))
        values[name] = _value(hints[name], value, f"{where}{name}", getattr(start, name))
    return dataclasses.replace(start, **values)  # type: ignore[type-var]


def _value(kind: Any, value: object, where: str, start: object) -> object:  # noqa: ANN401 - a type
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a part with names of its own, but got {_short(value)}. Write {where}.NAME=VALUE.")
        return _built(start, value, f"{where}.")
    if kind is float and isinstance(value, str):
        value = _number(value)  # YAML reads 1e-3 as a text
    wanted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where} must be of kind {kind.__name__}, but got {_short(value)}. Correct it.")
    if isinstance(value, int | float) and not abs(value) <= _MOST:  # NaN, too
        raise ConfigError(f"{where} must be a number of at most {_MOST:,}, but got {_short(value)}. Correct it.")
    if kind is int and isinstance(value, int) and value < 0:
        raise ConfigError(f"{where} must not be negative, but got {value}. Correct it.")
    return kind(value)


def _short(value: object) -> str:
    """A value for a message; of many digits and long lists the beginning."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "one of many digits"
    return reprlib.repr(value)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
