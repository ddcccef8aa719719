"""STEP (ISO 10303-21) and IGES, the exchange formats of CAD programs: Open Cascade turns surfaces into triangles."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.formats.gltf import read_gltf
from basrelief.io.silence import silenced
from basrelief.io.source import RawShape, Source, open_source
from basrelief.limits import limits

_ANGLE = 0.4  # radians between neighbouring triangles of a curved surface
_DEVIATION = 0.005  # largest distance of a triangle from the surface, as a share of the length of the edge


def read_step(source: Source) -> RawShape:
    """Read .step, .stp, .iges or .igs: all solids and surfaces in their places, with their colours.

    Args:
        source: The file.

    Returns:
        Vertices and faces in metres, +Z up, as CAD programs have it.

    Raises:
        FileFormatError: If it is damaged, holds no surface, or more than the limits allow.
        MissingExtraError: If the library is not installed.
    """
    try:
        import cascadio
    except ImportError as error:
        raise MissingExtraError("Reading STEP needs cascadio, which is not installed. Run: pip install 'basrelief[cad]'.") from error
    data = source.read(limits().text_bytes)
    kind: Literal["step", "iges"] = "iges" if source.format.startswith("ig") else "step"
    with silenced():  # the library prints what it thinks of a file
        binary = cascadio.load(data, kind, tol_linear=_DEVIATION, tol_angular=_ANGLE, tol_relative=True, use_parallel=False)
    if not binary:
        raise FileFormatError(f"{source.path.name} holds no surface that can be read. It is damaged, or only a drawing; export it again.")
    with TemporaryDirectory(prefix="basrelief-") as folder:
        path = Path(folder, "shape.glb")
        path.write_bytes(binary)
        raw = read_gltf(open_source(path))
    reason = f"{kind.upper()} files of CAD programs are +Z up"
    return dataclasses.replace(raw, up="z", up_reason=reason, notes=(*raw.notes, "Lengths were converted to metres."))
