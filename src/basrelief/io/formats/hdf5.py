"""HDF5 files, read so that a small file cannot cost more than it holds.

The HDF5 library decompresses a chunk to any size, follows links and raw storage into other files, and loads filter plug-ins. Here a data
set must be stored in the file completely; its chunks are decompressed in this module, to the declared size at most.
"""

from __future__ import annotations

import itertools
import math
import zlib
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.formats.arrays import COLOR_KEYS, POINT_KEYS, choose_key, point_cloud
from basrelief.io.lzf import lzf_decompress
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_DEFLATE, _SHUFFLE, _FLETCHER, _LZF = 1, 2, 3, 32000
_FILTERS = {_DEFLATE: "gzip", _SHUFFLE: "shuffle", _FLETCHER: "fletcher32", _LZF: "lzf"}
_CHUNK_SHARE = 8  # largest share of the memory for one chunk, of which several copies exist at a time


def read_h5(source: Source) -> RawShape:
    """Read .h5: the data set named as one of `POINT_KEYS`, (N, 3) or (B, N, 3); `file.h5#12` selects a shape of a batch.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    import h5py

    with h5py.File(source.path, "r") as file:
        points = H5Array(source, file, choose_key(source, file, POINT_KEYS))
        color = next((key for key in COLOR_KEYS if key in file), None)
        return point_cloud(source, points, None if color is None else H5Array(source, file, color))


class H5Array:
    """A data set of plain numbers, a `StoredArray`.

    Attributes:
        shape: Dimensions.
        dtype: Type of the numbers; `object` for anything else.
    """

    def __init__(self, source: Source, file: Any, name: str) -> None:  # noqa: ANN401 - h5py is not typed
        """Open a data set and check that it is stored in this file.

        Args:
            source: The file, for messages.
            file: The open `h5py.File`.
            name: Name of the data set, at the top of the file.

        Raises:
            FileFormatError: If it is a link, a group or stored elsewhere, or needs an unsupported filter.
        """
        import h5py

        self._source = source
        data = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
            raise FileFormatError(f"{name!r:.80} in {source.path.name} is not stored in the file itself. Copy the data into it.")
        self._data = data
        self.shape: tuple[int, ...] = data.shape or ()
        plain = isinstance(data.id.get_type(), h5py.h5t.TypeFloatID | h5py.h5t.TypeIntegerID)
        self.dtype: np.dtype[Any] = data.dtype if plain else np.dtype(object)
        self._filters = self._pipeline()

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Read columns; see `StoredArray.read`."""
        first = () if row is None else (row,)
        chunks = self._data.chunks
        self._check_written(chunks)
        if not self._filters:
            found: np.ndarray = self._data[(*first, slice(None), slice(0, columns))]
            return found
        rows = self.shape[-2]
        out = np.empty((rows, columns), dtype=self.dtype)
        starts = [range(0, rows, chunks[-2]), range(0, columns, chunks[-1])]
        for at, left in itertools.product(*starts):
            begin = (at, left) if row is None else (row // chunks[0] * chunks[0], at, left)
            chunk = self._chunk(begin, chunks)
            chunk = chunk if row is None else chunk[row % chunks[0]]
            out[at : at + chunks[-2], left : left + chunks[-1]] = chunk[: rows - at, : columns - left]
        return out

    def read_all(self) -> None:
        """Return None: chunks that span rows would be unpacked once for each row."""

    def _pipeline(self) -> list[int]:
        """List the filters of each chunk in the order of application."""
        plist = self._data.id.get_create_plist()
        codes = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        unknown = [code for code in codes if code not in _FILTERS]
        if unknown or len(codes) > len(set(codes)):
            raise FileFormatError(
                f"{self._source.path.name} uses HDF5 filters {codes[:8]}; supported are {', '.join(_FILTERS.values())}. Save it with gzip."
            )
        return codes

    def _check_written(self, chunks: tuple[int, ...] | None) -> None:
        """Check that all values are stored; HDF5 would invent missing ones from a fill value."""
        path, size, stored = self._source.path, math.prod(self.shape) * self.dtype.itemsize, self._data.id.get_storage_size()
        if chunks is not None:
            chunk = math.prod(chunks) * self.dtype.itemsize
            check_count(path, chunk, limits().memory_bytes // _CHUNK_SHARE, of="bytes in a chunk")
            grid = [-(-size // step) for size, step in zip(self.shape, chunks, strict=True)]
            needed = math.prod(grid[1:] if len(grid) == 3 else grid)  # one table of a batch touches one layer of chunks
            check_count(path, needed, limits().instances, of="chunks")
            check_count(path, needed * chunk, limits().unpacked_bytes, of="bytes when unpacked")
            written = self._data.id.get_num_chunks() >= math.prod(grid) and (bool(self._filters) or stored >= size)
        else:
            written = stored >= size
        if not written or stored > self._source.size:
            raise FileFormatError(f"{path.name} stores only {stored:,} bytes for an array of shape {self.shape}. Write all of its values.")

    def _chunk(self, begin: tuple[int, ...], chunks: tuple[int, ...]) -> np.ndarray:
        """Read a chunk and reverse its filters."""
        size = math.prod(chunks) * self.dtype.itemsize
        mask, data = self._data.id.read_direct_chunk(begin)
        applied = [code for i, code in enumerate(self._filters) if not mask >> i & 1]
        after = size  # bytes that each filter must return, from the last to the first
        for place, code in reversed(list(enumerate(applied))):
            expected = after + 4 * (_FLETCHER in applied[:place])
            data = _undo(code, data, expected, itemsize=self.dtype.itemsize)
        if len(data) != size:
            raise ValueError(f"a chunk unpacks to {len(data):,} of {size:,} bytes")
        return np.frombuffer(data, self.dtype).reshape(chunks)


def _undo(code: int, data: Any, expected: int, *, itemsize: int) -> Any:  # noqa: ANN401 - bytes or anything like them
    """Reverse one filter; the result has at most `expected` bytes."""
    if code == _DEFLATE:
        return zlib.decompressobj().decompress(data, expected)
    if code == _LZF:
        return lzf_decompress(bytes(data), expected)
    if code == _FLETCHER:
        return data[:-4]  # a checksum
    whole = len(data) // itemsize * itemsize
    planes = np.frombuffer(data, np.uint8, count=whole).reshape(itemsize, -1)
    return planes.T.tobytes() + bytes(data[whole:])
