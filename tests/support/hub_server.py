"""A local Hugging Face hub: listings, redirects to a second host, ranges, and failures on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

_LFS = (".safetensors", ".bin", ".pth", ".pt", ".npy", ".npz", ".h5", ".zip")
_RESOLVE = re.compile(r"/(?P<repository>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_LISTED = re.compile(r"/api/(?:models/)?(?P<repository>(?:datasets/)?[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?")


@dataclass
class HubRepository:
    """A repository of the local hub. Whatever is set here is what the hub says, true or not.

    Attributes:
        files: Content by path.
        card: Metadata of its card, e.g. `{"license": "mit"}`.
        gated: Whether it refuses requests without a token.
        commit: Its only revision.
        listed: Entries of the listing that replace or add to those of `files`, by path.
        served: Content that is sent in place of that of `files`, by path.
        cut: Bytes after which the connection is closed, by path; one number for each of the next requests.
        ignores_ranges: Whether it always sends whole files.
        status: Answer everything with this status, if not 0.
    """

    files: dict[str, bytes]
    card: dict[str, Any] = field(default_factory=lambda: {"license": "mit"})
    gated: bool = False
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    ignores_ranges: bool = False
    status: int = 0

    def listing(self) -> list[dict[str, Any]]:
        entries = {name: _entry(name, content) for name, content in self.files.items()}
        return list({**entries, **self.listed}.values())


def _entry(name: str, content: bytes) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
    if name.endswith(_LFS):
        entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


@dataclass(frozen=True)
class Request:
    """A request that the hub received."""

    method: str
    path: str
    range: str
    token: str


class LocalHub:
    """The server. `repositories` may be changed while it runs; `requests` holds what was asked.

    Attributes:
        repositories: By name, `owner/name`, or `datasets/owner/name`.
        requests: In order.
        endpoint: Its address, for `HF_ENDPOINT`.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, HubRepository] = {}
        self.requests: list[Request] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = f"http://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def downloads(self, name: str = "") -> list[Request]:
        """Requests for the content of files, of one name or all."""
        return [r for r in self.requests if r.method == "GET" and not r.path.startswith("/api/") and r.path.endswith(name)]

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables that make huggingface_hub of another process use this hub."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def use(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Make huggingface_hub of this process use this hub."""
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", self.endpoint)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@contextmanager
def local_hub(**repositories: HubRepository) -> Iterator[LocalHub]:
    """Run a hub, with repositories by name; `__` in a name stands for `/`."""
    hub = LocalHub()
    hub.repositories.update({name.replace("__", "/"): repository for name, repository in repositories.items()})
    try:
        yield hub
    finally:
        hub.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range", ""), self.headers.get("Authorization", "")))
        stored = path.startswith("/storage/")
        match = _LISTED.fullmatch(path) or _RESOLVE.fullmatch(path.removeprefix("/storage"))
        repository = self.hub.repositories.get(match["repository"]) if match else None
        if match is None or repository is None:
            self._refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound")
        elif repository.status:
            self._refuse(repository.status, "")
        elif path.startswith("/api/"):
            self._list(match["repository"], repository)
        elif match["revision"] not in ("main", repository.commit):
            self._refuse(404, "RevisionNotFound")
        elif repository.gated and not stored and not self.headers.get("Authorization"):
            self._refuse(401, "GatedRepo")
        elif match["file"] not in {**repository.files, **repository.served}:
            self._refuse(404, "EntryNotFound")
        elif match["file"].endswith(_LFS) and not stored:
            self._redirect(repository, match["file"], path)
        else:
            self._send_file(repository, match["file"])

    def _list(self, name: str, repository: HubRepository) -> None:
        record = {
            "id": name.removeprefix("datasets/"),
            "sha": repository.commit,
            "private": False,
            "gated": "auto" if repository.gated else False,
            "cardData": repository.card,
            "tags": [],
            "siblings": repository.listing(),
        }
        self._send(200, json.dumps(record).encode(), {"Content-Type": "application/json"})

    def _redirect(self, repository: HubRepository, name: str, path: str) -> None:
        entry = _entry(name, repository.files.get(name, b""))
        headers = {
            "Location": f"{self.hub.storage}/storage{path}",
            "X-Repo-Commit": repository.commit,
            "X-Linked-Size": str(entry["size"]),
            "X-Linked-Etag": f'"{entry["lfs"]["sha256"]}"',
        }
        self._send(302, b"", headers)

    def _send_file(self, repository: HubRepository, name: str) -> None:
        content = repository.served.get(name, repository.files.get(name, b""))
        entry = _entry(name, content)
        headers = {"ETag": f'"{entry.get("lfs", {}).get("sha256") or entry["blobId"]}"', "X-Repo-Commit": repository.commit}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and not repository.ignores_ranges else 0
        if asked and start >= len(content) and start:
            return self._refuse(416, "")
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cuts = repository.cut.get(name, [])
        return self._send(status, content[start:], headers, stop=cuts.pop(0) if cuts and self.command == "GET" else None)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code} if code else {})

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, stop: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:stop])
        if stop is not None:
            self.wfile.flush()
            self.close_connection = True
