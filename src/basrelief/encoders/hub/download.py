"""Download one file of a repository: resumed where it stopped, never larger than the hub said, verified by its hash, renamed at the end.

huggingface_hub 1.18 and later start every download anew, and no version compares hashes. Its `http_get` does the transfer, in blocks
of 10 MB; a block that is cut is fetched again.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from typing import IO

from basrelief.encoders.hub.cache import blob_path, has_file, hub_folder, link_file
from basrelief.encoders.hub.repository import HubFile, Repository, explain, split_kind
from basrelief.errors import OutputError, WeightsNotFoundError
from basrelief.output import make_folder, output_errors


def download(repository: Repository, file: HubFile) -> Path:
    """Fetch a file into the hub's cache unless it is there; a transfer that was cut is continued. Progress is shown on a terminal.

    Args:
        repository: From `list_repository`.
        file: One of its files.

    Returns:
        Its path in the cache.

    Raises:
        WeightsNotFoundError: If the transfer fails, or what arrives is not what the hub listed.
        OutputError: If it cannot be written.
    """
    from filelock import FileLock

    blob = blob_path(repository.name, file)
    lock = hub_folder(repository.name).parent / ".locks" / hub_folder(repository.name).name / f"{file.digest}.lock"
    make_folder(blob.parent), make_folder(lock.parent)
    with FileLock(lock):
        if not has_file(repository.name, file):
            part = blob.with_name(f"{blob.name}.incomplete")
            _transfer(repository, file, part)
            _verify(repository, file, part)
            with output_errors(blob):
                part.replace(blob)
        return link_file(repository, file)


class _Bounded:
    """A file for `http_get` that takes at most `size` bytes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.tell, self.seek, self.truncate, self.flush = file.tell, file.seek, file.truncate, file.flush

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._size:
            raise _TooLongError
        return self._file.write(data)


class _TooLongError(Exception):
    """More bytes came than the hub listed."""


def _transfer(repository: Repository, file: HubFile, part: Path) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    have = part.stat().st_size if part.is_file() else 0
    if have > file.size:
        have = 0
    _check_space(part, file.size - have)
    identifier, kind = split_kind(repository.name)
    url = hf_hub_url(identifier, file.name, repo_type=kind, revision=repository.commit, endpoint=repository.endpoint)
    with output_errors(part):
        target = part.open("r+b" if have else "wb")
    with target:
        target.seek(have)
        target.truncate()
        try:
            http_get(
                url,
                _Bounded(target, file.size),  # type: ignore[arg-type]
                resume_size=have,
                headers={**build_hf_headers(), "Accept-Encoding": "identity"},  # a packed file cannot be resumed
                expected_size=file.size,
                displayed_filename=file.name,
            )
        except _TooLongError as error:
            target.truncate(0)
            raise WeightsNotFoundError(
                f"{file.name} of {repository.name} is larger than the {file.size:,} bytes that the hub lists. It was deleted; "
                "try again later."
            ) from error
        except Exception as error:  # the hub's client raises the errors of whichever HTTP library it has
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(f"Cannot write {str(part)!r}: {error.strerror}. Free some space or set HF_HUB_CACHE.") from error
            raise WeightsNotFoundError(_stopped(repository, file, target.tell(), error)) from error


def _stopped(repository: Repository, file: HubFile, have: int, error: Exception) -> str:
    reason = explain(error, repository.name, repository.endpoint)
    return f"{file.name} stopped after {have:,} of {file.size:,} bytes; run the same command again to resume. {reason}"


def _verify(repository: Repository, file: HubFile, part: Path) -> None:
    """Compare size and hash with the hub's, and delete a file that differs."""
    with part.open("rb") as content:
        size = part.stat().st_size
        digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := content.read(1 << 22):
            digest.update(block)
    if digest.hexdigest() != file.digest:
        part.unlink()
        raise WeightsNotFoundError(
            f"{file.name} of {repository.name} arrived with hash {digest.hexdigest()[:12]}, but the hub lists {file.digest[:12]}. "
            "It was deleted; fetch it again."
        )


def _check_space(part: Path, needed: int) -> None:
    with output_errors(part):
        free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OutputError(
            f"Cannot write {str(part)!r}: {needed:,} bytes are needed and {free:,} are free. Free some space or set HF_HUB_CACHE."
        )
