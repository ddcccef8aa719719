"""Filters as users type them, `faces<50k`, `format:glb`, `under:furniture/`, as conditions on the library's rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import islice

from basrelief.errors import ConfigError, unknown_choice
from basrelief.index.table import quoted
from basrelief.limits import limits

NUMBERS = ("faces", "points", "bytes", "width", "depth", "height")
"""Columns that are compared with numbers."""

WORDS = ("format", "kind", "under", "name", "tag")
"""What stands before a colon."""

_NUMBER = re.compile(r"(?P<column>\w+)\s*(?P<sign><=|>=|!=|<|>|=)\s*(?P<value>[\d.]+(?:e[+-]?\d+)?)\s*(?P<unit>\w*)", re.IGNORECASE)
_WORD = re.compile(r"(?P<column>\w+)\s*:\s*(?P<value>.+)", re.DOTALL)
_NOT = re.compile(r"not\s+|-\s*")
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "kb": 1e3, "mb": 1e6, "gb": 1e9}


def condition(filters: Iterable[str]) -> str:
    """Join filters to one SQL condition; all of them must hold. Empty when there is none.

    `faces<50k` (also `points`, `bytes`, and `width`, `depth`, `height` in the file's units; signs `< <= > >= = !=`; units k, M, G, kB,
    MB, GB); `format:glb`, `kind:mesh|cloud`, `under:folder/`, `name:word`, `tag:word`, several of one kind by commas; `not ` or `-` before
    one turns it round.

    Raises:
        ConfigError: If one is none of these, or there are more or longer ones than `Limits` allows.
    """
    texts = [text.strip() for text in islice(filters, limits().filters + 1)]
    if len(texts) > limits().filters:
        raise ConfigError(f"filters must be at most {limits().filters}, but got more. Join some, e.g. format:glb,obj.")
    return " AND ".join(map(_one, texts))


def _one(text: str) -> str:
    if len(text) > limits().label_characters:
        raise ConfigError(f"filter must have at most {limits().label_characters} characters, but got {len(text):,}. Shorten it.")
    start, negated = 0, False
    while found := _NOT.match(text, start):
        start, negated = found.end(), not negated
    return f"NOT ({_plain_filter(text[start:])})" if negated else _plain_filter(text[start:])


def _plain_filter(text: str) -> str:
    number, word = _NUMBER.fullmatch(text), _WORD.fullmatch(text)
    if number:
        return _number(**number.groupdict())
    if word:
        return _word(word["column"].lower(), [part.strip() for part in word["value"].split(",") if part.strip()])
    raise ConfigError(f"filter must be like faces<50k, format:glb or under:furniture/, but got {text!r}. Write one of these.")


def _number(column: str, sign: str, value: str, unit: str) -> str:
    if column.lower() not in NUMBERS:
        raise ConfigError(unknown_choice("filter", column, NUMBERS))
    if unit.lower() not in _UNITS:
        raise ConfigError(unknown_choice("unit", unit, [name for name in _UNITS if name]))
    try:
        number = float(value) * _UNITS[unit.lower()]
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"filter must compare with a number, but got {value!r}. Write e.g. faces<50k.")
    return f"CAST({column.lower()} AS DOUBLE) {sign} {number!r}"


def _word(column: str, values: list[str]) -> str:
    if column not in WORDS:
        raise ConfigError(unknown_choice("filter", column, [*WORDS, *NUMBERS]))
    if not values:
        raise ConfigError(f"filter must have a word behind the colon, but got {column + ':'!r}. Write e.g. format:glb.")
    if column in ("format", "kind"):
        return f"{column} IN ({', '.join(quoted(value.lower().lstrip('.')) for value in values)})"
    if column == "tag":
        return _any(f"array_contains(tags, {quoted(value)})" for value in values)
    if column == "name":
        return _any(f"words LIKE {quoted('%' + _plain(value.lower()) + '%')}" for value in values)
    return _any(f"place LIKE {quoted(_plain(value.strip('/')) + '/%')}" for value in values)


def _plain(text: str) -> str:
    """A text whose `%` and `_` mean themselves in LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _any(conditions: Iterable[str]) -> str:
    parts = list(conditions)
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"
