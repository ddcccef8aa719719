"""Limits on the cost of a file or a visitor, which users can raise.

Set them for a process with the environment variable `BASRELIEF_LIMITS`, e.g. `BASRELIEF_LIMITS="seconds=60,points=100000000"`, or for a
block of code with `use_limits`. SECURITY.md lists them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from basrelief.checks import check_positive
from basrelief.errors import ConfigError, unknown_choice

_LARGE_FILE = 32 << 20

VARIABLE = "BASRELIEF_LIMITS"
"""Environment variable that overrides defaults, as `name=number` separated by commas."""


@dataclass(frozen=True)
class Limits:
    """Upper bounds on the cost of one file, request or visitor.

    Attributes:
        memory_bytes: Memory that reading one file may take, beyond what the process held before; worker processes enforce it.
        seconds: Time that reading one file may take in a worker process. Files above 32 MB get proportionally more.
        file_bytes: Size of a file.
        text_bytes: Size of a text format, which takes many times its size while it is parsed.
        xml_bytes: Size of an XML document.
        unpacked_bytes: Size of what a compressed file unpacks to.
        json_values: Values in the JSON of a glTF file or of the annotations of a scan.
        side_files: Files beside a shape that reading it consults: buffers, materials, textures.
        material_bytes: Size of a material library of an .obj file.
        packing_ratio: Unpacked over packed size above which an archive member is taken for a bomb.
        pickled_values: Values and operations of a pickled NumPy file or a checkpoint; arrays count as a few, whatever their size.
        points: Points or vertices, over all instances of all parts.
        faces: Triangles, over all instances of all parts.
        instances: Nodes that a scene graph unfolds to.
        nesting: Levels of XML, of scene nodes and of nested records.
        xml_elements: Elements of XML.
        texture_pixels: Pixels of all textures of a file together.
        texture_side: Longest side of a texture in pixels; larger ones are reduced.
        kept_texture_pixels: Pixels of all textures that a mesh keeps; more are reduced further.
        overdraw: Faces that a picture of a mesh may have behind each other at a pixel, on average over the picture.
        picture_pixels: Pixels of a picture that is searched with.
        upload_bytes: Size of an uploaded file.
        request_bytes: Size of a request that is not an upload.
        uploads_per_request: Files in one upload request.
        visitor_bytes: Uploads of one address that are kept at a time; the oldest are deleted first.
        kept_bytes: Files that the page keeps at a time, the uploads of all visitors and what it makes for them.
        idle_seconds: Time that a visitor may take to send the next part of a request.
        connections: Connections that the page serves at a time.
        waiting: Searches and other calls that wait for their turn at a time.
        visitors: Visitors whose last answer is remembered.
        scan_metres: Longest side of a scan in which boxes are found, after outliers were removed.
        boxes: Boxes of saved detections or of a file of boxes.
        parameters: Numbers of an encoder; the largest that is known by name has 5.0 billion.
        layers: Blocks of a tower.
        list_bytes: Size of a list, a vocabulary or a JSON file, unpacked.
        settings_bytes: Size of a YAML file of settings.
        record_bytes: Size of one file of a training record.
        labels: Labels that a visitor may type.
        label_characters: Characters of one typed label, phrase or filter.
        filters: Filters of a query.
        login_attempts: Wrong passwords of one address within a minute.
    """

    memory_bytes: int = 2 << 30
    seconds: float = 10.0
    file_bytes: int = 2 << 30
    text_bytes: int = 512 << 20
    xml_bytes: int = 256 << 20
    unpacked_bytes: int = 1 << 30
    json_values: int = 2_000_000
    side_files: int = 4096
    material_bytes: int = 16 << 20
    packing_ratio: int = 300
    pickled_values: int = 3_000_000
    points: int = 20_000_000
    faces: int = 20_000_000
    instances: int = 100_000
    nesting: int = 128
    xml_elements: int = 4_000_000
    texture_pixels: int = 1 << 26
    texture_side: int = 1024
    kept_texture_pixels: int = 1 << 24
    overdraw: int = 1500
    picture_pixels: int = 64_000_000
    upload_bytes: int = 64 << 20
    request_bytes: int = 1 << 20
    uploads_per_request: int = 8
    visitor_bytes: int = 256 << 20
    kept_bytes: int = 2 << 30
    idle_seconds: float = 30.0
    connections: int = 1000
    waiting: int = 200
    visitors: int = 1000
    scan_metres: float = 200.0
    boxes: int = 20_000
    parameters: int = 10_000_000_000
    layers: int = 1000
    list_bytes: int = 64_000_000
    settings_bytes: int = 100_000
    record_bytes: int = 50_000_000
    labels: int = 2000
    label_characters: int = 200
    filters: int = 32
    login_attempts: int = 10

    def __post_init__(self) -> None:
        """Check that every limit is above zero."""
        for field in fields(self):
            value = getattr(self, field.name)
            check_positive(f"limit {field.name}", value, "Set a positive number.")

    def reading_seconds(self, size: int) -> float:
        """Return the time that reading a file of `size` bytes may take: `seconds`, above 32 MB in proportion."""
        return self.seconds * max(1.0, size / _LARGE_FILE)


_chosen: ContextVar[Limits | None] = ContextVar("limits", default=None)


def limits() -> Limits:
    """Return the current limits: those of `use_limits`, else the defaults with the overrides of `BASRELIEF_LIMITS`.

    Raises:
        ConfigError: If the variable names an unknown limit or holds an invalid number.
    """
    return _chosen.get() or parse_limits(os.environ.get(VARIABLE, ""))


@contextmanager
def use_limits(chosen: Limits) -> Iterator[None]:
    """Use other limits within a `with` block, in the current thread or task only.

    Args:
        chosen: The limits, e.g. `replace(limits(), points=100_000_000)`.

    Yields:
        Nothing.
    """
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


@lru_cache(maxsize=8)
def parse_limits(text: str) -> Limits:
    """Parse limits in the format of `BASRELIEF_LIMITS`.

    Args:
        text: `name=number` separated by commas; other limits keep their default.

    Returns:
        The limits.

    Raises:
        ConfigError: If a name is unknown or a value is not a number.
    """
    kinds: dict[str, type[int] | type[float]] = {field.name: type(getattr(Limits, field.name)) for field in fields(Limits)}
    values: dict[str, int | float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in kinds:
            raise ConfigError(unknown_choice(VARIABLE, name, kinds))
        try:
            values[name] = kinds[name](value.replace("_", ""))
        except ValueError as error:
            raise ConfigError(f"{VARIABLE} sets {name} to {value!r}; expected a number. Write e.g. {name}=100.") from error
    return replace(Limits(), **values)  # type: ignore[arg-type]
