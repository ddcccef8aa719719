"""On-disk cache of vectors by fingerprint and text: text features, and view features of long runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.folders import cache_folder

_SECONDS = 10.0
_ASK = 500
_MOST_BYTES = 1 << 24
_SELECT = f"SELECT key, vector FROM text WHERE typeof(vector) = 'blob' AND length(vector) <= {_MOST_BYTES}"


class VectorCache:
    """Cache in one SQLite file: hash of a fingerprint and a text to float32 vector.

    Several processes may use it at once. It never raises: a broken file is renamed, and a file that cannot be read or written, is a link
    or belongs to another user, who might have planted it, is ignored. The folder is private to the user.

    Attributes:
        path: The file.
        limit: Maximum number of vectors; the oldest are dropped first.
    """

    def __init__(self, path: Path | str, *, limit: int = 200_000) -> None:
        self.path = Path(path)
        self.limit = limit

    @classmethod
    def shared(cls, name: str, *, limit: int = 200_000) -> VectorCache:
        """Return the cache of that name in the user's cache folder, or in `BASRELIEF_CACHE`."""
        return cls(cache_folder() / f"{name}.sqlite", limit=limit)

    def get(self, fingerprint: str, texts: Sequence[str]) -> dict[str, Float32[np.ndarray, " dim"]]:
        """Return the cached vectors by text: a prompt, or the key of a shape."""
        keys = {_key(fingerprint, text): text for text in texts}
        found: dict[str, Float32[np.ndarray, " dim"]] = {}
        with self._open() as database:
            for chunk in _chunks(list(keys)):
                if database is not None:
                    rows = database.execute(f"{_SELECT} AND key IN ({','.join('?' * len(chunk))})", chunk)
                    vectors = {keys[key]: np.frombuffer(blob, dtype=np.float32) for key, blob in rows if len(blob) % 4 == 0}
                    found.update({text: vector for text, vector in vectors.items() if np.isfinite(vector).all()})
        return found

    def put(self, fingerprint: str, vectors: Mapping[str, Float32[np.ndarray, " dim"]]) -> None:
        """Store vectors by text and drop the oldest beyond the limit."""
        rows = [(_key(fingerprint, text), np.ascontiguousarray(v, dtype=np.float32).tobytes()) for text, v in vectors.items()]
        with self._open() as database:
            if database is not None:
                database.executemany("INSERT OR REPLACE INTO text (key, vector) VALUES (?, ?)", rows)
                database.execute("DELETE FROM text WHERE rowid <= (SELECT max(rowid) FROM text) - ?", (self.limit,))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """Open a connection for one transaction; yield None if the file cannot be used."""
        database = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not is_own(self.path):
                raise PermissionError(f"{self.path} is not ours")
            database = sqlite3.connect(self.path, timeout=_SECONDS)
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("CREATE TABLE IF NOT EXISTS text (rowid INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, vector BLOB)")
        except (OSError, sqlite3.Error) as error:
            _close(database)
            database = None
            self._set_aside(error)
        try:
            yield database
            if database is not None:
                database.commit()
        except sqlite3.Error as error:
            self._set_aside(error)
        finally:
            _close(database)

    def _set_aside(self, error: Exception) -> None:
        """Rename a broken file; a locked or unwritable one is left alone."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(f"{self.path.name}.broken-{os.getpid()}"))


def is_own(path: Path, *, folder: bool = False) -> bool:
    """Whether a file (or folder) is absent, or a plain one of this user or the system's, not a link."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    plain = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    return plain and (not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid()))


def _key(fingerprint: str, text: str) -> bytes:
    return hashlib.sha256(f"{fingerprint}\0{text}".encode(errors="replace")).digest()


def _chunks(keys: list[bytes]) -> Iterator[list[bytes]]:
    return (keys[i : i + _ASK] for i in range(0, len(keys), _ASK))


def _close(database: sqlite3.Connection | None) -> None:
    if database is not None:
        with contextlib.suppress(sqlite3.Error):
            database.close()
