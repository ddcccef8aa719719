"""Generate furnished rooms with exact boxes and labels: a seed determines everything."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.boxes import Boxes
from basrelief.io import save
from basrelief.output import replace_file
from basrelief.shapes.procedural import CATEGORIES
from basrelief.shapes.room_clutter import add_clutter, floor_below, tabletop_shell, tabletop_solids
from basrelief.shapes.room_layouts import LAYOUTS, ROOM_WORDS, TABLETOP_PIECE, TABLETOP_WORDS, Layout, Piece
from basrelief.shapes.room_placing import Item, Placer
from basrelief.shapes.room_shapes import Body, GivenShapes, ShapeSource
from basrelief.shapes.room_structure import FLOOR, build_shell, make_shell
from basrelief.types import Mesh, Origin

ROOM_KINDS: tuple[str, ...] = (*LAYOUTS, "tabletop")
"""Values of `kind` of `make_room`."""


@dataclass(frozen=True, eq=False)
class Room:
    """A generated room or tabletop: metres, +Z up, floor or table top at z = 0.

    Attributes:
        mesh: All surfaces, coloured.
        instances: (F,) int32, for each face the index of its object; -1 for structure (floor, walls, doors, windows, ceiling, the slab of a
            tabletop), -2 for clutter without a label and the floor below a table.
        surfaces: (F,) int8, `FLOOR`, `WALL` or `CEILING` for structure, 0 for everything else; the codes of `Scene.structure`.
        labels: Name of each of the N objects.
        boxes: N axis-aligned boxes, each exactly around the vertices of its object.
        oriented: N boxes turned with the objects; the front looks along the box's own -y.
        supports: (N,) int32, the object that each object stands on; -1 for floor, wall, ceiling and table top.
        outline: (K, 2) corners of the floor or table top, counter-clockwise.
        height: Of the walls; 0 for a tabletop.
        kind: One of `ROOM_KINDS`.
        seed: The seed.
    """

    mesh: Mesh
    instances: Int[np.ndarray, " faces"]
    surfaces: Int[np.ndarray, " faces"]
    labels: tuple[str, ...]
    boxes: Boxes
    oriented: Boxes
    supports: Int[np.ndarray, " objects"]
    outline: Float[np.ndarray, "corners 2"]
    height: float
    kind: str
    seed: int

    def __repr__(self) -> str:
        """Return kind, seed and size."""
        x, y = np.ptp(self.outline, axis=0)
        return f"Room({self.kind}, seed {self.seed}, {x:.1f} x {y:.1f} m, {len(self.labels)} objects)"


def make_room(*, seed: int, kind: str | None = None, shapes: GivenShapes | None = None, words: Sequence[str] | None = None) -> Room:
    """Generate a furnished room.

    The same arguments give the same room. Generated shapes have seeds of the same range as the room: tuning below 500,000, validation below
    1,000,000, test from there on.

    Args:
        seed: At least 0.
        kind: One of `ROOM_KINDS`; None takes the types of room in turn, by seed, but never `tabletop`.
        shapes: Shapes to use instead of generated ones, scaled to a typical size: meshes or files by label, or a folder of class folders.
        words: Labels that may occur, of `CATEGORIES` or of `shapes`; `ROOM_WORDS` or `TABLETOP_WORDS` if None.

    Raises:
        ConfigError: If the seed is negative, the kind or a word is unknown, or `shapes` holds nothing usable.
    """
    check_at_least("seed", seed, 0, "Pass a whole number.")
    types = tuple(LAYOUTS)
    name = types[seed % len(types)] if kind is None else kind
    if name not in ROOM_KINDS:
        raise ConfigError(unknown_choice("kind of room", name, ROOM_KINDS))
    source = ShapeSource.of(seed, shapes)
    allowed = (TABLETOP_WORDS if name == "tabletop" else ROOM_WORDS) if words is None else tuple(words)
    known = {*CATEGORIES, *source.given}
    for word in allowed:
        if word not in known:
            raise ConfigError(unknown_choice("word", word, sorted(known)))
    r = np.random.default_rng([zlib.crc32(name.encode()), seed])
    if name == "tabletop":
        return _tabletop(r, seed, source, allowed)
    layout = LAYOUTS[name]
    shell = make_shell(r, width=layout.width, windows=layout.windows, l_shaped=layout.l_shaped)
    structure = build_shell(r, shell)
    placer = Placer(shell, r)
    _furnish(placer, layout, source, allowed)
    add_clutter(placer, int(r.integers(layout.clutter[0], layout.clutter[1] + 1)))
    parts = [(Body.from_solids([solid]), code, solid.vertices) for solid, code in structure]
    return _assemble(parts, placer.items, outline=shell.outline, height=shell.height, kind=name, seed=seed)


def _tabletop(r: Generator, seed: int, source: ShapeSource, allowed: Sequence[str]) -> Room:
    shell = tabletop_shell(r)
    structure = tabletop_solids(r, shell)
    placer = Placer(shell, r)
    wanted = int(r.integers(4, 13))
    for _ in range(wanted * 4):
        if len(placer.items) < wanted:
            _add(placer, TABLETOP_PIECE, source, allowed)
    add_clutter(placer, int(r.integers(0, 3)), small=True)
    parts = [(Body.from_solids([solid]), FLOOR, solid.vertices) for solid in structure]
    parts += [(Body.from_solids([solid]), 0, solid.vertices) for solid in floor_below(r, shell)]
    return _assemble(parts, placer.items, outline=shell.outline, height=0.0, kind="tabletop", seed=seed)


def _furnish(placer: Placer, layout: Layout, source: ShapeSource, allowed: Sequence[str]) -> None:
    for piece in layout.pieces:
        body = None
        for _ in range(int(placer.r.integers(piece.count[0], piece.count[1] + 1))):
            body = _add(placer, piece, source, allowed, body if piece.place == "around" else None)


def _add(placer: Placer, piece: Piece, source: ShapeSource, allowed: Sequence[str], body: Body | None = None) -> Body | None:
    """Choose a shape, unless one is given, and place it; return the shape."""
    names = [name for name in piece.names or allowed if name in allowed]
    if not names:
        return None
    label = names[int(placer.r.integers(len(names)))]
    body = body or source.choose(placer.r, label, piece)
    if body is not None:
        placer.put(label, body, piece)
    return body


def _assemble(
    structure: Sequence[tuple[Body, int, np.ndarray]],
    items: Sequence[Item],
    *,
    outline: np.ndarray,
    height: float,
    kind: str,
    seed: int,
) -> Room:
    """Join everything to one mesh; boxes are those of the float32 vertices in it."""
    objects = [item for item in items if item.label]
    numbers = {id(item): i for i, item in enumerate(objects)}
    blocks = [(vertices, body, -1 if code else -2, code) for body, code, vertices in structure]
    blocks += [(item.to_room(item.body.vertices), item.body, numbers.get(id(item), -2), 0) for item in items]
    starts = np.cumsum([0, *(len(vertices) for vertices, *_ in blocks)])
    vertices = np.concatenate([block[0] for block in blocks]).astype(np.float32)
    faces = np.concatenate([block[1].faces + start for block, start in zip(blocks, starts, strict=False)])
    colors = np.concatenate([block[1].colors for block in blocks])
    counts = [len(block[1].faces) for block in blocks]
    own = {block[2]: vertices[a:b].astype(np.float64) for block, a, b in zip(blocks, starts, starts[1:], strict=False) if block[2] >= 0}
    low = np.array([own[i].min(axis=0) for i in range(len(objects))]).reshape(-1, 3)
    high = np.array([own[i].max(axis=0) for i in range(len(objects))]).reshape(-1, 3)
    sizes = np.array([item.body.size for item in objects]).reshape(-1, 3)
    centers = np.array([item.at + (0, 0, item.body.size[2] / 2) for item in objects]).reshape(-1, 3)
    yaws = np.array([(item.yaw + np.pi) % (2 * np.pi) - np.pi for item in objects])
    return Room(
        mesh=Mesh(vertices, faces, colors, Origin(path=f"{kind} {seed}", format="generated")),
        instances=np.repeat(np.array([block[2] for block in blocks], dtype=np.int32), counts),
        surfaces=np.repeat(np.array([block[3] for block in blocks], dtype=np.int8), counts),
        labels=tuple(item.label for item in objects),
        boxes=Boxes.from_bounds(low, high),
        oriented=Boxes(centers, sizes, yaws),
        supports=np.array([numbers.get(id(item.support), -1) for item in objects], dtype=np.int32),
        outline=outline,
        height=height,
        kind=kind,
        seed=seed,
    )


def write_rooms(
    root: Path | str | os.PathLike[str], seeds: Iterable[int], *, kind: str | None = None, spacing: float | None = None
) -> list[Path]:
    """Write virtual scans of generated rooms as `room-SEED.ply`, with labels and boxes in `room-SEED.json`.

    Args:
        root: Folder, made if it is not there.
        seeds: Seeds of the rooms.
        kind: See `make_room`.
        spacing: See `scan_room`.

    Returns:
        The .ply files.

    Raises:
        ConfigError: If a seed or the kind is wrong.
        OutputError: If a file cannot be written.
    """
    from basrelief.shapes.virtual_scan import scan_room

    written = []
    for seed in seeds:
        room = make_room(seed=seed, kind=kind)
        scan = scan_room(room, seed=seed, spacing=spacing)
        rows = zip(room.labels, room.boxes.centers, room.boxes.sizes, room.oriented.sizes, room.oriented.yaws, scan.visible, strict=True)
        objects = [
            {
                "label": label,
                "center": np.round(center, 4).tolist(),
                "size": np.round(size, 4).tolist(),
                "oriented_size": np.round(own, 4).tolist(),
                "yaw": round(float(yaw), 4),
                "visible": round(float(visible), 3),
            }
            for label, center, size, own, yaw, visible in rows
        ]
        text = json.dumps({"kind": room.kind, "seed": seed, "unit": "m", "up": "z", "objects": objects}, indent=1)
        written.append(save(scan.cloud, Path(root) / f"room-{seed}.ply"))
        with replace_file(Path(root) / f"room-{seed}.json") as part:
            part.write_text(text + "\n")
    return written
