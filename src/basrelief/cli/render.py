"""`basrelief render`: render the views of a shape into one labelled image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import write_picture


def render(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A shape file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image to write: png, jpg or webp.")] = Path("sheet.png"),
    projection: Annotated[
        str, typer.Option("--projection", "-p", help="Name of a depth projection, or `shaded` for colour views.")
    ] = "opendlign",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Draw the views that this model reads; needs no weights.")] = None,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="Points sampled from a mesh, or the most of a cloud that is shaded. Default: the projection's own."),
    ] = None,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    seed: opt.Seed = 0,
) -> None:
    """Render every view of a depth projection, shaded colour views, or what a model reads, each labelled with its camera."""
    import basrelief as br
    from basrelief.models.picture import draw_views
    from basrelief.render import contact_sheet
    from basrelief.render.drawing import ShadedDrawer

    opt.picture_file("output", output)
    opt.check_points(points)
    shape = br.load(file, up=up, intrinsics=intrinsics)
    origin = shape.origin
    up_axis = f", up axis {origin.up} ({origin.up_reason})" if origin else ""
    if model is not None:
        write_picture(output, draw_views(model, shape, title=f"{file.name}: {model}", seed=seed))
        typer.echo(f"{output}: the views that {model} reads of {file}{up_axis}")
        return
    if projection == "shaded":
        drawer = ShadedDrawer.of({"fit": "frame"} if points is None else {"fit": "frame", "points": points})
        images, cameras = drawer.draw([shape], seed=seed)[0].movedim(1, -1), drawer.cameras
    else:
        views = br.render_depth(shape, projection, points=points, seed=seed)
        images, cameras = views.image, views.cameras
    write_picture(output, contact_sheet(images, cameras, title=f"{file.name}: {projection}"))
    typer.echo(f"{output}: {len(images)} views of {file} by {projection}{up_axis}")
