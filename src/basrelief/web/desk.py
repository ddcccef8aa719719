"""What the page does, without the page: every answer to what a visitor asks, and what is refused."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from basrelief.datasets import parse_labels
from basrelief.errors import ConfigError, FileFormatError
from basrelief.index import Hit, Index, Query, Report, TagAnswer, Work, facts, read_picture
from basrelief.io import FORMATS, load, save
from basrelief.limits import limits
from basrelief.models import Progress, classify_files, evidence_picture
from basrelief.render.shade import CLAY
from basrelief.tasks import Judge
from basrelief.types import Mesh, PointCloud, Prediction, Shape

if TYPE_CHECKING:
    from PIL import Image

PICTURES = ("png", "jpg", "jpeg", "webp", "bmp")
_SHOWN_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class Opened:
    """A hit that was opened.

    Attributes:
        model: A .glb or .ply for the viewer.
        sheet: The depth views.
        facts: What is known of the file.
        place: Where it lies in its folder.
    """

    model: Path
    sheet: Image.Image
    facts: str
    place: str


@dataclass
class Desk:
    """The library behind the page.

    Attributes:
        index: What is asked.
        roots: Folders that may be indexed from the page, beside those that are.
        jobs: Processes that read files.
    """

    index: Index
    roots: tuple[Path, ...] = ()
    jobs: int = 1
    _made: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory(prefix="basrelief-"), repr=False)

    def search(self, query: Query, *, top_k: int = 24) -> list[Hit]:
        """Hits of a query; none of an empty library."""
        return self.index.search(query, top_k=top_k) if self.index.made and len(self.index) else []

    def query(self, words: str, *, without: str = "", where: str = "", picture: Path | None = None, shape: Path | None = None) -> Query:
        """What was typed and dropped as a query; filters and phrases to keep away from are separated by semicolons.

        Raises:
            ConfigError: If there is nothing to look for.
            FileFormatError: If an upload is refused.
        """
        pictures = () if picture is None else (read_picture(checked_upload(picture, PICTURES)),)
        shapes = () if shape is None else (load(checked_upload(shape, FORMATS)),)
        return Query((words.strip(),) if words.strip() else (), pictures, shapes, tuple(_parts(without)), tuple(_parts(where)))

    def gallery(self, hits: Sequence[Hit]) -> list[tuple[Image.Image, str]]:
        """Thumbnails with captions."""
        pictures = self.index.pictures([hit.path for hit in hits])
        return [(_picture(pictures[hit.path]), f"{Path(hit.path).name}  {hit.score:.3f}") for hit in hits if hit.path in pictures]

    def open(self, path: str) -> Opened:
        """A file of the library to look at; no other file of this machine is ever read.

        Raises:
            ConfigError: If the library does not hold the path.
            FileFormatError: If it cannot be read any more.
        """
        rows = self.index.tables.rows("path", [path])
        if not rows:
            raise ConfigError(f"path must be one of the library, but got {path!r}. Choose a hit.")
        row = rows[0]
        about = facts(Hit(path, 0.0, 0, False, row))
        return Opened(self.viewable(load(path), row["content"][:16]), _picture(row["sheet"]), about, row["place"])

    def viewable(self, shape: Shape, name: str) -> Path:
        """A copy of a shape that a browser can show."""
        if isinstance(shape, Mesh):
            if shape.colors is None:
                shape = Mesh(shape.vertices, shape.faces, np.tile(np.array(CLAY, np.float32), (len(shape.vertices), 1)))
            return save(shape, Path(self._made.name) / f"{name}.glb")
        step = -(-len(shape.points) // _SHOWN_POINTS)
        colors = None if shape.colors is None else shape.colors[::step]
        return save(PointCloud(shape.points[::step], colors), Path(self._made.name) / f"{name}.ply")

    def classify(self, file: Path, labels: str) -> tuple[Prediction, Image.Image]:
        """Name an upload with typed labels, and draw the evidence.

        Raises:
            ConfigError: If the labels are wrong.
            FileFormatError: If the upload is refused or cannot be read.
        """
        names = parse_labels(labels)
        (answer,) = classify_files(self.index.model, [checked_upload(file, FORMATS)], labels=names)
        if answer.prediction is None:
            raise FileFormatError(answer.error or "file must be readable, but it is not. Try another.")
        return answer.prediction, evidence_picture(answer, self.index.model)

    def add(self, folder: str, *, progress: Progress | None = None) -> Report:
        """Index a folder.

        Raises:
            ConfigError: If it lies outside the folders that were allowed when the page was started, and those of the library.
        """
        wanted, allowed = Path(folder).expanduser().resolve(), self.allowed()
        if not folder.strip() or not any(wanted.is_relative_to(root) for root in allowed):
            names = ", ".join(map(str, allowed)) or "none"
            raise ConfigError(f"folder must lie in one that may be indexed ({names}), but got {folder!r}. Start the page with --root DIR.")
        return self.index.add(wanted, work=Work(self.jobs), progress=progress)

    def allowed(self) -> list[Path]:
        """Folders that may be indexed from the page."""
        known = {row.root for row in self.index.tables.known().values()} if self.index.made else set()
        return sorted({Path(root) for root in known} | {root.resolve() for root in self.roots})

    def name(self, labels: str, *, where: str = "", confidence: float = 0.0) -> list[TagAnswer]:
        """Every file named with typed labels."""
        return list(self.index.name(parse_labels(labels), judge=Judge(min_confidence=confidence), where=_parts(where)))

    def close(self) -> None:
        """Remove what was made for the viewer."""
        self._made.cleanup()


def checked_upload(file: Path, kinds: Sequence[str]) -> Path:
    """An upload of a known kind and size.

    Raises:
        FileFormatError: If it is of another kind, or too large.
    """
    kind = file.suffix.lower().lstrip(".")
    if kind not in kinds:
        raise FileFormatError(f"upload must be one of {', '.join(kinds)}, but got {file.name!r}. Choose another file.")
    if file.stat().st_size > limits().upload_bytes:
        got = f"{file.stat().st_size / 2**20:.0f} MB"
        raise FileFormatError(f"upload must be at most {limits().upload_bytes // 2**20} MB, but got {got}. Use basrelief classify for it.")
    return file


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _picture(content: bytes) -> Image.Image:
    from PIL import Image

    return Image.fromarray(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
