"""The vocabulary of an encoder trained on a closed list of names, such as `tiny`; real CLIP has an open one."""

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
_KEYS = {"source", "seen", "text_only", "seen_class_penalty"}
_FILLERS = frozenset("a an the of with without and or in on for to from".split())
_KINDS = frozenset("photo picture image drawing model depth map 3d shape object".split())


@dataclass(frozen=True)
class Vocabulary:
    """Names an encoder was trained on.

    Attributes:
        seen: Names it was trained on with 3D shapes.
        text_only: Names only its text tower was trained on.
        seen_class_penalty: Calibrated stacking, see `class_penalties`: what the cosine of a name seen in 3D loses for each e-fold by which
            such names outnumber the others among the labels.
    """

    seen: tuple[str, ...]
    text_only: tuple[str, ...]
    seen_class_penalty: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those seen in 3D first."""
        return tuple(dict.fromkeys((*self.seen, *self.text_only)))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that occur in no name; plurals, articles and prepositions are ignored."""
        return tuple(word for word in _words(text) if word not in _FILLERS | _KINDS and not self._met & _forms(word))

    def class_penalties(self, names: Sequence[str]) -> tuple[float, ...]:
        """Return the penalty of each name, to be subtracted from its cosines.

        Classification is biased towards classes seen in training (calibrated stacking, Chao et al. 2016, arXiv:1605.04253), the more so
        the more of the labels were seen: seen names lose `seen_class_penalty * ln(seen / unseen)`, the log of the ratio of their numbers.
        A departure from the paper's constant. Zero where all or none of the names were seen.
        """
        shown = [name.lower() in self._shown for name in names]
        many, others = sum(shown), len(shown) - sum(shown)
        off = self.seen_class_penalty * math.log(many / others) if many and others else 0.0
        return tuple(off * one for one in shown)

    @cached_property
    def _shown(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.seen)

    @cached_property
    def _met(self) -> frozenset[str]:
        return frozenset(word for name in self.names for word in _words(name))


def read_vocabulary(folder: Path | str) -> Vocabulary | None:
    """Read the vocabulary beside an encoder's weights; None if there is none (open vocabulary).

    Raises:
        WeightsError: If the file is damaged.
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
        return Vocabulary(_texts(record["seen"]), _texts(record["text_only"]), penalty)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{FILE} is damaged: {error}. Install basrelief again.") from error


def write_vocabulary(folder: Path | str, vocabulary: Vocabulary, *, source: str) -> Path:
    """Write a vocabulary beside an encoder's weights.

    Args:
        folder: Of the weights.
        vocabulary: What to write.
        source: Where they come from, in words.
    """
    path = Path(folder) / FILE
    record = {
        "source": source,
        "seen_class_penalty": vocabulary.seen_class_penalty,
        "seen": list(vocabulary.seen),
        "text_only": list(vocabulary.text_only),
    }
    write_text(path, to_json(record, indent=0, ascii=False) + "\n")
    return path


def _texts(names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("no list of texts")
    return tuple(names)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower().replace("'s", ""))


def _forms(word: str) -> set[str]:
    """Return a word with its possible singular and plural forms."""
    found = {word, f"{word}s", f"{word}es"}
    for ending, other in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            found.add(word.removesuffix(ending) + other)
    return found
