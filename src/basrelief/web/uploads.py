"""Files that visitors upload: how many, how large, and how long they are kept."""

from __future__ import annotations

import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Lock

from anyio.to_thread import run_sync
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from basrelief.limits import limits

_NAME_CHARACTERS = 100


@dataclass(frozen=True)
class _StoredFile:
    owner: str
    size: int


class FileStore:
    """Uploads, and files generated for visitors; the oldest are deleted when they take too much space.

    Attributes:
        uploads: Folder of the uploads, each in a subfolder of its own.
        generated: Folder of the generated files, which browsers may load.
    """

    def __init__(self, folder: Path) -> None:
        self.uploads, self.generated = folder / "uploads", folder / "generated"
        for each in (self.uploads, self.generated):
            each.mkdir()
        self._files: OrderedDict[Path, _StoredFile] = OrderedDict()
        self._lock = Lock()

    def add(self, file: Path, *, owner: str = "") -> None:
        """Register a file that was just written, and delete the oldest ones beyond the limits.

        Args:
            file: A file in one of the folders.
            owner: Address of the visitor who uploaded it; empty for a generated file.
        """
        with self._lock:
            self._files[file] = _StoredFile(owner, file.stat().st_size)
            self._files.move_to_end(file)
            if owner:
                self._shrink([path for path, stored in self._files.items() if stored.owner == owner], limits().visitor_bytes)
            self._shrink(list(self._files), limits().kept_bytes)

    def __contains__(self, file: str | Path) -> bool:
        return Path(file) in self._files

    def new_upload_path(self, name: str) -> Path:
        """Return an unguessable path for an upload of this name."""
        folder = self.uploads / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder / safe_name(name)

    def generate(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return a generated file, writing it if it is not there.

        Args:
            name: File name, which must determine the content.
            write: Writes the content to a path with the suffix of `name`.
        """
        path = self.generated / name
        if path not in self:
            part = self.generated / f".{secrets.token_hex(16)}{path.suffix}"
            try:
                write(part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        self.add(path)
        return path

    def _shrink(self, files: list[Path], limit: int) -> None:
        total = sum(self._files[file].size for file in files)
        for file in files[:-1]:  # the newest stays
            if total <= limit:
                return
            total -= self._files.pop(file).size
            file.unlink(missing_ok=True)
            if file.parent.parent == self.uploads:
                shutil.rmtree(file.parent, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return the name of an upload reduced to letters, digits and `. _ -`, with its suffix."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name.replace("\\", "/").rpartition("/")[2])
    return plain.lstrip(".")[-_NAME_CHARACTERS:] or "upload"


async def receive_uploads(request: Request, store: FileStore, suffixes: Collection[str]) -> Response:
    """Store the files of a multipart request, as Gradio's page sends them.

    Args:
        request: The request.
        store: Where the files go.
        suffixes: Accepted suffixes, without dot.

    Returns:
        The path of each file as JSON, for later calls to name.

    Raises:
        HTTPException: If the request is malformed, or a file is too large or of another kind.
    """
    owner = request.client.host if request.client else "?"
    paths = []
    async with request.form(max_files=limits().uploads_per_request, max_fields=1) as form:
        for upload in form.getlist("files"):
            if not isinstance(upload, UploadFile):
                raise HTTPException(HTTPStatus.BAD_REQUEST, "The upload holds something that is not a file.")
            if (upload.size or 0) > limits().upload_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"An upload may have at most {limits().upload_bytes:,} bytes.")
            if Path(upload.filename or "").suffix.lower().lstrip(".") not in suffixes:
                raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Files of this type are not accepted. Use {', '.join(suffixes)}.")
            path = store.new_upload_path(upload.filename or "")
            await run_sync(partial(_copy, upload, path))
            store.add(path, owner=owner)
            paths.append(str(path))
    return JSONResponse(paths)


async def report_progress(_request: Request) -> Response:
    """Answer Gradio's page, which asks for the progress of an upload, that it is done."""
    return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")


def _copy(upload: UploadFile, path: Path) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        shutil.copyfileobj(upload.file, file)
