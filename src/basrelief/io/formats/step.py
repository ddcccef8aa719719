"""STEP (ISO 10303-21) and IGES, the exchange formats of CAD programs: Open Cascade turns surfaces into triangles.

Damaged files make Open Cascade crash (10 of 100 files with a few changed bytes), so it runs in a process of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.formats.gltf import read_gltf
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_ANGLE = 0.4  # radians between neighbouring triangles of a curved surface
_DEVIATION = 0.005  # largest distance of a triangle from the surface, as a share of the length of the edge
_LIBRARY = 1 << 30  # bytes of address space that the library itself takes
_CONVERT = f"""
import pathlib, signal, sys
try:
    import resource
    signal.alarm(int(sys.argv[4]))  # ends the process even if its parent was killed
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[5]),) * 2)
except (ImportError, AttributeError, ValueError):
    pass  # not on this system
import cascadio
data = pathlib.Path(sys.argv[1]).read_bytes()
found = cascadio.load(data, sys.argv[3], tol_linear={_DEVIATION}, tol_angular={_ANGLE}, tol_relative=True, use_parallel=False)
pathlib.Path(sys.argv[2]).write_bytes(found)
"""


def read_step(source: Source) -> RawShape:
    """Read .step, .stp, .iges or .igs: all solids and surfaces in their places, with their colours.

    Args:
        source: The file.

    Returns:
        Vertices and faces in metres, +Z up, as CAD programs have it.

    Raises:
        FileFormatError: If it is damaged, holds no surface, takes too long, or holds more than the limits allow.
        MissingExtraError: If the library is not installed.
    """
    if importlib.util.find_spec("cascadio") is None:
        raise MissingExtraError("Reading STEP needs cascadio, which is not installed. Run: pip install 'basrelief[cad]'.")
    source.check_size(limits().text_bytes)
    kind = "iges" if source.format.startswith("ig") else "step"
    with TemporaryDirectory(prefix="basrelief-") as folder:
        path = Path(folder, source.path.name)  # so that messages name the file
        _convert(source, path, kind)
        raw = read_gltf(Source(path=path, format="glb", size=path.stat().st_size))
    reason = f"{kind.upper()} files of CAD programs are +Z up"
    return dataclasses.replace(raw, up="z", up_reason=reason, notes=(*raw.notes, "Lengths were converted to metres."))


def _convert(source: Source, out: Path, kind: str) -> None:
    """Write a file as binary glTF, with a deadline and a memory limit."""
    seconds = limits().reading_seconds(source.size)
    arguments = (source.path.resolve(), out, kind, int(seconds) + 2, limits().memory_bytes + _LIBRARY)
    command = [sys.executable, "-P", "-c", _CONVERT, *map(str, arguments)]
    try:
        ended = subprocess.run(command, cwd=out.parent, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise FileFormatError(f"Turning {source.path.name} into triangles took more than {seconds:.0f} s. Simplify it.") from error
    if ended.returncode or not out.exists() or not out.stat().st_size:
        raise FileFormatError(f"{source.path.name} holds no surface that can be read. It is damaged, or only a drawing; export it again.")
