"""Files that visitors upload: how many, how large, and how long they are kept."""

from __future__ import annotations

import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
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
class _Kept:
    owner: str
    size: int


class KeptFiles:
    """The uploads, and what the page makes for visitors; the oldest are deleted once they take too much room.

    Attributes:
        uploads: Folder of the uploads, each in a folder of its own.
        shown: Folder of what the page made; browsers may load from it.
    """

    def __init__(self, folder: Path) -> None:
        self.uploads, self.shown = folder / "uploads", folder / "shown"
        for each in (self.uploads, self.shown):
            each.mkdir()
        self._files: OrderedDict[Path, _Kept] = OrderedDict()
        self._lock = Lock()

    def add(self, file: Path, *, owner: str = "") -> None:
        """Count a file that was just written, and delete the oldest ones where there is too much.

        Args:
            file: In one of the folders.
            owner: Address of the visitor who sent it; empty for a file that the page made itself.
        """
        with self._lock:
            self._files[file] = _Kept(owner, file.stat().st_size)
            self._files.move_to_end(file)
            if owner:
                self._shrink([path for path, kept in self._files.items() if kept.owner == owner], limits().visitor_bytes)
            self._shrink(list(self._files), limits().kept_bytes)

    def __contains__(self, file: str | Path) -> bool:
        return Path(file) in self._files

    def new_path(self, name: str) -> Path:
        """A path nobody can guess for an upload of this name."""
        folder = self.uploads / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder / safe_name(name)

    def made(self, name: str, write: Callable[[Path], object]) -> Path:
        """A file that the page makes, written once.

        Args:
            name: Says what is in it; a file of this name is not written again.
            write: Writes it to a path with the suffix of `name`.
        """
        path = self.shown / name
        if path not in self:
            part = self.shown / f".{secrets.token_hex(16)}{path.suffix}"
            try:
                write(part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        self.add(path)
        return path

    def _shrink(self, files: list[Path], most: int) -> None:
        total = sum(self._files[file].size for file in files)
        for file in files[:-1]:  # the newest stays
            if total <= most:
                return
            total -= self._files.pop(file).size
            file.unlink(missing_ok=True)
            if file.parent.parent == self.uploads:
                shutil.rmtree(file.parent, ignore_errors=True)


def safe_name(name: str) -> str:
    """The name of an upload with nothing in it but letters, digits and `. _ -`, its suffix kept."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name.replace("\\", "/").rpartition("/")[2])
    return plain.lstrip(".")[-_NAME_CHARACTERS:] or "upload"


async def receive_uploads(request: Request, kept: KeptFiles, kinds: Collection[str]) -> Response:
    """Take the files of a multipart request, as Gradio's page sends them.

    Args:
        request: The request.
        kept: Where they go.
        kinds: Suffixes that are taken, without dot.

    Returns:
        JSON: the path of each file, which a later call names; 400 or 413 in a few words where the request is malformed or too large.
    """
    owner = request.client.host if request.client else "?"
    paths = []
    async with request.form(max_files=limits().uploads_per_request, max_fields=1) as form:
        for upload in form.getlist("files"):
            if not isinstance(upload, UploadFile):
                raise HTTPException(400, "files must be files")
            if (upload.size or 0) > limits().upload_bytes:
                raise HTTPException(413, f"An upload must have at most {limits().upload_bytes:,} bytes.")
            if Path(upload.filename or "").suffix.lower().lstrip(".") not in kinds:
                raise HTTPException(415, f"An upload must be one of {', '.join(kinds)}.")
            path = kept.new_path(upload.filename or "")
            await run_sync(partial(_copy, upload, path))
            kept.add(path, owner=owner)
            paths.append(str(path))
    return JSONResponse(paths)


def _copy(upload: UploadFile, path: Path) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        shutil.copyfileobj(upload.file, file)


async def upload_progress(_request: Request) -> Response:
    """Tell Gradio's page, which asks while it uploads, that there is nothing to tell."""
    return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")
