"""Filters as users type them (`faces<50k`, `format:glb`, `under:furniture/`) as SQL conditions on a library's rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import islice

from basrelief.errors import ConfigError, unknown_choice
from basrelief.index.rows import quoted
from basrelief.limits import limits

NUMBER_COLUMNS = ("faces", "points", "bytes", "width", "depth", "height")
"""Columns that can be compared with numbers."""

KEYWORDS = ("format", "kind", "under", "name", "tag")
"""What can stand before a colon."""

_NUMBER = re.compile(r"(?P<column>\w+)\s*(?P<sign><=|>=|!=|<|>|=)\s*(?P<value>[\d.]+(?:e[+-]?\d+)?)\s*(?P<unit>\w*)", re.IGNORECASE)
_KEYWORD = re.compile(r"(?P<keyword>\w+)\s*:\s*(?P<value>.+)", re.DOTALL)
_NOT = re.compile(r"not\s+|-\s*")
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "kb": 1e3, "mb": 1e6, "gb": 1e9}


def sql_condition(filters: Iterable[str]) -> str:
    """Translate filters to one SQL condition, empty if there are none; all filters must hold.

    `faces<50k` (also `points`, `bytes`, and `width`, `depth`, `height` in the file's units; signs `< <= > >= = !=`; units k, M, G, kB,
    MB, GB); `format:glb`, `kind:mesh|cloud|box`, `under:folder/`, `name:word`, `tag:word`, alternatives separated by commas; `not ` or `-`
    in front negates a filter.

    Raises:
        ConfigError: If a filter has another form, or there are more or longer ones than `Limits` allows.
    """
    texts = [text.strip() for text in islice(filters, limits().filters + 1)]
    if len(texts) > limits().filters:
        raise ConfigError(f"There are more than {limits().filters} filters. Combine some, e.g. format:glb,obj.")
    return " AND ".join(map(_translate, texts))


def _translate(text: str) -> str:
    if len(text) > limits().label_characters:
        raise ConfigError(f"A filter has {len(text):,} characters; the limit is {limits().label_characters}. Shorten it.")
    start, negated = 0, False
    while found := _NOT.match(text, start):
        start, negated = found.end(), not negated
    condition = _translate_positive(text[start:])
    return f"NOT ({condition})" if negated else condition


def _translate_positive(text: str) -> str:
    if found := _NUMBER.fullmatch(text):
        return _number_condition(**found.groupdict())
    if found := _KEYWORD.fullmatch(text):
        return _keyword_condition(found["keyword"].lower(), [part.strip() for part in found["value"].split(",") if part.strip()])
    raise ConfigError(f"{text!r} is not a filter. Write e.g. faces<50k, format:glb or under:furniture/.")


def _number_condition(column: str, sign: str, value: str, unit: str) -> str:
    if column.lower() not in NUMBER_COLUMNS:
        raise ConfigError(unknown_choice("filter", column, NUMBER_COLUMNS))
    if unit.lower() not in _UNITS:
        raise ConfigError(unknown_choice("unit", unit, [name for name in _UNITS if name]))
    try:
        number = float(value) * _UNITS[unit.lower()]
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{value!r} in a filter is not a finite number. Write e.g. faces<50k.")
    return f"CAST({column.lower()} AS DOUBLE) {sign} {number!r}"


def _keyword_condition(keyword: str, values: list[str]) -> str:
    if keyword not in KEYWORDS:
        raise ConfigError(unknown_choice("filter", keyword, [*KEYWORDS, *NUMBER_COLUMNS]))
    if not values:
        raise ConfigError(f"Filter '{keyword}:' has nothing after the colon. Write e.g. format:glb.")
    if keyword in ("format", "kind"):
        return f"{keyword} IN ({', '.join(quoted(value.lower().lstrip('.')) for value in values)})"
    if keyword == "tag":
        return _any(f"array_contains(tags, {quoted(value)})" for value in values)
    if keyword == "name":
        return _any(map(_name_condition, values))
    return _any(f"relative_path LIKE {quoted(_escape_like(value.strip('/')) + '/%')}" for value in values)


def _name_condition(word: str) -> str:
    """Compare a word with the words of a file's name; of a box with the path, because its row has no words."""
    wanted = quoted(f"%{_escape_like(word.lower())}%")
    return f"(name_words LIKE {wanted} OR (kind = 'box' AND lower(relative_path) LIKE {wanted}))"


def _escape_like(text: str) -> str:
    r"""Escape `%`, `_` and `\`, so that they stand for themselves in LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _any(conditions: Iterable[str]) -> str:
    parts = list(conditions)
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"
