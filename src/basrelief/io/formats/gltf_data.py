"""The binary data of glTF: buffers, accessors and Draco, read on demand."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from io import BufferedIOBase, BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.draco import decode_draco
from basrelief.io.formats.gltf_header import Header
from basrelief.io.meshopt import count_blocks, decode_indices, decode_triangles, decode_vertices
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import Source
from basrelief.limits import limits

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
"""Extensions of buffer views compressed with meshoptimizer."""

_DATA = "data:"
_MAX_STRIDE = 252  # bytes, of the specification
_MAX_ZEROS = 4096  # values without stored data
_PIECE = 1 << 22  # characters of base64, a multiple of four
_MAX_BLOCKS = 1 << 22  # of compressed vertices
_MAX_OPEN = 32  # buffers whose files are kept open

Item = Mapping[str, Any]


class GltfData:
    """Accessors of a glTF file as arrays, each read once.

    Attributes:
        source: The file.
        header: Its header.
        resolver: Reads buffers and pictures beside the file.
    """

    def __init__(self, source: Source, header: Header, chunk: int) -> None:
        """Create the reader; nothing is read yet.

        Args:
            source: The file.
            header: Its header.
            chunk: Position of the binary chunk of a .glb, the end of its JSON.
        """
        self.source, self.header, self.resolver = source, header, FolderResolver(source.path.parent)
        self._chunk = chunk
        self._arrays: dict[int, np.ndarray] = {}
        self._draco: dict[int, Mapping[int, np.ndarray]] = {}
        self._unpacked: dict[int, memoryview] = {}
        self._left = limits().unpacked_bytes
        self._files: dict[int, BufferedIOBase] = {}
        self._buffers: dict[int, tuple[BufferedIOBase, int, int]] = {}

    def close(self) -> None:
        """Close the buffer files."""
        for file in self._files.values():
            file.close()

    def count(self, accessor: int, *, limit: int | None = None) -> int:
        """Return how many elements an accessor declares.

        Args:
            accessor: Its index.
            limit: Largest number to accept, `Limits.points` when None.

        Returns:
            The number of elements.

        Raises:
            FileFormatError: If it is larger or negative.
        """
        count = self.header["accessors"][accessor]["count"]
        check_count(self.source.path, count, limits().points if limit is None else limit, of="values in an accessor")
        return int(count)

    def array(self, accessor: int) -> np.ndarray:
        """Read an accessor.

        Args:
            accessor: Its index.

        Returns:
            (count, width) numbers as stored; normalised integers as float32 in [-1, 1].

        Raises:
            FileFormatError: If it declares more than the file holds.
        """
        if accessor not in self._arrays:
            self._arrays[accessor] = self._read(self.header["accessors"][accessor], self.count(accessor, limit=_most_values()))
        return self._arrays[accessor]

    def draco(self, extension: Item, *, vertices: int, faces: int) -> Mapping[int, np.ndarray]:
        """Decode a compressed mesh.

        Args:
            extension: The Draco extension of a primitive.
            vertices: Number of vertices that the primitive's accessors declare.
            faces: Number of faces that they declare.

        Returns:
            Attributes by their id in the compressed data; faces under `draco.FACES`.

        Raises:
            FileFormatError: If it is damaged or holds more than declared.
        """
        view = extension["bufferView"]
        if view not in self._draco:
            self._draco[view] = decode_draco(self.source.path, self.view(view), vertices=vertices, faces=faces)
        return self._draco[view]

    def view(self, view: int) -> bytes:
        """Read the bytes of a buffer view, at most `Limits.text_bytes`."""
        item = self.header["bufferViews"][view]
        check_count(self.source.path, item["byteLength"], limits().text_bytes, of="bytes of compressed data")
        return self._bytes(item["buffer"], item.get("byteOffset", 0), item["byteLength"])

    def image_bytes(self, image: Item) -> bytes:
        """Read the bytes of an image."""
        if "bufferView" in image:
            return self.view(image["bufferView"])
        return _inline(image["uri"]) if image["uri"].startswith(_DATA) else self.resolver.get(image["uri"], similar=True)

    def _read(self, item: Item, count: int) -> np.ndarray:
        dtype, width = np.dtype(_TYPES[item["componentType"]]), _WIDTHS[item["type"]]
        if "bufferView" in item:
            array = self._stored(item["bufferView"], item.get("byteOffset", 0), (count, width), dtype)
        else:
            check_count(self.source.path, 0 if "sparse" in item else count, _MAX_ZEROS, of="values without data")
            array = np.zeros((count, width), dtype)
        if "sparse" in item:
            array = self._replaced(array, item["sparse"])
        if item.get("normalized") and dtype.kind in "iu":
            array = np.maximum(np.divide(array, np.iinfo(dtype).max, dtype=np.float32), -1)
        return array

    def _stored(self, view: int, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
        """Read rows that are contiguous or `byteStride` apart."""
        item = self.header["bufferViews"][view]
        extensions = item.get("extensions", {})
        packed = next((extensions[name] for name in MESHOPT if name in extensions), None)
        row = shape[1] * dtype.itemsize
        stride = item.get("byteStride", row)
        length = (shape[0] - 1) * stride + row if shape[0] else 0
        if not row <= stride <= max(row, _MAX_STRIDE) or offset < 0 or offset + length > item["byteLength"]:
            raise FileFormatError(
                f"{self.source.path.name} is damaged: an accessor reads {offset + length:,} bytes of a buffer view that has "
                f"{item['byteLength']:,}. Export it again."
            )
        if packed is None:
            data: bytes | memoryview = self._bytes(item["buffer"], item.get("byteOffset", 0) + offset, length)
        else:
            data = self._decompressed(view, packed)[offset : offset + length]
        if stride == row:
            return np.frombuffer(data, dtype).reshape(shape)
        return np.ndarray(shape, dtype, data, strides=(stride, dtype.itemsize)).copy()

    def _decompressed(self, view: int, packed: Item) -> memoryview:
        """Decode a buffer view compressed with meshoptimizer, once."""
        if view in self._unpacked:
            return self._unpacked[view]
        path, count, stride, mode = self.source.path, packed["count"], packed["byteStride"], packed["mode"]
        check_count(path, count, 3 * limits().faces if mode == "TRIANGLES" else limits().points, of="elements of compressed data")
        if mode == "ATTRIBUTES":
            check_count(path, count_blocks(count, stride), _MAX_BLOCKS, of="blocks of compressed data")
        self._left -= max(count * stride, 0)
        if self._left < 0:
            raise FileFormatError(f"{path.name} unpacks to more than {limits().unpacked_bytes:,} bytes. Simplify it.")
        data = self._bytes(packed["buffer"], packed.get("byteOffset", 0), packed["byteLength"])
        try:
            if mode == "ATTRIBUTES":
                found = decode_vertices(data, count=count, stride=stride, kind=packed.get("filter", "NONE"))
            elif mode in ("TRIANGLES", "INDICES") and stride in (2, 4):
                decode = decode_triangles if mode == "TRIANGLES" else decode_indices
                found = decode(data, count=count).astype(f"<u{stride}")
            else:
                raise ValueError(f"mode {mode} with {stride} bytes each")
        except (ValueError, LookupError) as error:
            raise FileFormatError(
                f"The compressed data of {path.name} are damaged ({error}). Download or export the file again."
            ) from error
        self._unpacked[view] = found.reshape(-1).view(np.uint8).data
        return self._unpacked[view]

    def _replaced(self, array: np.ndarray, sparse: Item) -> np.ndarray:
        """Replace some elements of an accessor by its sparse values."""
        count, indices, values = sparse["count"], sparse["indices"], sparse["values"]
        check_count(self.source.path, count, len(array), of="replaced values")
        places = self._stored(indices["bufferView"], indices.get("byteOffset", 0), (count, 1), np.dtype(_TYPES[indices["componentType"]]))
        changed = array.copy()
        changed[places[:, 0]] = self._stored(values["bufferView"], values.get("byteOffset", 0), (count, array.shape[1]), array.dtype)
        return changed

    def _bytes(self, buffer: int, start: int, length: int) -> bytes:
        if buffer not in self._buffers:
            self._buffers[buffer] = self._open(buffer)
        file, first, end = self._buffers[buffer]
        if min(start, length) < 0 or first + start + length > end:
            raise FileFormatError(
                f"{self.source.path.name} is damaged: a buffer view reads {start + length:,} bytes of a buffer that has "
                f"{end - first:,}. Export it again."
            )
        file.seek(first + start)
        data = file.read(length)
        if len(data) < length:
            raise FileFormatError(f"A buffer of {self.source.path.name} is truncated. Download it again.")
        return data

    def _open(self, buffer: int) -> tuple[BufferedIOBase, int, int]:
        """Open a buffer in the file itself, beside it, or in its header; return the file, its first byte and its end."""
        uri = self.header["buffers"][buffer].get("uri")
        if uri is not None and uri.startswith(_DATA):
            data = _inline(uri)
            return BytesIO(data), 0, len(data)
        while len(self._files) >= _MAX_OPEN:
            oldest = next(iter(self._files))
            self._files.pop(oldest).close()
            del self._buffers[oldest]
        file = self._files[buffer] = self.source.path.open("rb") if uri is None else self.resolver.open(uri)
        if uri is not None:
            return file, 0, file.seek(0, 2)
        file.seek(self._chunk)
        length, kind = int.from_bytes(file.read(4), "little"), file.read(4)
        first = self._chunk + 8
        return file, first, first + length if kind == b"BIN\0" and first + length <= self.source.size else first


def _most_values() -> int:
    """Return the largest accessor: positions, or the indices of all corners of faces."""
    return max(limits().points, 3 * limits().faces)


def _inline(uri: str) -> bytes:
    """Decode a data URI in pieces, so that other threads can run in between."""
    start = uri.index(",") + 1
    if not uri[:start].endswith(";base64,"):
        return unquote_to_bytes(uri[start:])
    return b"".join(b64decode(uri[at : at + _PIECE]) for at in range(start, len(uri), _PIECE))
