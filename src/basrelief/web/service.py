"""The library service behind the page: answers requests of visitors and checks their input."""

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
from basrelief.index import Hit, Index, IndexOptions, Query, Report, TagProposal, describe_file
from basrelief.index.places import PLACE_COLUMNS
from basrelief.index.read import FileOptions
from basrelief.io import FORMATS
from basrelief.limits import limits
from basrelief.markup import visible
from basrelief.processes import Failure, WorkerPool
from basrelief.render import evidence_sheet
from basrelief.tasks import RejectPolicy
from basrelief.types import Prediction, Progress
from basrelief.web.uploads import FileStore
from basrelief.web.workers import (
    RenderedShape,
    ShapeTask,
    ViewerTask,
    prepare_worker,
    read_small_image,
    render_shape,
    warm_up,
    write_viewer_file,
)

if TYPE_CHECKING:
    from jaxtyping import Float32

S = TypeVar("S")
T = TypeVar("T")
IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp")
HITS = 24
_LABELS_PER_PASS = 64
_CACHED_RESULTS = 500
_CONCURRENT_LOOKUPS = 2


@dataclass(frozen=True)
class SearchResults:
    """Hits as the page shows them, best first.

    Attributes:
        thumbnails: Data URL and caption of each.
        paths: Path of each.
    """

    thumbnails: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedShape:
    """A hit that a visitor opened.

    Attributes:
        viewer_file: A .glb or .ply file for the viewer.
        sheet: The depth views, a WebP file.
        description: Format, size and tags of the file in one line.
        relative_path: Path relative to the indexed folder.
    """

    viewer_file: Path
    sheet: Path
    description: str
    relative_path: str


@dataclass
class LibraryService:
    """The library behind the page; any number of threads may use it at once.

    Attributes:
        index: The library.
        roots: Folders that may be indexed from the page, in addition to those already indexed.
        jobs: Worker processes that read files.
        files: Uploads and generated files.
    """

    index: Index
    roots: tuple[Path, ...] = ()
    jobs: int = 1
    files: FileStore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Create the folder for files and the worker processes."""
        self._folder = tempfile.TemporaryDirectory(prefix="basrelief-")
        self.files = FileStore(Path(self._folder.name).resolve())
        self._pool = WorkerPool(self.jobs, prepare=prepare_worker)
        self._cache: OrderedDict[tuple[object, ...], SearchResults] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._text_lock, self._image_lock = threading.Lock(), threading.Lock()  # encoding one by one is faster than several at once
        self._lookups = threading.BoundedSemaphore(_CONCURRENT_LOOKUPS)

    def start(self) -> None:
        """Load the model and start the workers, so that the first visitor need not wait for them."""
        for _ in range(self.jobs):
            threading.Thread(target=self._pool.run, args=(warm_up, None), daemon=True).start()
        if self.index.exists:
            with self._text_lock:
                self.index.model.embed_text(["shape"])

    def make_query(
        self, words: str, *, without: str = "", where: str = "", embeddings: Sequence[Float32[np.ndarray, " dim"]] = ()
    ) -> Query:
        """Build a query from what a visitor typed and uploaded.

        Args:
            words: A phrase.
            without: Phrases to move away from, separated by semicolons.
            where: Filters, separated by semicolons.
            embeddings: Embeddings of uploads, from `embed_image` and `embed_shape`.

        Raises:
            ConfigError: If there is nothing to search for, or too much.
        """
        phrases = [check_length("The search phrase", words.strip())] if words.strip() else []
        excluded, filters = _split("exclusions", without), _split("filters", where)
        return Query(tuple(phrases), without=tuple(excluded), where=tuple(filters), embeddings=tuple(embeddings))

    def search(self, query: Query, *, top_k: int = HITS) -> list[Hit]:
        """Find the shapes that fit a query, with thumbnails; nothing if there is no library yet."""
        if not self.index.exists:
            return []
        with self._text_lock:
            vector = self.index.embed_query(query)
        with self._lookups:
            return self.index.rank(vector, query, top_k=top_k, columns=["thumbnail"])

    def search_results(self, query: Query) -> SearchResults:
        """Search for the page; results without uploads are cached until the library changes."""
        if query.embeddings or not self.index.exists:
            return _results(self.search(query))
        key = (self.index.version, query.words, query.without, query.where)
        results = self._cache.get(key)
        if results is None:
            results = _results(self.search(query))
            with self._cache_lock:
                self._cache[key] = results
                while len(self._cache) > _CACHED_RESULTS:
                    self._cache.popitem(last=False)
        return results

    def embed_image(self, file: Path) -> Float32[np.ndarray, " dim"]:
        """Embed an uploaded image.

        Raises:
            FileFormatError: If it is rejected or cannot be read.
        """
        image = self._run(read_small_image, check_upload(file, IMAGE_SUFFIXES), file)
        with self._image_lock:
            vector: np.ndarray = self.index.model.embed_images([image])[0].cpu().numpy()
        return vector

    def embed_shape(self, file: Path) -> Float32[np.ndarray, " dim"]:
        """Embed an uploaded shape.

        Raises:
            FileFormatError: If it is rejected or cannot be read.
        """
        views = self._embed_views(self._render(file))
        vector: np.ndarray = self.index.model.pool_embeddings(views)[0].cpu().numpy()
        return vector

    def open(self, path: str) -> OpenedShape:
        """Open a file of the library, or a box in a scan, to view it; no other file of this machine is ever read.

        Raises:
            ConfigError: If the library does not hold the path.
            FileFormatError: If it can no longer be read, or nothing is in the box any more.
        """
        rows = self.index.tables.rows("path", [path])
        if not rows:
            raise ConfigError(f"{path!r} is not in the library. Choose one of the results.")
        row = rows[0]
        file, place, kind, up = Path(path), None, row["kind"], row["up"]
        name = row["content_hash"][:32]
        if row["scan"] is not None:
            whole = self.index.tables.rows("path", [row["scan"]], columns=["kind", "up"])
            file, kind, up = Path(row["scan"]), whole[0]["kind"] if whole else "cloud", whole[0]["up"] if whole else None
            place = {column: row[column] for column in PLACE_COLUMNS}
            name += path.rpartition("#")[2]
        name += f"_{up}" if up else ""
        sheet = self.files.generate(f"{name}.webp", lambda target: target.write_bytes(row["sheet"]))
        suffix = ".glb" if kind == "mesh" else ".ply"
        viewer_file = self.files.generate(
            f"{name}{suffix}", lambda target: self._run(write_viewer_file, ViewerTask(file, target, place, up), file)
        )
        return OpenedShape(viewer_file, sheet, describe_file(row), row["relative_path"])

    def classify(self, file: Path, labels: str) -> tuple[Prediction, Path]:
        """Classify an upload with typed labels, and draw the evidence.

        Raises:
            ConfigError: If the labels are wrong.
            FileFormatError: If the upload is rejected or cannot be read.
        """
        names, model = parse_typed_labels(labels), self.index.model
        rendered = self._render(file, thumbnail=True)
        self._cache_label_embeddings(names)
        views = self._embed_views(rendered)
        with self._image_lock:
            (prediction,) = model.classify_views(views, names)
        picture = evidence_sheet(prediction, rendered.pictures, captions=model.input.captions, picture=rendered.thumbnail)
        return prediction, self.files.generate(f"{secrets.token_hex(16)}.webp", lambda target: picture.save(target, quality=85, method=1))

    def add(self, folder: str, *, progress: Progress | None = None) -> Report:
        """Index a folder.

        Raises:
            ConfigError: If it is outside the folders that may be indexed.
        """
        allowed = self.indexable_folders()
        try:
            wanted = Path(folder).expanduser().resolve()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
            wanted = None
        if wanted is None or not folder.strip() or not any(wanted.is_relative_to(root) for root in allowed):
            names = ", ".join(map(str, allowed)) or "none"
            raise ConfigError(
                f"Folder {folder!r} may not be indexed from the page. Allowed: {names}. Allow others with basrelief app --root DIR."
            )
        return self.index.add(wanted, options=IndexOptions(self.jobs), progress=progress)

    def indexable_folders(self) -> list[Path]:
        """Return the folders that may be indexed from the page."""
        indexed = {state.root for state in self.index.tables.indexed_files().values()} if self.index.exists else set()
        return sorted({Path(root) for root in indexed} | {root.resolve() for root in self.roots})

    def propose_tags(self, labels: str, *, where: str = "", min_confidence: float = 0.0) -> list[TagProposal]:
        """Classify every file with typed labels."""
        names, filters = parse_typed_labels(labels), _split("filters", where)
        self._cache_label_embeddings(names)
        return list(self.index.propose_tags(names, policy=RejectPolicy(min_confidence=min_confidence), where=filters))

    def close(self) -> None:
        """Stop the workers and delete all files."""
        self._pool.close()
        self._folder.cleanup()

    def _render(self, file: Path, *, thumbnail: bool = False) -> RenderedShape:
        options = FileOptions(self.index.model.input)
        return self._run(render_shape, ShapeTask(check_upload(file, FORMATS), options, thumbnail), file)

    def _embed_views(self, rendered: RenderedShape) -> torch.Tensor:
        with self._image_lock:
            return self.index.model.embed_prepared([rendered.prepared])

    def _cache_label_embeddings(self, names: Sequence[str]) -> None:
        """Embed labels a few at a time, so that searches can run in between; the model caches the embeddings."""
        for start in range(0, len(names), _LABELS_PER_PASS):
            with self._text_lock:
                self.index.model.embed_text(names[start : start + _LABELS_PER_PASS])

    def _run(self, func: Callable[[S], T], item: S, file: Path) -> T:
        """Call a function that reads a file in a worker process, which a hostile file may crash."""
        size = file.stat().st_size if file.is_file() else 0
        result = self._pool.run(func, item, size=size)
        if isinstance(result, Failure):
            raise FileFormatError(result.reason)
        return result


def check_upload(file: Path, suffixes: Sequence[str]) -> Path:
    """Return an upload of an accepted type and size.

    Raises:
        FileFormatError: If it is of another type, too large, or deleted.
    """
    if file.suffix.lower().lstrip(".") not in suffixes:
        raise FileFormatError(f"{file.name!r} is not of an accepted type: {', '.join(suffixes)}. Choose another file.")
    if not file.is_file():
        raise FileFormatError(f"Upload {file.name!r} has been deleted. Upload it again.")
    if file.stat().st_size > limits().upload_bytes:
        size, limit = file.stat().st_size / 2**20, limits().upload_bytes // 2**20
        raise FileFormatError(f"Upload {file.name!r} has {size:.0f} MB; the limit is {limit} MB. Use basrelief classify for it.")
    return file


def check_length(name: str, text: str) -> str:
    """Return a typed text of acceptable length.

    Raises:
        ConfigError: If it is too long.
    """
    if len(text) > limits().label_characters:
        raise ConfigError(f"{name} has {len(text):,} characters; the limit is {limits().label_characters}. Shorten it.")
    return text


def parse_typed_labels(text: str) -> tuple[str, ...]:
    """Parse labels that a visitor typed, see `parse_labels`; never as a file name, and within `Limits`.

    Raises:
        ConfigError: If they are wrong, too many or too long.
    """
    limit = limits().labels
    if text.count(",") + text.count("\n") > 2 * limit:
        raise ConfigError(f"There are too many labels; the limit is {limit:,}. Leave some out.")
    names = parse_labels(text)
    if len(names) > limit:
        raise ConfigError(f"There are {len(names):,} labels; the limit is {limit:,}. Leave some out.")
    for name in names:
        check_length("A label", name)
    return names


def _split(name: str, text: str) -> list[str]:
    """Split a text at semicolons.

    Raises:
        ConfigError: If there are too many parts, or one is too long.
    """
    parts = [part.strip() for part in text.split(";", limits().filters) if part.strip()]
    if len(parts) > limits().filters:
        raise ConfigError(f"There are more than {limits().filters} {name}. Leave some out.")
    return [check_length(f"One of the {name}", part) for part in parts]


def _results(hits: Sequence[Hit]) -> SearchResults:
    captions = [f"{visible(Path(hit.path).name)}  {hit.score:.3f}" for hit in hits]
    pictures = [_data_url(hit.metadata["thumbnail"]) for hit in hits]
    return SearchResults(tuple(zip(pictures, captions, strict=True)), tuple(hit.path for hit in hits))


def _data_url(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"
