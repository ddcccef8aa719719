"""All exceptions that basrelief raises.

They derive from one class::

    BasreliefError
    ├── GeometryError (ValueError)      a shape that cannot be used: empty, not finite, wrong dimensions
    ├── FileFormatError (ValueError)    a file that cannot be read: broken, too large, wrong extension
    ├── ConfigError (ValueError)        a wrong name, option or label list
    ├── OutputError (OSError)           a file that cannot be written: read-only, disk full
    ├── MissingExtraError (ImportError) a library of an optional extra is not installed
    └── EncoderError
        ├── WeightsError (ValueError)   weights that do not fit the architecture they are loaded into
        └── WeightsNotFoundError        weights that are not on this machine

A message says what is wrong with the actual value, then what to do about it, e.g.
`points has shape (3, 1024); expected (N, 3). Did you mean points.T?`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BasreliefError(Exception):
    """Base of all exceptions raised by basrelief."""


class GeometryError(BasreliefError, ValueError):
    """A shape cannot be used: it is empty, not finite, or of wrong dimensions."""


class FileFormatError(BasreliefError, ValueError):
    """A file cannot be read: it is broken, too large, or not what its extension says."""


class ConfigError(BasreliefError, ValueError):
    """A name, an option or a label list is wrong."""


class OutputError(BasreliefError, OSError):
    """A file cannot be written: the folder is read-only, the disk is full, or the name is taken by a folder."""


class MissingExtraError(BasreliefError, ImportError):
    """A library that belongs to an optional extra is not installed."""


class EncoderError(BasreliefError):
    """An encoder cannot be built or used."""


class WeightsError(EncoderError, ValueError):
    """Weights do not fit the architecture they are loaded into."""


class WeightsNotFoundError(EncoderError):
    """Weights are not on this machine; the message says where they come from."""


def unknown_choice(argument: str, value: object, choices: Iterable[str], *, where: str = "") -> str:
    """Return the message for a value that is not among the valid ones, with the nearest match.

    Args:
        argument: Name of the argument, e.g. `projection`.
        value: The invalid value.
        choices: Valid values, in the order to show them.
        where: Where the value stands, e.g. ` in a.ply`.

    Returns:
        `Unknown <argument> 'x'; expected one of a, b, c. Did you mean 'b'?`
    """
    names = list(choices)
    near = difflib.get_close_matches(str(value), names, n=1)
    message = f"Unknown {argument} {str(value)!r}{where}; expected one of {', '.join(names)}."
    return f"{message} Did you mean {near[0]!r}?" if near else message
