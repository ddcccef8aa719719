"""What a repository of the hub holds: files with sizes and hashes, licence, revision. Everything it says is checked first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from basrelief.encoders.hub.licences import NO_LICENCE
from basrelief.errors import WeightsNotFoundError

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

DATASETS = "datasets/"
"""How the name of a data set repository begins, as in the address of its page."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 10_000
_SECONDS = 20.0
_LONGEST = 200


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, as the hub describes it.

    Attributes:
        name: Path inside the repository, relative, separated by `/`.
        size: Bytes.
        sha256: Of the content, for files in Git LFS; else empty.
        git_sha1: Git's object id, which is a hash of the content for files that are not in Git LFS.
    """

    name: str
    size: int
    sha256: str
    git_sha1: str

    @property
    def digest(self) -> str:
        """The hash that the content must have, and its name in the hub's cache."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class Repository:
    """A repository at one revision.

    Attributes:
        name: `owner/name`, or `datasets/owner/name` for a data set.
        commit: The revision, 40 hexadecimal digits.
        licence: As its card states it, or `none stated`.
        gated: Whether its terms must be accepted on the hub's page before a download.
        files: By name.
        endpoint: Address of the hub it was listed by.
    """

    name: str
    commit: str
    licence: str
    gated: bool
    files: dict[str, HubFile]
    endpoint: str

    @property
    def page(self) -> str:
        """Address of its page."""
        return f"{self.endpoint}/{self.name}"


def list_repository(name: str) -> Repository:
    """Ask the hub what a repository holds; `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are respected.

    Args:
        name: `owner/name`, or `datasets/owner/name` for a data set.

    Raises:
        WeightsNotFoundError: If the hub cannot be asked, the repository is not there or closed, or the answer makes no sense.
    """
    from huggingface_hub import HfApi, constants

    endpoint = str(constants.ENDPOINT).rstrip("/")
    try:
        api, (identifier, kind) = HfApi(endpoint=endpoint), split_kind(name)
        ask = api.dataset_info if kind == "dataset" else api.model_info
        info = ask(identifier, files_metadata=True, timeout=_SECONDS)
        commit, files = str(info.sha), {file.name: file for file in _files(info)}
    except Exception as error:  # the hub's client raises the errors of whichever HTTP library it has
        raise WeightsNotFoundError(explain(error, name, endpoint)) from error
    if not _COMMIT.fullmatch(commit):
        raise WeightsNotFoundError(f"{endpoint} names no revision of {name}. Check HF_ENDPOINT.")
    if len(files) > _MOST_FILES:
        raise WeightsNotFoundError(f"{name} lists {len(files):,} files, more than {_MOST_FILES:,}. It is no repository of weights.")
    return Repository(name, commit, _licence(info), bool(info.gated), files, endpoint)


def split_kind(name: str) -> tuple[str, Literal["dataset", "model"]]:
    """Split the name of a repository into the hub's own, `owner/name`, and its kind."""
    return (name.removeprefix(DATASETS), "dataset") if name.startswith(DATASETS) else (name, "model")


def explain(error: Exception, repository: str, endpoint: str) -> str:
    """Say why the hub did not give what was asked for, and what to do.

    Args:
        error: What the hub's client raised.
        repository: `owner/name`.
        endpoint: Address of the hub.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    page = f"{endpoint}/{repository}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repository} cannot be fetched while HF_HUB_OFFLINE is set."
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated. Accept its terms at {page}, then set HF_TOKEN or run: hf auth login."
    if isinstance(error, RepositoryNotFoundError):
        return f"{repository} is not on {endpoint}, or it is private. Check HF_ENDPOINT and HF_TOKEN."
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return f"{endpoint} answered with status {error.response.status_code} for {repository}. Try again later."
    reason = str(error).strip().split("\n")[0][:_LONGEST] or type(error).__name__
    return f"{endpoint} did not deliver {repository}: {reason.rstrip('.')}. Check the network, HF_ENDPOINT and the proxy settings."


def _files(info: ModelInfo | DatasetInfo) -> Iterator[HubFile]:
    """Files with a safe path, a size and a hash; others cannot be fetched and are left out."""
    for entry in info.siblings or ():
        sha256 = str(entry.lfs.sha256) if entry.lfs else ""
        size = entry.lfs.size if entry.lfs else entry.size
        whole = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        hashed = _SHA256.fullmatch(sha256) if entry.lfs else _COMMIT.fullmatch(str(entry.blob_id))
        if whole and hashed and is_safe_path(entry.rfilename):
            yield HubFile(entry.rfilename, int(size or 0), sha256, str(entry.blob_id or ""))


def is_safe_path(name: object) -> bool:
    """Whether a name is a path that stays inside the folder it is joined to, on every system."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not name.isprintable():
        return False
    parts = name.split("/")
    return not set(name) & set('\\:*?"<>|') and all(part.strip(". ") and part == part.rstrip(". ") for part in parts)


def _licence(info: ModelInfo | DatasetInfo) -> str:
    card: Any = info.card_data
    stated = [_plain(getattr(card, field, None)) for field in ("license", "license_name", "license_link")]
    identifier, name, link = stated
    if identifier in ("", "other", "unknown"):
        identifier = name or identifier or NO_LICENCE
    return f"{identifier} ({link})" if link.startswith("https://") else identifier


def _plain(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
    return "".join(c for c in text if c.isprintable())[:_LONGEST].strip()
