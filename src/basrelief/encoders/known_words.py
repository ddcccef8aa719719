"""Words that a small text tower has met: a large CLIP has read the web, ours a few thousand names, and says so."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from basrelief.errors import WeightsError
from basrelief.limits import limits
from basrelief.output import to_json, write_text

FILE = "words.json"
_KEYS = {"source", "taught", "read", "seen_class_penalty"}
_FILLERS = frozenset("a an the of with without and or in on for to from".split())
_KINDS = frozenset("photo picture image drawing model depth map 3d shape object".split())


@dataclass(frozen=True)
class KnownWords:
    """Names a model was taught.

    Attributes:
        taught: Names it was shown shapes of.
        read: Names its text tower was taught alone.
        seen_class_penalty: Calibrated stacking, see `class_penalties`: what the cosine of a name seen in 3D loses for each e-fold by which
            such names outnumber the others among the labels.
    """

    taught: tuple[str, ...]
    read: tuple[str, ...]
    seen_class_penalty: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, those it was shown first."""
        return tuple(dict.fromkeys((*self.taught, *self.read)))

    def unmet(self, text: str) -> tuple[str, ...]:
        """Words of a text that are in no name; plurals and small words are no matter."""
        return tuple(word for word in _words(text) if word not in _FILLERS | _KINDS and not self._met & _forms(word))

    def class_penalties(self, names: Sequence[str]) -> tuple[float, ...]:
        """What is taken off the cosine of each name; nothing where it was shown all or none of them, or half.

        Shapes are drawn to names that were shown (calibrated stacking, Chao et al. 2016, arXiv:1605.04253), the more so the more of
        these are asked for: a prior under which a shape of either kind is as likely takes the logarithm of their ratio off.
        """
        shown = [name.lower() in self._shown for name in names]
        many, others = sum(shown), len(shown) - sum(shown)
        off = self.seen_class_penalty * math.log(many / others) if many and others else 0.0
        return tuple(off * one for one in shown)

    @cached_property
    def _shown(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.taught)

    @cached_property
    def _met(self) -> frozenset[str]:
        return frozenset(word for name in self.names for word in _words(name))


def read_known_words(folder: Path | str) -> KnownWords | None:
    """The names beside an encoder's weights, or None where there is no such list.

    Raises:
        WeightsError: If the list is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > limits().list_bytes:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError(f"a {type(record).__name__}")
        penalty = float(record.get("seen_class_penalty", 0.0))
        if not 0 <= penalty <= 1:
            raise ValueError(f"a seen_class_penalty of {penalty}")
        if unknown := set(record) - _KEYS:
            raise ValueError(f"unknown keys {sorted(unknown)}")
        return KnownWords(_texts(record["taught"]), _texts(record["read"]), penalty)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{FILE} must hold names under taught and read, but got: {error}. Install basrelief again.") from error


def write_known_words(folder: Path | str, known: KnownWords, *, source: str) -> Path:
    """Write the names beside an encoder's weights.

    Args:
        folder: Of the weights.
        known: The names.
        source: Where they come from, in words.
    """
    path = Path(folder) / FILE
    record = {"source": source, "seen_class_penalty": known.seen_class_penalty, "taught": list(known.taught), "read": list(known.read)}
    write_text(path, to_json(record, indent=0, ascii=False) + "\n")
    return path


def _texts(names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("no list of texts")
    return tuple(names)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower().replace("'s", ""))


def _forms(word: str) -> set[str]:
    """A word and what it may be the plural of, or have as its plural."""
    found = {word, f"{word}s", f"{word}es"}
    for ending, other in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            found.add(word.removesuffix(ending) + other)
    return found
