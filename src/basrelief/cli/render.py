"""`basrelief render`: render a shape's depth maps into one labelled image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import write_picture


def render(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A shape file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image to write: png, jpg or webp.")] = Path("sheet.png"),
    projection: Annotated[str, typer.Option("--projection", "-p", help="Name of a depth projection.")] = "opendlign",
    points: Annotated[int | None, typer.Option(min=1, help="Points sampled from a mesh. Default: the projection's own number.")] = None,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    seed: opt.Seed = 0,
) -> None:
    """Render every view of a depth projection, labelled with its camera."""
    import basrelief as br
    from basrelief.render import contact_sheet

    opt.picture_file("output", output)
    opt.check_points(points)
    shape = br.load(file, up=up, intrinsics=intrinsics)
    views = br.render_depth(shape, projection, points=points, seed=seed)
    write_picture(output, contact_sheet(views, title=f"{file.name}: {projection}"))
    origin = shape.origin
    up_axis = f", up axis {origin.up} ({origin.up_reason})" if origin else ""
    typer.echo(f"{output}: {len(views)} views of {file} by {projection}{up_axis}")
