"""Parse Wavefront .obj lines to arrays: split a block into words, then convert all words of a kind at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from basrelief.errors import FileFormatError

_COMMENT = re.compile(rb"(?<![^\s])#[^\n]*")
_BLANK = 32  # this byte and lower ones separate words
_USE = b"usemtl"
_FREE_FORM = (b"curv", b"curv2", b"surf")
_LONGEST = 200  # characters of the name of a group
_EXPONENT = re.compile(rb"(?<=[\d.])([+-])[eE](?=\d)")
_NO_NUMBER = re.compile(rb"-?1\.#\w+|-?nan\(\w+\)", re.IGNORECASE)  # as programs of Windows write it


@dataclass
class Elements:
    """The contents of the lines read so far, as one array per block.

    Attributes:
        vertices: (N, 3) positions.
        colors: (N, 3) values after positions; shorter than `vertices` if some have none.
        places: (N, 2) texture coordinates.
        normals: Number of normals.
        corners: (N, 3) for each corner of each face its position, texture coordinate and normal, counted from 1; 0 for none.
        sizes: (N,) number of corners of each face.
        materials: (N,) for each face the index of its material in `names`.
        names: Material names in order of first use; empty for faces before the first `usemtl`.
        groups: (N,) for each face the index of its object and group in `group_names`.
        group_names: `object/group`, or one of them, in order of first use; empty for faces before the first.
        surfaces: Number of free-form curves and surfaces.
    """

    vertices: list[np.ndarray] = field(default_factory=list)
    colors: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    normals: int = 0
    corners: list[np.ndarray] = field(default_factory=list)
    sizes: list[np.ndarray] = field(default_factory=list)
    materials: list[np.ndarray] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=lambda: {"": 0})
    material: int = 0  # material of the next face
    groups: list[np.ndarray] = field(default_factory=list)
    group_names: dict[str, int] = field(default_factory=lambda: {"": 0})
    object: str = ""
    group: int = 0  # group of the next face
    surfaces: int = 0

    def add(self, block: bytes) -> None:
        """Read one block of whole lines.

        Raises:
            FileFormatError: If a line holds too few numbers, or a face counts back beyond the first element.
            ValueError: If a word is not a number.
        """
        if b"\\\n" in block:
            block = block.replace(b"\\\n", b" ")
        if b"#" in block:
            block = _COMMENT.sub(b"", block)
        words = _Words(block)
        if not len(words.start):
            return
        counts = np.array([sum(map(len, self.vertices)), sum(map(len, self.places)), self.normals])
        is_kind = [words.kind(b"v"), words.kind(b"vt"), words.kind(b"vn")]
        self._add_vertices(words, is_kind[0])
        self._add_places(words, is_kind[1])
        self.normals += int(is_kind[2].sum())
        self.surfaces += sum(int(words.kind(word).sum()) for word in _FREE_FORM)
        self._add_faces(words, counts + np.stack([np.cumsum(kind) for kind in is_kind], axis=1))

    def _add_vertices(self, words: _Words, lines: np.ndarray) -> None:
        numbers, sizes = words.numbers(lines)
        if not len(sizes):
            return
        if sizes.min() < 3:
            raise FileFormatError(f"A vertex line (v) of the .obj file has {sizes.min()} numbers; expected x, y, z. Export it again.")
        first = np.cumsum(sizes) - sizes
        self.vertices.append(numbers[first[:, None] + np.arange(3)])
        if sizes.min() >= 6:
            self.colors.append(numbers[first[:, None] + np.arange(3, 6)])

    def _add_places(self, words: _Words, lines: np.ndarray) -> None:
        numbers, sizes = words.numbers(lines)
        if len(sizes) and sizes.min() < 1:
            raise FileFormatError("A texture line (vt) of the .obj file has no numbers. Export it again.")
        first = np.cumsum(sizes) - sizes
        second = np.where(sizes > 1, numbers[np.minimum(first + 1, max(len(numbers) - 1, 0))], 0) if len(sizes) else first
        self.places.append(np.stack([numbers[first], second], axis=1))

    def _add_faces(self, words: _Words, counts: np.ndarray) -> None:
        """Read faces; `counts` (lines, 3) holds the number of elements of each kind up to each line."""
        lines = words.kind(b"f")
        material, group = self._materials(words, lines), self._groups(words, lines)
        sizes = words.sizes[lines]
        if not len(sizes):
            return
        corners = words.corners(lines)
        counts = np.repeat(counts[lines], sizes, axis=0)
        corners = np.where(corners < 0, corners + counts + 1, corners)
        if (corners < 0).any() or ((corners[:, 0] < 1) & (counts[:, 0] > 0)).any():
            raise FileFormatError("A face of the .obj file counts back beyond the first vertex. Export it again.")
        self.corners.append(np.minimum(corners, np.iinfo(np.int32).max).astype(np.int32))
        self.sizes.append(sizes)
        self.materials.append(material[lines])
        self.groups.append(group[lines])

    def _materials(self, words: _Words, faces: np.ndarray) -> np.ndarray:
        """Return the material of each line, and keep the last one."""
        changes = np.flatnonzero(words.kind(_USE))
        used = np.zeros(len(changes) + 1, dtype=np.int32)
        used[0] = self.material
        for i in _followed(changes, faces).tolist():
            used[i + 1] = self.names.setdefault(words.rest(int(changes[i])), len(self.names))
        self.material = int(used[-1])
        return used[np.searchsorted(changes, np.arange(len(faces)), side="right")]

    def _groups(self, words: _Words, faces: np.ndarray) -> np.ndarray:
        """Return the group of each line, and keep the last one; an object ends the group before it."""
        objects = words.kind(b"o")
        changes = np.flatnonzero(objects | words.kind(b"g"))
        used = np.zeros(len(changes) + 1, dtype=np.int32)
        used[0] = self.group
        last_object = np.maximum.accumulate(np.where(objects[changes], np.arange(len(changes)), -1))
        for i in _followed(changes, faces).tolist():
            if last_object[i] >= 0:
                self.object = self._name(words, int(changes[last_object[i]]))
            group = "" if last_object[i] == i else self._name(words, int(changes[i]))
            used[i + 1] = self.group_names.setdefault("/".join(filter(None, (self.object, group))), len(self.group_names))
        self.group = int(used[-1])
        return used[np.searchsorted(changes, np.arange(len(faces)), side="right")]

    @staticmethod
    def _name(words: _Words, line: int) -> str:
        return words.rest(line)[:_LONGEST].replace("/", "_")


def _followed(changes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return which of some lines are followed by a face before the next of them, and the last one.

    Args:
        changes: Numbers of the lines.
        faces: (lines,) whether each line is a face.
    """
    if not len(changes):
        return changes
    before = np.concatenate([[0], np.cumsum(faces)])
    followed = before[np.append(changes[1:], len(faces))] > before[changes]
    followed[-1] = True
    return np.flatnonzero(followed)


class _Words:
    """The words of a block; empty lines are not counted.

    Attributes:
        data: The bytes.
        start: (words,) where each word starts.
        end: (words,) where it ends.
        first: (lines,) index of the first word of each line.
        sizes: (lines,) number of words after the first.
    """

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.data = np.frombuffer(block, np.uint8)
        edge = np.diff((self.data > _BLANK).view(np.int8), prepend=0, append=0)
        self.start, self.end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
        line = np.searchsorted(np.flatnonzero(self.data == ord("\n")), self.start)
        self.first = np.flatnonzero(np.diff(line, prepend=-1))
        self.sizes = np.diff(self.first, append=len(self.start)) - 1

    @cached_property
    def line(self) -> np.ndarray:
        """(words,) the line of each word, -1 for the first word of a line."""
        line = np.repeat(np.arange(len(self.sizes)), self.sizes + 1)
        line[self.first] = -1
        return line

    def kind(self, word: bytes) -> np.ndarray:
        """Return which lines begin with this word."""
        start = self.start[self.first]
        found: np.ndarray = self.end[self.first] - start == len(word)
        for i, letter in enumerate(word):
            found[found] = self.data[start[found] + i] == letter
        return found

    def rest(self, line: int) -> str:
        """Return the text after the first word of a line."""
        word = self.first[line]
        end = self.end[word + self.sizes[line]]
        return " ".join(self.block[self.end[word] : end].decode(errors="replace").split())

    def numbers(self, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parse the numbers of the selected lines; return all of them, and the count of each line."""
        sizes = self.sizes[lines]
        return _parsed(self._text(lines).tobytes(), int(sizes.sum()), np.float64), sizes

    def corners(self, lines: np.ndarray) -> np.ndarray:
        """Parse words such as 1/2/3 or 1//3 of the selected lines: (words, 3) integers, 0 where empty."""
        text = self._text(lines)
        blank, slash = text <= _BLANK, text == ord("/")
        word = np.cumsum(blank, dtype=np.int32) - blank  # of each byte
        slashes = np.cumsum(slash, dtype=np.int32)
        before = np.concatenate([[0], slashes[blank][:-1]]) if blank.any() else np.zeros(0, dtype=np.int32)
        column = slashes - before[word].astype(np.int32)
        corners = np.zeros((int(blank.sum()), 3), dtype=np.int64)
        for i in range(3):
            digits = (column == i) & ~slash & ~blank
            held = np.bincount(word[digits], minlength=len(corners)) > 0
            corners[held, i] = _parsed(text[digits | (blank & held[word])].tobytes(), int(held.sum()), np.int64)
        return corners

    def _text(self, lines: np.ndarray) -> np.ndarray:
        """Return the words of the selected lines except the first of each, each with its separator."""
        chosen = np.flatnonzero(lines[self.line] & (self.line >= 0))
        steps = np.zeros(len(self.data) + 1, dtype=np.int8)
        steps[self.start[chosen]] += 1
        steps[self.end[chosen] + 1] -= 1
        text: np.ndarray = self.data[np.cumsum(steps[:-1], dtype=np.int8) > 0]
        return text


def _parsed(text: bytes, count: int, kind: type[np.int64] | type[np.float64]) -> np.ndarray:
    try:
        numbers: np.ndarray = np.fromstring(text, dtype=kind, sep=" ")
    except ValueError:
        other = _NO_NUMBER.sub(b"nan", _EXPONENT.sub(rb"e\1", text)) if kind is np.float64 else text
        if other == text:
            raise
        numbers = np.fromstring(other, dtype=kind, sep=" ")
    if len(numbers) != count:
        raise ValueError(f"only {len(numbers):,} of {count:,} words are numbers")
    return numbers
