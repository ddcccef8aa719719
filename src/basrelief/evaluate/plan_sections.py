"""The plan of a published table as a few small tables, for the command line and for the page about reproducing the papers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from basrelief.evaluate.plan import CPU_CORES, TablePlan
from basrelief.evaluate.table import Numbers
from basrelief.output import size_text

_WEIGHTS = ("method", "command", "file", "from", "size", "licence")
_RUNS = ("method", "command", "paper", f"hours, {CPU_CORES} cores", "hours, GPU")


@dataclass(frozen=True)
class Section:
    """A table.

    Attributes:
        name: Short name, without spaces.
        title: What it shows.
        columns: Titles of the columns.
        rows: Cells.
        typed: Numbers of the columns whose cells are typed as they are: commands and names.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    typed: tuple[int, ...] = ()


def plan_sections(plan: TablePlan) -> tuple[Section, ...]:
    """Arrange a plan: weights, data sets, runs, known differences, and how to train what nobody publishes."""
    return (
        Section("weights", "Weights", ("trained on", *_WEIGHTS), _once(_weights(plan)), (2,)),
        Section("data", "Data sets", ("data set", "folder", "holds", "from", "size", "shapes", "licence"), _data(plan), (0, 1)),
        Section("runs", "Runs", ("data set", "trained on", *_RUNS), _runs(plan), (3,)),
        Section("differs", "Known to differ from the paper", ("where", "what"), _once(_differences(plan))),
        Section("train", "Weights that nobody publishes", ("trained on", "method", "command"), _once(_training(plan)), (2,)),
    )


def numbers_text(numbers: Numbers) -> str:
    """Format top-1, top-3 and top-5; empty if there is none."""
    return " / ".join("-" if n is None else f"{n:.1f}" for n in numbers) if any(n is not None for n in numbers) else ""


def hours_text(hours: float | None) -> str:
    """Format estimated hours with as many digits as they deserve."""
    if hours is None:
        return ""
    return "below 0.1" if hours < 0.1 else f"{hours:.1f}" if hours < 10 else f"{hours:,.0f}"


def _once(rows: Iterator[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(rows))


def _weights(plan: TablePlan) -> Iterator[tuple[str, ...]]:
    for row in plan.rows:
        for file in row.files:
            yield row.training, row.method, row.commands[0], file.file, file.source, _size(file.megabytes), file.licence or "see there"


def _data(plan: TablePlan) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (d.name, d.folder, d.holds, d.source, _size(d.gigabytes and 1000 * d.gigabytes), f"{d.shapes:,}, {d.labels:,} classes", d.licence)
        for d in plan.data
    )


def _runs(plan: TablePlan) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (row.dataset, row.training, row.method, row.commands[-1], numbers_text(row.paper), *map(hours_text, (row.cpu_hours, row.gpu_hours)))
        for row in plan.rows
    )


def _differences(plan: TablePlan) -> Iterator[tuple[str, ...]]:
    yield from (("everywhere", difference) for difference in plan.differs)
    own = {difference for data in plan.data for difference in data.differs}
    yield from ((data.name, difference) for data in plan.data for difference in data.differs)
    methods: dict[str, list[str]] = {}
    for row in plan.rows:
        for difference in row.differs:
            if difference not in own and row.method not in methods.setdefault(difference, []):
                methods[difference].append(row.method)
    yield from ((", ".join(names), difference) for difference, names in methods.items())


def _training(plan: TablePlan) -> Iterator[tuple[str, ...]]:
    for row in plan.rows:
        for command in row.train:
            yield row.training, row.method, command


def _size(megabytes: float | None) -> str:
    return size_text(round(1e6 * megabytes)) if megabytes else "not known"
