"""Attack basrelief with files, folders, signals and requests, and print one table; exit 1 if a failure column is not zero.

    python tools/attack [--corpus DIR ...] [--mutations N] [--pickles N] [--scans N] [--kills N] [--seed 0] [--only NAME ...] [--short]

See README.md beside this file for where corpora come from. Failing content is kept in attack-out/.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from amplifiers import write_amplifiers
from checkpoints import checkpoints as hostile_checkpoints
from folders import attack_folders
from kills import attack_by_signals
from mutations import mutate
from outcomes import FAILURES, Outcome, Row, table
from page import attack_page
from pickles import mutations as hostile_pickles
from sandbox import Job, read_all, read_in_workers
from seeds import write_seeds

from scans import scan_jobs

KEPT = Path("attack-out")


@dataclass(frozen=True)
class Plan:
    """The size of the attack.

    Attributes:
        corpora: Folders of files.
        mutations: Number of broken copies of files.
        pickles: Number of hostile pickles: arrays, and half as many checkpoints.
        scans: Number of random tries for each kind of file that belongs to scans.
        kills: Number of runs to kill.
        seed: Seed of everything random.
        children: Number of parallel processes.
        short: Whether to skip the slowest tries.
    """

    corpora: tuple[Path, ...]
    mutations: int
    pickles: int
    scans: int
    kills: int
    seed: int
    children: int
    short: bool


def main() -> int:
    """Run the selected attacks."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C, and so would the attacked programs
    plan, only = _arguments()
    attacks: dict[str, Callable[[Plan, Path], Iterator[Outcome]]] = {
        "corpora": _corpora,
        "amplifiers": _amplifiers,
        "mutations": _mutations,
        "pickles": _pickles,
        "scans": _scans,
        "folders": lambda plan, folder: attack_folders(folder, short=plan.short),
        "signals": lambda plan, folder: attack_by_signals(folder, kills=plan.kills, seed=plan.seed),
        "page": lambda plan, folder: attack_page(folder, short=plan.short),
    }
    unknown = sorted(set(only) - set(attacks))
    if unknown:
        sys.exit(f"--only must name one of {', '.join(attacks)}, got {unknown[0]!r}")
    rows = []
    for name, attack in attacks.items():
        if only and name not in only:
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="basrelief-attack-") as folder:
            row = Row(name, list(attack(plan, Path(folder))))
            _keep(row, Path(folder))
        rows.append(row)
        print(f"{name}: {len(row.outcomes):,} tries in {time.monotonic() - start:.0f} s, {len(row.failures)} failures", file=sys.stderr)
    print(table(rows))
    return 1 if any(row.failures for row in rows) else 0


def _arguments() -> tuple[Plan, list[str]]:
    parser = argparse.ArgumentParser(prog="python tools/attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="folder of files; may be repeated")
    parser.add_argument("--mutations", type=int, help="broken copies of the corpora, or of generated files: 10,000, or 200 with --short")
    parser.add_argument("--pickles", type=int, help="hostile pickled arrays, and half as many checkpoints: 20,000, or 300 with --short")
    parser.add_argument("--scans", type=int, help="random tries for each kind of file that belongs to scans: 400, or 20 with --short")
    parser.add_argument("--kills", type=int, help="how often a run is killed: 20, or once with --short")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=2, help="processes that read files side by side")
    parser.add_argument("--only", action="append", default=[], help="an attack; may be repeated")
    parser.add_argument("--short", action="store_true", help="a few hundred tries of everything, about three minutes")
    given = parser.parse_args()
    usual = (200, 300, 20, 1) if given.short else (10_000, 20_000, 400, 20)
    asked = (given.mutations, given.pickles, given.scans, given.kills)
    mutations, pickles, scans, kills = (default if count is None else count for count, default in zip(asked, usual, strict=True))
    return Plan(tuple(given.corpus), mutations, pickles, scans, kills, given.seed, given.children, given.short), given.only


def _corpora(plan: Plan, folder: Path) -> Iterator[Outcome]:
    yield from _read_twice(_files(plan, folder), plan.children)


def _amplifiers(plan: Plan, folder: Path) -> Iterator[Outcome]:
    yield from _read_twice(write_amplifiers(folder), plan.children)


def _read_twice(files: list[Path], children: int) -> Iterator[Outcome]:
    """Load each file within the promised limits, then index it in workers with their limits."""
    yield from read_all([Job(path) for path in files], children=children, report=_progress("files"))
    yield from read_in_workers(files, workers=children)


def _mutations(plan: Plan, folder: Path) -> Iterator[Outcome]:
    """Break small files, equally many of each suffix; every fifth is indexed, not only loaded."""
    dice = random.Random(plan.seed)
    by_suffix: dict[str, list[Path]] = {}
    for path in [*write_seeds(folder / "seeds"), *_files(plan, folder)]:
        if path.stat().st_size < 2 << 20:
            by_suffix.setdefault(path.suffix.lower(), []).append(path)
    suffixes = sorted(by_suffix)
    jobs = [Job(dice.choice(by_suffix[suffixes[i % len(suffixes)]]), i, draw=i % 5 == 0) for i in range(plan.mutations)]
    yield from read_all(jobs, children=plan.children, report=_progress("mutations"))


def _pickles(plan: Plan, folder: Path) -> Iterator[Outcome]:
    jobs = []
    for i, content in enumerate(hostile_pickles(plan.seed, plan.pickles)):
        path = folder / f"pickle-{i}.npy"
        path.write_bytes(content)
        jobs.append(Job(path))
    for i, content in enumerate(hostile_checkpoints(plan.seed, plan.pickles // 2)):
        path = folder / f"checkpoint-{i}.pt"
        path.write_bytes(content)
        jobs.append(Job(path))
    yield from read_all(jobs, children=plan.children, report=_progress("pickles"))


def _scans(plan: Plan, folder: Path) -> Iterator[Outcome]:
    jobs = scan_jobs(folder, seed=plan.seed, count=plan.scans, short=plan.short)
    yield from read_all(jobs, children=plan.children, report=_progress("scans"))


def _files(plan: Plan, folder: Path) -> list[Path]:
    """Return every file of the corpora with a known suffix, or generated files if no corpus is given."""
    from basrelief.io import FORMATS

    found = [path for corpus in plan.corpora for path in sorted(corpus.rglob("*"))]
    return [p for p in found if p.suffix.lower().lstrip(".") in FORMATS and p.is_file()] or write_seeds(folder / "good")


def _progress(name: str) -> Callable[[int], None]:
    def report(done: int) -> None:
        if done % 500 == 0:
            print(f"{name}: {done:,} done", file=sys.stderr, flush=True)

    return report


def _keep(row: Row, folder: Path) -> None:
    """Print failures, and keep the content that caused them."""
    for number, bad in enumerate(row.failures):
        print(f"{row.name}: {bad.kind.upper()} {bad.name} ({bad.seconds:.1f} s, {bad.megabytes:.0f} MB): {bad.message}", file=sys.stderr)
        name, _, seed = bad.name.rpartition("~")
        source = Path(name if seed.isdigit() and name else bad.name)
        target = KEPT / f"{row.name}-{number}-{source.name}"
        if bad.kind in FAILURES and source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif bad.kind in FAILURES and source.is_file():
            KEPT.mkdir(exist_ok=True)
            target.write_bytes(mutate(source, int(seed))) if seed.isdigit() and name else shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main())
