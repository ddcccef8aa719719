"""Buffers compressed with meshoptimizer (the glTF extension EXT_meshopt_compression): vertices, triangles and lists of indices.

Offsets of the stored groups are found one after the other; everything else is computed for all elements at once.
"""

from __future__ import annotations

import numpy as np

from basrelief.io.meshopt_filters import FILTERS

_GROUP = 16  # elements whose bytes are stored together
_BLOCK_BYTES, _MAX_BLOCK = 8192, 256
_ROWS = 1 << 18  # elements decoded at a time
_PIECE = 1 << 16  # triangles decoded at a time
_VERTICES, _TRIANGLES, _INDICES = 0xA0, 0xE1, 0xD1  # first byte of each kind
_PADDING = (32, 24)  # bytes at the end, at least, by version
_BITS = ((0, 2, 4, 8), (0, 1, 2, 4), (1, 2, 4, 8))  # of a delta, by the two bits of a group: version 0; version 1 for control 0; and 1
_ZERO, _PLAIN = 2, 3  # controls of version 1: all deltas are zero; all are stored in full
_SENTINELS = {
    bits: bytes(sum((byte >> shift) & ((1 << bits) - 1) == (1 << bits) - 1 for shift in range(0, 8, bits)) for byte in range(256))
    for bits in (1, 2, 4)
}


def decode_vertices(data: bytes, *, count: int, stride: int, kind: str = "NONE") -> np.ndarray:
    """Decode vertex attributes.

    Args:
        data: The compressed data.
        count: Number of elements.
        stride: Bytes of an element, a multiple of four, at most 256.
        kind: Filter: `NONE`, `OCTAHEDRAL`, `QUATERNION`, `EXPONENTIAL` or `COLOR`.

    Returns:
        (count, stride) uint8.

    Raises:
        ValueError: If the data are damaged or a parameter is not allowed.
        IndexError: If they end too early.
    """
    version = data[0] - _VERTICES
    if version not in (0, 1) or stride % 4 or not 0 < stride <= 256:
        raise ValueError(f"vertex data of version {version} with {stride} bytes each")
    tail = stride + (stride // 4 if version else 0)
    end = len(data) - max(tail, _PADDING[version])
    first = np.frombuffer(data, np.uint8, stride, len(data) - tail)
    channels = np.frombuffer(data, np.uint8, stride // 4, len(data) - stride // 4) if version else np.zeros(stride // 4, np.uint8)
    undo, strides = FILTERS[kind]
    if strides and stride not in strides:
        raise ValueError(f"{kind} data of {stride} bytes each")
    values = np.empty((count, stride), np.uint8)
    reader = _Deltas(data[:end], stride, version)
    rows_read = max(_ROWS // _block(stride), 1) * _block(stride)
    for start in range(0, count, rows_read):
        piece = values[start : start + rows_read]
        deltas = reader.read(len(piece))
        for channel in range(stride // 4):
            rows = slice(4 * channel, 4 * channel + 4)
            piece[:, rows] = _accumulated(deltas[rows].T, first[rows], int(channels[channel]))
        first = piece[-1].copy()
        piece[:] = undo(piece)
    reader.finish()
    return values


def decode_triangles(data: bytes, *, count: int) -> np.ndarray:
    """Decode the corners of triangles.

    Args:
        data: The compressed data.
        count: Number of indices, a multiple of three.

    Returns:
        (count,) uint32.

    Raises:
        ValueError: If the data are damaged.
        IndexError: If they end too early.
    """
    if data[0] != _TRIANGLES or count % 3 or len(data) < 17 + count // 3:
        raise ValueError("damaged triangle data")
    triangles = _Triangles(data, count // 3)
    indices = np.empty(count, np.uint32)
    for start in range(0, count, 3 * _PIECE):
        piece = indices[start : start + 3 * _PIECE]
        piece[:] = triangles.decode(start // 3, len(piece) // 3)
    return indices


def decode_indices(data: bytes, *, count: int) -> np.ndarray:
    """Decode a list of indices.

    Args:
        data: The compressed data.
        count: Number of indices.

    Returns:
        (count,) uint32.

    Raises:
        ValueError: If the data are damaged or end too early.
    """
    if data[0] != _INDICES:
        raise ValueError("damaged index data")
    stored = np.frombuffer(data, np.uint8, offset=1)
    ends = np.flatnonzero(stored < 0x80)[:count]
    if len(ends) < count:
        raise ValueError("truncated index data")
    if not count:
        return np.zeros(0, np.uint32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1)
    parts = (stored[: ends[-1] + 1].astype(np.int64) & 0x7F) << np.minimum(7 * place, 35)
    numbers = np.add.reduceat(parts, starts) & 0xFFFFFFFF
    steps = _unzigzag(numbers >> 1)
    second = (numbers & 1).astype(bool)
    indices = np.empty(count, np.int64)
    for chosen in (second, ~second):
        indices[chosen] = np.cumsum(steps[chosen])
    return indices.astype(np.uint32)


def _unzigzag(numbers: np.ndarray) -> np.ndarray:
    """Map 0, 1, 2, 3, ... to 0, -1, 1, -2, ..."""
    signed: np.ndarray = (numbers >> 1) ^ -(numbers & 1)
    return signed


def count_blocks(count: int, stride: int) -> int:
    """Return how many blocks, each of one byte of some elements, store vertex attributes; decoding takes time for each."""
    return -(-count // _block(stride)) * stride


def _block(stride: int) -> int:
    return min(_BLOCK_BYTES // stride // _GROUP * _GROUP, _MAX_BLOCK)


class _Deltas:
    """Reads the stored differences, a number of elements at a time."""

    def __init__(self, data: bytes, stride: int, version: int) -> None:
        self._data, self._stride, self._version = data, stride, version
        self._at = 1

    def read(self, count: int) -> np.ndarray:
        """Return the differences (stride, count) uint8 of the next elements, in zigzag form; `count` fills blocks, but for the last."""
        data, stride, version = self._data, self._stride, self._version
        groups: dict[int, list[tuple[int, int]]] = {1: [], 2: [], 4: [], 8: []}  # by bits: where each lies in the data and in the result
        width = -(-count // _GROUP) * _GROUP
        deltas = np.zeros((stride, width), np.uint8)
        block, at = _block(stride), self._at
        zeros = bytes([0b10101010]) * (stride // 4)
        for start in range(0, count, block):
            size = min(block, count - start)
            controls = data[at : at + stride // 4] if version else bytes(stride // 4)
            at += stride // 4 if version else 0
            if controls == zeros:
                continue
            for byte in range(stride):
                control = controls[byte >> 2] >> (2 * (byte & 3)) & 3
                if control == _PLAIN:
                    deltas[byte, start : start + size] = np.frombuffer(data, np.uint8, size, at)
                    at += size
                elif control != _ZERO:
                    at = _walk(data, at, _BITS[version + control], groups, number=-(-size // _GROUP), target=byte * width + start)
        for bits, found in groups.items():
            if found:
                _unpack(np.frombuffer(data, np.uint8), np.array(found), bits, deltas.reshape(-1))
        self._at = at
        return deltas[:, :count]

    def finish(self) -> None:
        """Check that everything was read."""
        if self._at != len(self._data):
            raise ValueError("vertex data of another length")


def _walk(data: bytes, at: int, kinds: tuple[int, ...], groups: dict[int, list[tuple[int, int]]], *, number: int, target: int) -> int:
    """Note where each group of a block of one byte begins; return where the next block begins."""
    header = at
    at += -(-number // 4)
    if at > len(data):
        raise IndexError("truncated vertex data")
    if not kinds[0] and not any(data[header:at]):
        return at
    for group in range(number):
        bits = kinds[data[header + (group >> 2)] >> (2 * (group & 3)) & 3]
        if not bits:
            continue
        groups[bits].append((at, target + group * _GROUP))
        packed = 2 * bits
        at += packed if bits == 8 else packed + sum(data[at : at + packed].translate(_SENTINELS[bits]))
    return at


def _unpack(data: np.ndarray, groups: np.ndarray, bits: int, deltas: np.ndarray) -> None:
    """Unpack groups of 16 numbers; the largest number of few bits says that a whole byte follows."""
    starts, targets = groups.T
    if int(starts.max()) + 2 * bits > len(data):
        raise IndexError("truncated vertex data")
    packed = data[starts[:, None] + np.arange(2 * bits)]
    if bits < 8:
        shifts = np.arange(0, 8, bits) if bits == 1 else np.arange(8 - bits, -1, -bits)
        numbers = (packed[:, :, None] >> shifts.astype(np.uint8) & ((1 << bits) - 1)).reshape(len(groups), _GROUP)
        full = numbers == (1 << bits) - 1
        places = starts[:, None] + 2 * bits + np.cumsum(full, axis=1) - 1
        numbers[full] = data[places[full]]
    else:
        numbers = packed
    deltas[targets[:, None] + np.arange(_GROUP)] = numbers


def _accumulated(deltas: np.ndarray, first: np.ndarray, channel: int) -> np.ndarray:
    """Add up the differences (count, 4) of four bytes: as bytes, as two 16-bit numbers, or combined by XOR as one of 32 bits."""
    mode = channel & 3
    if mode in (0, 1):
        kind = ("u1", "<u2")[mode]
        stored = np.ascontiguousarray(deltas).view(kind)
        steps = (stored >> 1) ^ (0 - (stored & 1)).astype(kind)  # wraps around
        values: np.ndarray = np.cumsum(steps, axis=0, dtype=kind) + first.view(kind)
        return values.view(np.uint8)
    if mode == 3:
        raise ValueError("vertex data of an unknown channel")
    stored, turn = np.ascontiguousarray(deltas).view("<u4"), np.uint32(channel >> 4)
    turned = (stored >> turn) | (stored << (np.uint32(32) - turn)) if turn else stored
    combined: np.ndarray = (np.bitwise_xor.accumulate(turned, axis=0) ^ first.view("<u4")).astype("<u4")
    return combined.view(np.uint8)


class _Triangles:
    """Decodes triangles one after the other: each refers to edges and vertices of the last ones, kept in two rings of 16."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data = data[: len(data) - 16]
        self._known = data[len(data) - 16 :]
        self._at = 1 + count
        self._last = 0
        self._edges: list[tuple[int, int]] = [(0, 0)] * 16
        self._recent = [0] * 16
        self._state = (0, 0, 0)  # edges and vertices so far, and the next new index

    def decode(self, first: int, count: int) -> list[int]:
        """Return the corners of the next triangles."""
        edges, recent = self._edges, self._recent
        edge, vertex, following = self._state
        corners: list[int] = []
        for code in self._data[1 + first : 1 + first + count]:
            high, low = code >> 4, code & 15
            if high < 15:
                a, b = edges[(edge - 1 - high) & 15]
                if 0 < low < 13:
                    c = recent[(vertex - 1 - low) & 15]
                else:
                    if low == 0:
                        c, following = following, following + 1
                    else:
                        c = self._step(low)
                    recent[vertex & 15] = c
                    vertex += 1
                edges[edge & 15], edges[(edge + 1) & 15] = (c, b), (a, c)
                edge += 2
            else:
                (a, b, c), vertex, following = self._anew(low, vertex, following)
                edges[edge & 15], edges[(edge + 1) & 15], edges[(edge + 2) & 15] = (b, a), (c, b), (a, c)
                edge += 3
            corners += (a, b, c)
        self._state = (edge, vertex, following & 0xFFFFFFFF)
        return corners

    def _anew(self, low: int, vertex: int, following: int) -> tuple[list[int], int, int]:
        """Decode a triangle that shares no recent edge; return its corners, the vertices so far and the next new index."""
        free = low >= 14
        extra = self._byte() if free else self._known[low]
        if free and not extra:
            following = 0
        corners: list[int] = []
        new: list[int] = []
        for number in (15 if low == 15 else 0, extra >> 4, extra & 15):
            if 0 < number < 15 or (number == 15 and not free):
                corners.append(self._recent[(vertex - number) & 15])
                continue
            corners.append(self._step(15) if number else following)
            following += number == 0
            new.append(corners[-1])
        for one in new:
            self._recent[vertex & 15] = one
            vertex += 1
        return corners, vertex, following

    def _step(self, low: int) -> int:
        """Return the last index changed by -1 (13), by +1 (14) or by a stored number (15)."""
        step = {13: -1, 14: 1}.get(low)
        if step is None:
            number = shift = 0
            while True:
                byte = self._byte()
                number |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 or shift > 28:
                    break
            step = (number >> 1) ^ -(number & 1)
        self._last = (self._last + step) & 0xFFFFFFFF
        return self._last

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]
