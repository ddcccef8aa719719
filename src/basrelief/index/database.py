"""Connect to LanceDB and turn whatever it raises into errors of basrelief."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from basrelief.errors import BasreliefError, ConfigError, FileFormatError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from lancedb import DBConnection

P = ParamSpec("P")
T = TypeVar("T")


def connect(uri: str) -> DBConnection:
    """Open a database, creating its folder if it is missing.

    Raises:
        ConfigError: If `uri` is neither a folder nor an address that LanceDB opens.
        MissingExtraError: If LanceDB is not installed.
    """
    try:
        import lancedb
    except ModuleNotFoundError as error:
        raise MissingExtraError("Libraries are stored in LanceDB, which is not installed. Run: pip install 'basrelief[index]'.") from error
    with database_errors(invalid_uri_message(uri), ConfigError):
        location = uri if "://" in uri else os.path.abspath(uri)  # noqa: PTH100 - LanceDB panics where `..` leads above the root
        return lancedb.connect(location, read_consistency_interval=timedelta(0))  # see what other processes write at once


def is_missing_folder(uri: str) -> bool:
    """Return whether `uri` is a folder that does not exist, which LanceDB would create; False for any other address.

    Raises:
        ConfigError: If it cannot be a folder name.
    """
    if "://" in uri:
        return False
    with database_errors(invalid_uri_message(uri), ConfigError):
        if not uri or "\0" in uri:
            raise ValueError("not a folder name")
        return not Path(os.path.abspath(uri)).exists()  # noqa: PTH100 - as above


def translate_read_errors(method: Callable[P, T]) -> Callable[P, T]:
    """Decorate a method of `Tables` that reads: what LanceDB raises becomes a `FileFormatError`."""

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with database_errors(unreadable_message(cast("Any", args[0]).uri), FileFormatError):
            return method(*args, **kwargs)

    return wrapped


def translate_write_errors(method: Callable[P, T]) -> Callable[P, T]:
    """Decorate a method of `Tables` that writes: what LanceDB raises becomes an `OutputError`."""

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        uri = cast("Any", args[0]).uri
        message = f"Cannot write to library {uri!r}: {{}}. Free some space or choose another folder; earlier data is kept."
        with database_errors(message, OutputError):
            return method(*args, **kwargs)

    return wrapped


@contextmanager
def database_errors(message: str, kind: type[BasreliefError]) -> Iterator[None]:
    """Turn anything LanceDB raises into one of our errors; its panics are not even an `Exception`.

    Args:
        message: Error message; `{}` in it is replaced by the reason.
        kind: Class of the error.

    Yields:
        Nothing.
    """
    try:
        yield
    except (BasreliefError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise kind(message.replace("{}", reason)) from error


def unreadable_message(uri: str) -> str:
    """Return the message for a damaged library, with `{}` for the reason."""
    return f"Library {uri!r} cannot be read: {{}}. Restore it from a backup, or delete it and run basrelief index again."


def invalid_uri_message(uri: str) -> str:
    """Return the message for an address that is not a database, with `{}` for the reason."""
    return f"Cannot open library {uri[:200]!r}: {{}}. Give a folder such as library.lance, or an address that LanceDB opens (s3://...)."
