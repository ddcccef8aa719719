"""Options shared by several commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.errors import ConfigError
from basrelief.limits import limits
from basrelief.output import make_folder

if TYPE_CHECKING:
    from basrelief.encoders import VectorCache
    from basrelief.io.intrinsics import Intrinsics as CameraIntrinsics
    from basrelief.models import FewShotClassifier, Model
    from basrelief.types import Progress

Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Shape files or folders; `-` reads names from stdin, one per line.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="Name of a model (see basrelief models), or names joined by + for an ensemble.")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="CLIP weights: a file or a folder. Default: the local hub cache, then the hub if the licence allows any use."),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="The method's own weights. Default: the file from models fetch. For an ensemble: NAME=FILE,..."),
]
TextFile = Annotated[
    Path | None, typer.Option("--text", help="Labels from models export-text, in place of the text tower of a model that reads points.")
]
Prompts = Annotated[Path | None, typer.Option(help="Your copy of a published prompt list (PointCLIP V2).")]
Up = Annotated[str | None, typer.Option(help="Up axis of the files: x, y, z, -x, -y, -z; auto, the default, finds it out.")]
Intrinsics = Annotated[
    str | None,
    typer.Option(metavar="FX,FY,CX,CY", help="Camera of depth maps (npy, npz, h5, 16-bit png) in pixels, or a JSON or text file of it."),
]
Validation = Annotated[Path | None, typer.Option(help="Data set whose accuracy chooses the weights; report another one.")]
ValidationSplit = Annotated[
    str, typer.Option(help="Split that chooses the weights: val; test only if there is no val and no figure on it is reported.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the surface sampling.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Backend = Annotated[str, typer.Option(help="What runs the towers: auto (measured once), torch or openvino.")]
Dtype = Annotated[str, typer.Option(help="auto (measured once), float32, bfloat16, float16, or int8 (OpenVINO).")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes that read and render; 0 uses all cores.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one line per item.")]


def read_intrinsics(text: str | None) -> CameraIntrinsics | None:
    """Return the camera that `--intrinsics` gives, or None."""
    from basrelief.io.intrinsics import parse_intrinsics

    return None if text is None else parse_intrinsics(text)


def check_points(points: int | None) -> None:
    """Check the number of points of an option.

    Raises:
        ConfigError: If it is above `Limits.points`.
    """
    if points is not None and points > limits().points:
        raise ConfigError(f"points is {points:,}; the limit is {limits().points:,}. Ask for fewer, or raise BASRELIEF_LIMITS.")


def dataset_name(name: str) -> str:
    """Return the name for `DataSource`, which is empty for `auto`."""
    return "" if name == "auto" else name


def cores(jobs: int) -> int:
    """Return the number of processes for `--jobs`."""
    return jobs or os.cpu_count() or 1


def shape_cache() -> VectorCache:
    """Open the cache of view features that commands share."""
    from basrelief.encoders import VectorCache

    return VectorCache.shared("shapes", limit=_KEPT)


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Show a progress bar on a terminal; nothing elsewhere or if `quiet`."""
    from rich import progress as rich
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (rich.TextColumn(what), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task(what)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str] | None], *, title: str = "") -> None:
    """Print a table, cut to the width of a terminal but not in files and pipes; None among the rows is a gap."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    first, *others = columns
    table = Table(Column(first, no_wrap=True), *others, title=Text(title) if title else None, box=SIMPLE_HEAD)
    for row in rows:
        table.add_section() if row is None else table.add_row(*(Text(printable(cell)) for cell in row))  # brackets in a cell are not markup
    console = Console()
    if not console.is_terminal:
        console.width = console.measure(table, options=console.options.update(max_width=sys.maxsize)).maximum
    console.print(table)


def end_with(failures: Sequence[tuple[str, str]], *, see_all: str = "") -> None:
    """Print the shapes that failed, at most ten, and exit with code 1 if there are any.

    Args:
        failures: Name and reason of each.
        see_all: How to see those that are not named.
    """
    for name, error in failures[:_NAMED]:
        typer.echo(f"{printable(name)}: error: {printable(error)}", err=True)
    if len(failures) > _NAMED:
        typer.echo(f"... and {len(failures) - _NAMED:,} more{see_all and f': {see_all}'}", err=True)
    if failures:
        typer.echo(f"basrelief: {len(failures)} shapes could not be used", err=True)
        raise typer.Exit(1)


def end_if_failed(failed: int, total: int) -> None:
    """Exit with code 1 if files failed, and say how many."""
    if failed:
        typer.echo(f"basrelief: {failed} of {total} files failed", err=True)
        raise typer.Exit(1)


def printable(text: str) -> str:
    """Escape control characters and characters that the terminal cannot show, e.g. in file names."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_NAMED = 10
_KEPT = 100_000
"""Shapes whose features are kept, 2 GB of tiny's, 4 GB of ViT-H-14's; the oldest go first."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def picture_file(argument: str, path: Path) -> Path:
    """Check that an image can be written to a path, and create its folder.

    Raises:
        ConfigError: If the suffix is no picture's.
        OutputError: If the folder cannot be made.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{argument} is {str(path)!r}; expected a name that ends in {', '.join(PICTURE_SUFFIXES)}. Change its extension.")
    make_folder(path.parent)
    return path


def read_labels(text: str, *, least: int = 2) -> tuple[str, ...]:
    """Read labels from an option: a label set, a file that exists, or names separated by commas, tried in this order.

    Args:
        text: The value of the option.
        least: Least number of labels.

    Raises:
        ConfigError: If it is none of these, or the labels are wrong.
    """
    from basrelief.datasets import list_label_sets, parse_labels, read_labels_file

    path = Path(text)
    if text in list_label_sets():
        return parse_labels(text)
    looks_like_a_path = "," not in text and (path.suffix != "" or len(path.parts) > 1)
    return read_labels_file(path, least=least) if looks_like_a_path or _exists(path) else parse_labels(text, least=least)


def warn_unknown(classifier: Model | FewShotClassifier, names: Sequence[str], *, given: bool) -> list[str]:
    """Tell on stderr which labels are used by default, or which ones the model does not know; return the latter."""
    if not given:
        typer.echo(f"basrelief: choosing among the {len(names)} names {classifier.name} was trained on; --labels takes yours", err=True)
    unknown = classifier.unknown_words(names)
    for label, nearest in unknown.items():
        typer.echo(f"basrelief: {classifier.name} does not know {label!r}; nearest known: {nearest!r}", err=True)
    return sorted(unknown)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a list of names can be longer than a path may be
        return False


def expand_files(names: Sequence[str]) -> list[Path]:
    """Expand arguments into files: folders are searched, `-` reads names from stdin; say what in them is not read.

    Raises:
        FileFormatError: If nothing readable is found.
    """
    from basrelief.io import count_unread, find_shapes, unread_note

    typed = [line for name in names for line in (sys.stdin.read().splitlines() if name == "-" else [name]) if line.strip()]
    paths = [Path(name) for name in typed]
    note = unread_note(count_unread(paths))
    if note:
        typer.echo(f"basrelief: {note}", err=True)
    return find_shapes(paths)
