"""What a row of a library holds, and what made its vectors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from basrelief.geometry import FORM_SIZE

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"basrelief"
"""Where the metadata of a table says what made its vectors."""

_ONE_EACH = {"lance-schema:unenforced-primary-key": "true"}
"""Two processes that write the same new path at the same time then see each other; without it both rows would stay."""


@dataclass(frozen=True)
class About:
    """What made the vectors of a library; those of another model cannot be compared with them.

    Attributes:
        model: Name of the recipe.
        weights: Fingerprint of the towers.
        views: Views of each shape.
        dim: Length of a vector.
        common: (dim,) mean of the embeddings of everyday names: what all words have in common, and every shape answers to alike.
        layout: Version of the tables.
    """

    model: str
    weights: str
    views: int
    dim: int
    common: tuple[float, ...]
    layout: int = 1


@dataclass(frozen=True)
class Known:
    """What a row remembers of its file.

    Attributes:
        root: Folder that was indexed.
        bytes: Size.
        mtime: Nanoseconds; None where the file must be looked at again in any case.
        content: Hash of the bytes; where there are side files, `+` and a hash of their names and bytes.
        beside: Side files with their sizes and times, as JSON; empty without any, None in rows of before they were noted.
    """

    root: str
    bytes: int
    mtime: int | None
    content: str
    beside: str | None = ""


def _file_fields() -> list[pa.Field]:
    import pyarrow as pa

    path = pa.field("path", pa.string(), nullable=False, metadata=_ONE_EACH)
    kinds = {"root": pa.string(), "bytes": pa.int64(), "mtime": pa.int64(), "content": pa.string(), "beside": pa.string()}
    return [path, *(pa.field(name, kind) for name, kind in kinds.items())]


def shapes_schema(about: About) -> pa.Schema:
    """A row for each file."""
    import pyarrow as pa

    fields = [
        *_file_fields(),
        pa.field("place", pa.string()),
        pa.field("words", pa.string()),
        pa.field("format", pa.string()),
        pa.field("kind", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("faces", "points")),
        *(pa.field(name, pa.float32()) for name in ("width", "depth", "height")),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("vector", pa.list_(pa.float32(), about.dim)),
        pa.field("views", pa.list_(pa.float16(), about.views * about.dim)),
        pa.field("form", pa.list_(pa.float32(), FORM_SIZE)),
        pa.field("thumbnail", pa.binary()),
        pa.field("sheet", pa.binary()),
    ]
    return pa.schema(fields, metadata={KEY: json.dumps(asdict(about)).encode()})


def failures_schema() -> pa.Schema:
    """A file that could not be read, and why."""
    import pyarrow as pa

    return pa.schema([*_file_fields(), pa.field("reason", pa.string())])


def changes_schema() -> pa.Schema:
    """The tags of a file before and after one change."""
    import pyarrow as pa

    return pa.schema([("path", pa.string()), ("run", pa.int64()), ("before", pa.list_(pa.string())), ("after", pa.list_(pa.string()))])
