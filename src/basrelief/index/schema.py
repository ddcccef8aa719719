"""Columns of a library's tables, and the record of the model that computed its vectors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from basrelief.geometry.descriptor import DESCRIPTOR_SIZE

if TYPE_CHECKING:
    import pyarrow as pa

RENAMED_COLUMNS = {"place": "relative_path", "words": "name_words", "content": "content_hash", "beside": "side_files"}
"""Column names of layout 1 (basrelief 0.1), and what they are called since layout 2."""

BOX_MARK = "#box-"
"""Stands between the path of a scan and the number of a box in the path of its row."""

_METADATA_KEY = b"basrelief"
_READABLE_LAYOUTS = (1, 2)
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
"""Makes concurrent writes of the same new path conflict; without it, both rows would stay."""


@dataclass(frozen=True)
class LibraryInfo:
    """The model that computed a library's vectors; vectors of another model cannot be compared with them.

    Attributes:
        model: Name of the recipe.
        weights: Fingerprint of the encoder's weights.
        views: Views of each shape.
        dim: Embedding dimension.
        text_mean: (dim,) mean text embedding of everyday names, subtracted from every phrase that is searched for.
        layout: Version of the table layout.
    """

    model: str
    weights: str
    views: int
    dim: int
    text_mean: tuple[float, ...]
    layout: int = 2

    @classmethod
    def from_schema(cls, schema: pa.Schema) -> LibraryInfo:
        """Read the record from the metadata of the `shapes` table.

        Raises:
            LookupError: If there is no such record; also TypeError or ValueError if it is malformed.
        """
        record = json.loads((schema.metadata or {})[_METADATA_KEY])
        text_mean = record.pop("common") if "common" in record else record.pop("text_mean")  # `common` in layout 1
        return cls(**record, text_mean=tuple(text_mean))

    @property
    def readable(self) -> bool:
        """Whether this version of basrelief reads the layout."""
        return self.layout in _READABLE_LAYOUTS


@dataclass(frozen=True)
class FileState:
    """What a library records of a file to notice changes.

    Attributes:
        root: The indexed folder.
        bytes: File size.
        mtime: Modification time in nanoseconds; None if the file must be checked again in any case.
        content_hash: SHA-256 of the bytes; with side files, `+` and a hash of their names and bytes follow.
        side_files: Side files with their sizes and times, as JSON; empty without any, None in rows of old libraries.
    """

    root: str
    bytes: int
    mtime: int | None
    content_hash: str
    side_files: str | None = ""


def shapes_schema(info: LibraryInfo) -> pa.Schema:
    """Return the schema of the table with one row for each shape file, and one for each box that was found in a scan.

    The row of a box has the path of the scan, `BOX_MARK` and a number as its path, and repeats what is recorded of the scan's file.
    """
    import pyarrow as pa

    fields = [
        *_file_fields(),
        pa.field("relative_path", pa.string()),
        pa.field("name_words", pa.string()),
        pa.field("format", pa.string()),
        pa.field("kind", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("faces", "points")),
        *(pa.field(name, pa.float32()) for name in ("width", "depth", "height")),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("vector", pa.list_(pa.float32(), info.dim)),
        pa.field("views", pa.list_(pa.float16(), info.views * info.dim)),
        pa.field("form", pa.list_(pa.float32(), DESCRIPTOR_SIZE)),
        pa.field("thumbnail", pa.binary()),
        pa.field("sheet", pa.binary()),
        *scan_fields(),
        *axis_fields(),
    ]
    return pa.schema(fields, metadata={_METADATA_KEY: json.dumps(asdict(info)).encode()})


def scan_fields() -> list[pa.Field]:
    """Return the columns for boxes in scans, which libraries made before them lack; all may be null.

    `scan`: path of the scan that a box was found in; null for a file. `boxes`: for a file, the number of its boxes; null if none were
    looked for. `center` (3) and `rotation` (9, row by row) place a box in the coordinates of the file; `width`, `depth` and `height` are
    its lengths along its own axes.
    """
    import pyarrow as pa

    return [
        pa.field("scan", pa.string()),
        pa.field("boxes", pa.int64()),
        pa.field("center", pa.list_(pa.float64())),
        pa.field("rotation", pa.list_(pa.float64())),
    ]


def axis_fields() -> list[pa.Field]:
    """Return the columns for the up axis of a file and `Origin.up_source`, which libraries made before them lack; null for boxes."""
    import pyarrow as pa

    return [pa.field("up", pa.string()), pa.field("up_source", pa.string())]


def failures_schema() -> pa.Schema:
    """Return the schema of the table of files that could not be read."""
    import pyarrow as pa

    return pa.schema([*_file_fields(), pa.field("reason", pa.string())])


def changes_schema() -> pa.Schema:
    """Return the schema of the table of tag changes: the tags of a file before and after each run."""
    import pyarrow as pa

    return pa.schema([("path", pa.string()), ("run", pa.int64()), ("before", pa.list_(pa.string())), ("after", pa.list_(pa.string()))])


def _file_fields() -> list[pa.Field]:
    import pyarrow as pa

    path = pa.field("path", pa.string(), nullable=False, metadata=_PRIMARY_KEY)
    kinds = {"root": pa.string(), "bytes": pa.int64(), "mtime": pa.int64(), "content_hash": pa.string(), "side_files": pa.string()}
    return [path, *(pa.field(name, kind) for name, kind in kinds.items())]
