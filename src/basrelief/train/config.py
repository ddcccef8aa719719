"""Settings of training runs: frozen dataclasses, overridden by a YAML file and then by `name=value` arguments."""

from __future__ import annotations

import dataclasses
import reprlib
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from basrelief import checks
from basrelief.errors import ConfigError, FileFormatError, MissingExtraError, unknown_choice
from basrelief.limits import limits

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""Names of compute dtypes, and accelerate's names for them."""
T = TypeVar("T")
_MAX_VALUE = 1_000_000_000
"""Largest number in a settings file."""
_HINT = "Leave it out for the default."


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every training; each method adds its own and may change the defaults.

    Attributes:
        batch_size: Shapes per step over all processes.
        accumulate: Steps whose gradients are accumulated.
        epochs: Number of epochs.
        precision: `float32`, `bfloat16` or `float16`: compute dtype of the trained network.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations.
        seed: Seed of the whole training.
    """

    batch_size: int = 64
    accumulate: int = 1
    epochs: int = 10
    precision: str = "float32"
    save_every: int = 200
    validate_every: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values; a subclass checks its own first."""
        check_at_least(self, 1, "batch_size", "accumulate", "epochs", "save_every", "validate_every")
        check_choice(self, "precision", PRECISIONS)


def read_settings(kind: type[T], path: Path | None = None, overrides: Sequence[str] = (), *, start: T | None = None) -> T:
    """Read settings.

    Args:
        kind: A frozen dataclass whose fields are numbers, strings, booleans or other such dataclasses, all with defaults.
        path: YAML file that overrides the defaults, or None.
        overrides: `name=value` or `group.name=value`; they override the file.
        start: Settings to override in place of the defaults.

    Raises:
        ConfigError: If a name is unknown or a value has the wrong type.
        FileFormatError: If the file is not a YAML mapping.
    """
    record: dict[str, Any] = {} if path is None else _read(path)
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is not of the form NAME=VALUE. Write, for example, batch_size=64.")
        _put(record, name.strip().split("."), _yaml(value, override))
    return replace_settings(kind() if start is None else start, record)


def replace_settings(start: T, record: Mapping[str, Any]) -> T:
    """Return settings with the values of a nested mapping; what it does not name stays.

    Raises:
        ConfigError: If a name is unknown or a value has the wrong type.
    """
    return _replace(start, record, "")


def settings_record(settings: Any) -> dict[str, Any]:  # noqa: ANN401 - any settings dataclass
    """Return settings as plain data, for logs and checkpoints."""
    return dataclasses.asdict(settings)


def check_at_least(settings: object, low: int, *names: str) -> None:
    """Check that settings are not below a minimum.

    Raises:
        ConfigError: If one is; the message names it.
    """
    for name in names:
        checks.check_at_least(name, getattr(settings, name), low, _HINT)


def check_choice(settings: object, name: str, choices: Collection[str]) -> None:
    """Check that a setting is one of the valid choices.

    Raises:
        ConfigError: If it is not; the message lists them.
    """
    if getattr(settings, name) not in choices:
        raise ConfigError(unknown_choice(name, getattr(settings, name), tuple(choices)))


def check_positive(settings: object, *names: str, zero: bool = False) -> None:
    """Check that settings are positive and finite.

    Args:
        settings: A settings dataclass.
        names: Fields to check.
        zero: Whether 0 is valid, too.

    Raises:
        ConfigError: If one is not; the message names it.
    """
    for name in names:
        checks.check_positive(name, getattr(settings, name), _HINT, zero=zero)


def _read(path: Path) -> dict[str, Any]:
    limit = limits().settings_bytes
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            text = file.read(limit + 1).decode("utf-8")
        if len(text) > limit:
            raise ValueError(f"it is larger than {limit:,} bytes")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"Cannot read the settings file {path.name!r}: {error}. Check the path.") from error
    record = _yaml(text, path.name)
    if record is None:
        return {}
    if not isinstance(record, dict):
        raise FileFormatError(f"{path.name!r} holds a {type(record).__name__}; expected names and values, such as batch_size: 64.")
    return record


def _yaml(text: str, where: str) -> Any:  # noqa: ANN401 - any YAML value
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading settings needs PyYAML. Run: pip install basrelief[train]") from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
        """YAML without aliases: a few nested ones expand to any size."""

        def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML has no types
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases (*name) are not allowed")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # ValueError: an invalid date, too many digits
        reason = str(error).splitlines()[0][:200]
        raise FileFormatError(f"{where[:80]!r} is not valid YAML: {reason}. Check its syntax.") from error


def _put(record: dict[str, Any], names: list[str], value: object) -> None:
    for name in names[:-1]:
        inner = record.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"Cannot set {'.'.join(names)!r}: {name!r} is a value, not a group of settings.")
        record = inner
    record[names[-1]] = value


def _replace(start: T, record: Mapping[str, Any], where: str) -> T:
    """Replace some values; groups keep the values that are not named."""
    hints = typing.get_type_hints(type(start))
    names = [field.name for field in dataclasses.fields(start)]  # type: ignore[arg-type]
    values = {}
    for name, value in record.items():
        if name not in names:
            raise ConfigError(unknown_choice("setting", f"{where}{name}"[:80], [f"{where}{known}" for known in names]))
        values[name] = _value(hints[name], value, f"{where}{name}", getattr(start, name))
    return dataclasses.replace(start, **values)  # type: ignore[type-var]


def _value(kind: Any, value: object, where: str, start: object) -> object:  # noqa: ANN401 - a type
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {_short(value)}; it is a group of settings. Write {where}.NAME=VALUE.")
        return _replace(start, value, f"{where}.")
    if kind is float and isinstance(value, str):
        value = _number(value)  # YAML reads 1e-3 as a string
    wanted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where} is {_short(value)}; expected a value of type {kind.__name__}. {_HINT}")
    if isinstance(value, int | float) and not abs(value) <= _MAX_VALUE:  # catches NaN, too
        raise ConfigError(f"{where} is {_short(value)}; expected a number of at most {_MAX_VALUE:,}. {_HINT}")
    if kind is int and isinstance(value, int) and value < 0:
        raise ConfigError(f"{where} is {value}; it must not be negative. {_HINT}")
    return kind(value)


def _short(value: object) -> str:
    """Abbreviate a value for a message."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of many digits"
    return reprlib.repr(value)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
