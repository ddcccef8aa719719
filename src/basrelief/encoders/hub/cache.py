"""The hub's folder on this machine: which files are there, and where a new one goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from basrelief.encoders.hub.repository import HubFile, Repository, is_safe_path, split_kind
from basrelief.output import make_folder, output_errors, write_text


def cached_names(repository: str) -> list[str]:
    """List the files of a repository that are on this machine, as paths inside it; never uses the network."""
    snapshot = _snapshot(repository)
    if snapshot is None:
        return []
    found = (path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
    return sorted(name for name in found if is_safe_path(name))


def cached_file(repository: str, names: Sequence[str]) -> Path | None:
    """Return the first of these files of a repository that is on this machine, or None; never uses the network."""
    snapshot = _snapshot(repository)
    return None if snapshot is None else next((path for path in (snapshot / name for name in names) if path.is_file()), None)


def hub_folder(repository: str) -> Path:
    """Return the folder of a repository in the hub's cache, which `HF_HUB_CACHE` moves."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    identifier, kind = split_kind(repository)
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=identifier, repo_type=kind)


def blob_path(repository: str, file: HubFile) -> Path:
    """Return where the content of a file lies: named by its hash."""
    return hub_folder(repository) / "blobs" / file.digest


def has_file(repository: str, file: HubFile) -> bool:
    """Whether the content of a file is on this machine, in its size."""
    blob = blob_path(repository, file)
    return blob.is_file() and blob.stat().st_size == file.size


def link_file(repository: Repository, file: HubFile) -> Path:
    """Give a downloaded file its name and make its revision the newest, as huggingface_hub does; return its path.

    Raises:
        OutputError: If the folder cannot be written to.
    """
    folder, blob = hub_folder(repository.name), blob_path(repository.name, file)
    path = folder / "snapshots" / repository.commit / file.name
    make_folder(path.parent)
    with output_errors(path):
        if not path.is_file():
            path.unlink(missing_ok=True)  # a link whose file is gone
            _link(blob, path)
    write_text(folder / "refs" / "main", repository.commit)
    return path


def _link(blob: Path, path: Path) -> None:
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except (OSError, NotImplementedError):  # Windows without developer mode
        path.hardlink_to(blob)


def _snapshot(repository: str) -> Path | None:
    """The newest revision on this machine."""
    folder = hub_folder(repository)
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    path = folder / "snapshots" / commit
    return path if is_safe_path(commit) and path.is_dir() else None
