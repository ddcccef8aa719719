"""What the page does, without the page: every answer to what a visitor asks, and what is refused."""

from __future__ import annotations

import base64
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from basrelief.datasets import parse_labels
from basrelief.errors import ConfigError, FileFormatError
from basrelief.index import Hit, Index, Query, Report, TagAnswer, Work, facts
from basrelief.io import FORMATS
from basrelief.limits import limits
from basrelief.markup import visible
from basrelief.models import Progress
from basrelief.processes import Failure, WorkerPool
from basrelief.render import evidence_sheet
from basrelief.tasks import RejectPolicy
from basrelief.types import Prediction
from basrelief.web.read import DrawnShape, ShapeJob, ViewerJob, draw_shape, import_drawing, small_picture, start_reader, write_viewer_file
from basrelief.web.uploads import KeptFiles

if TYPE_CHECKING:
    from jaxtyping import Float32

S = TypeVar("S")
T = TypeVar("T")
PICTURES = ("png", "jpg", "jpeg", "webp", "bmp")
HITS = 24
_LABELS_AT_ONCE = 64
_ANSWERS = 500
_LOOKUPS = 2


@dataclass(frozen=True)
class Answer:
    """Hits as the page shows them, best first.

    Attributes:
        thumbnails: Data address and caption of each.
        paths: Path of each.
    """

    thumbnails: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedShape:
    """A hit that was opened.

    Attributes:
        viewer_file: A .glb or .ply for the viewer.
        sheet: The depth views, a WebP file.
        facts: What is known of the file.
        place: Where it lies in its folder.
    """

    viewer_file: Path
    sheet: Path
    facts: str
    place: str


@dataclass
class LibraryService:
    """The library behind the page; any number of threads may ask it at once.

    Attributes:
        index: The library.
        roots: Folders that may be indexed from the page, beside those that are.
        jobs: Processes that read files.
        files: Uploads, and what is made for the viewer.
    """

    index: Index
    roots: tuple[Path, ...] = ()
    jobs: int = 1
    files: KeptFiles = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the folder for files and the processes that read them."""
        self._home = tempfile.TemporaryDirectory(prefix="basrelief-")
        self.files = KeptFiles(Path(self._home.name).resolve())
        self._pool = WorkerPool(self.jobs, prepare=start_reader)
        self._answers: OrderedDict[tuple[object, ...], Answer] = OrderedDict()
        self._lock = threading.Lock()
        self._texts, self._images = threading.Lock(), threading.Lock()  # one at a time is read faster than several at once
        self._lookups = threading.BoundedSemaphore(_LOOKUPS)

    def start(self) -> None:
        """Load the model and start the processes, so that the first visitor need not wait for them."""
        for _ in range(self.jobs):
            threading.Thread(target=self._pool.run, args=(import_drawing, None), daemon=True).start()
        if self.index.made:
            with self._texts:
                self.index.model.embed_text(["shape"])

    def search(self, query: Query, *, top_k: int = HITS) -> list[Hit]:
        """Find what fits a query, with thumbnails; nothing in an empty library."""
        if not self.index.made:
            return []
        with self._texts:
            vector = self.index.embed(query)
        with self._lookups:
            return self.index.rank(vector, query, top_k=top_k, columns=["thumbnail"])

    def query(self, words: str, *, without: str = "", where: str = "", vectors: Sequence[Float32[np.ndarray, " dim"]] = ()) -> Query:
        """What was typed and dropped as a query; filters and phrases to keep away from are separated by semicolons.

        Args:
            words: A phrase.
            without: Phrases to keep away from.
            where: Filters.
            vectors: Of uploads, from `picture_vector` and `shape_vector`.

        Raises:
            ConfigError: If there is nothing to look for, or too much.
        """
        phrases = [checked_text("words", words.strip())] if words.strip() else []
        away, filters = _parts("phrases", without), _parts("filters", where)
        return Query(tuple(phrases), without=tuple(away), where=tuple(filters), vectors=tuple(vectors))

    def picture_vector(self, file: Path) -> Float32[np.ndarray, " dim"]:
        """Embed an uploaded picture.

        Raises:
            FileFormatError: If it is refused or cannot be read.
        """
        picture = self._read(small_picture, checked_upload(file, PICTURES), file)
        with self._images:
            vector: np.ndarray = self.index.model.embed_images([picture])[0].cpu().numpy()
        return vector

    def shape_vector(self, file: Path) -> Float32[np.ndarray, " dim"]:
        """Embed an uploaded shape.

        Raises:
            FileFormatError: If it is refused or cannot be read.
        """
        drawn = self._draw(file)
        with self._images:
            views = self.index.model.embed_depth_images(torch.from_numpy(drawn.images)[None])
        vector: np.ndarray = torch.nn.functional.normalize(views.mean(dim=1), dim=-1)[0].cpu().numpy()
        return vector

    def answer(self, query: Query) -> Answer:
        """Find what fits a query, ready for the page; the same words are looked up again once the library changed."""
        if query.vectors or not self.index.made:
            return _answer(self.search(query))
        key = (self.index.version, query.words, query.without, query.where)
        known = self._answers.get(key)
        if known is None:
            known = _answer(self.search(query))
            with self._lock:
                self._answers[key] = known
                while len(self._answers) > _ANSWERS:
                    self._answers.popitem(last=False)
        return known

    def open(self, path: str) -> OpenedShape:
        """A file of the library to look at; no other file of this machine is ever read.

        Raises:
            ConfigError: If the library does not hold the path.
            FileFormatError: If it cannot be read any more.
        """
        rows = self.index.tables.rows("path", [path])
        if not rows:
            raise ConfigError(f"path must be one of the library, but got {path!r}. Choose a hit.")
        row = rows[0]
        name = row["content"][:32]
        sheet = self.files.made(f"{name}.webp", lambda target: target.write_bytes(row["sheet"]))
        suffix = ".glb" if row["kind"] == "mesh" else ".ply"
        viewer = self.files.made(f"{name}{suffix}", lambda target: self._read(write_viewer_file, ViewerJob(Path(path), target), Path(path)))
        return OpenedShape(viewer, sheet, facts(Hit(path, 0.0, 0, False, row)), row["place"])

    def classify(self, file: Path, labels: str) -> tuple[Prediction, Path]:
        """Name an upload with typed labels, and draw the evidence.

        Raises:
            ConfigError: If the labels are wrong.
            FileFormatError: If the upload is refused or cannot be read.
        """
        names, model = typed_labels(labels), self.index.model
        drawn = self._draw(file, portrait=True)
        self._embed_labels(names)
        with self._images:
            views = model.embed_depth_images(torch.from_numpy(drawn.images)[None])
            (prediction,) = model.classify_views(views, names)
        picture = evidence_sheet(prediction, drawn.images, cameras=model.projection.cameras, picture=drawn.portrait)
        return prediction, self.files.made(f"{secrets.token_hex(16)}.webp", lambda target: picture.save(target, quality=85, method=1))

    def add(self, folder: str, *, progress: Progress | None = None) -> Report:
        """Index a folder.

        Raises:
            ConfigError: If it lies outside the folders that were allowed when the page was started, and those of the library.
        """
        allowed = self.allowed()
        try:
            wanted = Path(folder).expanduser().resolve()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
            wanted = None
        if wanted is None or not folder.strip() or not any(wanted.is_relative_to(root) for root in allowed):
            names = ", ".join(map(str, allowed)) or "none"
            raise ConfigError(f"folder must lie in one that may be indexed ({names}), but got {folder!r}. Start the page with --root DIR.")
        return self.index.add(wanted, work=Work(self.jobs), progress=progress)

    def allowed(self) -> list[Path]:
        """Folders that may be indexed from the page."""
        known = {row.root for row in self.index.tables.known().values()} if self.index.made else set()
        return sorted({Path(root) for root in known} | {root.resolve() for root in self.roots})

    def name(self, labels: str, *, where: str = "", confidence: float = 0.0) -> list[TagAnswer]:
        """Name every file with typed labels."""
        names, filters = typed_labels(labels), _parts("filters", where)
        self._embed_labels(names)
        return list(self.index.name(names, policy=RejectPolicy(min_confidence=confidence), where=filters))

    def close(self) -> None:
        """End the processes and remove all files."""
        self._pool.close()
        self._home.cleanup()

    def _draw(self, file: Path, *, portrait: bool = False) -> DrawnShape:
        model = self.index.model
        job = ShapeJob(checked_upload(file, FORMATS), model.projection, model.recipe.points, model.recipe.strays, portrait)
        return self._read(draw_shape, job, file)

    def _embed_labels(self, names: Sequence[str]) -> None:
        """Embed labels a few at a time, so that others can search between; the model remembers them."""
        for start in range(0, len(names), _LABELS_AT_ONCE):
            with self._texts:
                self.index.model.embed_text(names[start : start + _LABELS_AT_ONCE])

    def _read(self, func: Callable[[S], T], item: S, file: Path) -> T:
        """Call a function that reads a file, in a process that may die of it."""
        size = file.stat().st_size if file.is_file() else 0
        result = self._pool.run(func, item, size=size)
        if isinstance(result, Failure):
            raise FileFormatError(result.reason)
        return result


def checked_upload(file: Path, kinds: Sequence[str]) -> Path:
    """An upload of a known kind and size.

    Raises:
        FileFormatError: If it is of another kind, or too large.
    """
    kind = file.suffix.lower().lstrip(".")
    if kind not in kinds:
        raise FileFormatError(f"upload must be one of {', '.join(kinds)}, but got {file.name!r}. Choose another file.")
    if not file.is_file():
        raise FileFormatError(f"upload must still be kept, but {file.name!r} is not. Upload it again.")
    if file.stat().st_size > limits().upload_bytes:
        got = f"{file.stat().st_size / 2**20:.0f} MB"
        raise FileFormatError(f"upload must be at most {limits().upload_bytes // 2**20} MB, but got {got}. Use basrelief classify for it.")
    return file


def checked_text(name: str, text: str) -> str:
    """A typed phrase of acceptable length.

    Raises:
        ConfigError: If it is too long.
    """
    if len(text) > limits().label_characters:
        raise ConfigError(f"{name} must have at most {limits().label_characters} characters, but got {len(text):,}. Shorten them.")
    return text


def typed_labels(text: str) -> tuple[str, ...]:
    """Labels that a visitor typed, see `parse_labels`; as many and as long as `Limits` allows.

    Raises:
        ConfigError: If they are wrong, too many or too long.
    """
    most = limits().labels
    if text.count(",") + text.count("\n") > 2 * most:
        raise ConfigError(f"labels must be at most {most:,}, but got more. Leave some out.")
    names = parse_labels(text)
    if len(names) > most:
        raise ConfigError(f"labels must be at most {most:,}, but got {len(names):,}. Leave some out.")
    for name in names:
        checked_text("labels", name)
    return names


def _parts(name: str, text: str) -> list[str]:
    """What semicolons separate.

    Raises:
        ConfigError: If there are too many, or one is too long.
    """
    parts = [part.strip() for part in text.split(";", limits().filters) if part.strip()]
    if len(parts) > limits().filters:
        raise ConfigError(f"{name} must be at most {limits().filters}, but got more. Leave some out.")
    return [checked_text(name, part) for part in parts]


def _answer(hits: Sequence[Hit]) -> Answer:
    captions = [f"{visible(Path(hit.path).name)}  {hit.score:.3f}" for hit in hits]
    pictures = [_data_address(hit.about["thumbnail"]) for hit in hits]
    return Answer(tuple(zip(pictures, captions, strict=True)), tuple(hit.path for hit in hits))


def _data_address(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"
