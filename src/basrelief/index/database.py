"""LanceDB opened, and whatever it raises worded as an error of ours."""

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
    """Open a database; a folder that is not there is made.

    Raises:
        ConfigError: If it is neither a folder nor an address that LanceDB opens.
        MissingExtraError: If LanceDB is not installed.
    """
    try:
        import lancedb
    except ModuleNotFoundError as error:
        raise MissingExtraError("a library must be kept by lancedb, but it is not installed. Install basrelief[index].") from error
    with database_errors(no_database(uri), ConfigError):
        place = uri if "://" in uri else os.path.abspath(uri)  # noqa: PTH100 - LanceDB panics where `..` leads above the root
        return lancedb.connect(place, read_consistency_interval=timedelta(0))  # what others write is seen at once


def is_absent(uri: str) -> bool:
    """Tell whether a folder is not there, which LanceDB would make; of an address that is not known.

    Raises:
        ConfigError: If it cannot be a folder.
    """
    if "://" in uri:
        return False
    with database_errors(no_database(uri), ConfigError):
        if not uri or "\0" in uri:
            raise ValueError("no name of a folder")
        return not Path(os.path.abspath(uri)).exists()  # noqa: PTH100 - as above


def reads(method: Callable[P, T]) -> Callable[P, T]:
    """Word what LanceDB raises while a method of `Tables` reads."""

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with database_errors(unreadable(cast("Any", args[0]).uri), FileFormatError):
            return method(*args, **kwargs)

    return wrapped


def writes(method: Callable[P, T]) -> Callable[P, T]:
    """Word what LanceDB raises while a method of `Tables` writes."""

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        uri = cast("Any", args[0]).uri
        with database_errors(f"Cannot write {uri!r}: {{}}. Free some space or choose another place; what is there is kept.", OutputError):
            return method(*args, **kwargs)

    return wrapped


@contextmanager
def database_errors(message: str, kind: type[BasreliefError]) -> Iterator[None]:
    """Raise an error of ours for whatever LanceDB raises; its panics are no `Exception`.

    Args:
        message: What is said; `{}` in it is replaced by the reason.
        kind: Of the error.

    Yields:
        Nothing.
    """
    try:
        yield
    except (BasreliefError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise kind(message.replace("{}", reason)) from error


def unreadable(uri: str) -> str:
    """Word the message for a library that is damaged."""
    return f"db must be readable, but got {{}} in {uri!r}. Restore it, or make it again with basrelief index."


def no_database(uri: str) -> str:
    """Word the message for what is no database."""
    return f"db must be a folder or an address LanceDB opens, but got {uri[:200]!r}: {{}}. Use e.g. library.lance."
