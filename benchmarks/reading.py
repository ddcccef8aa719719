"""Read every shape file below folders: how many files of each format load, and why the others do not.

    python benchmarks/reading.py corpora/assimp corpora/trimesh
    python benchmarks/reading.py corpora --json files.jsonl

Files are read in workers with the usual deadline and memory limit. Prints the count per format and the files of each reason
and note, without numbers and names; --json writes one line per file: its size as read, its notes or the error.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import basrelief as br
from basrelief.io import FORMATS, find_shapes, load
from basrelief.io.find import file_size
from basrelief.processes import Failure, WorkerPool

_DETAIL = re.compile(r"'[^']*'|\"[^\"]*\"|\S+\.(?:" + "|".join(FORMATS) + r")\b|[-+]?\d[\d,.]*", re.IGNORECASE)
_SHOWN = 3  # files named for each reason


def read_file(path: Path) -> dict[str, Any]:
    """Load a file and describe what was read."""
    shape = load(path)
    faces = len(shape.faces) if isinstance(shape, br.Mesh) else 0
    points = len(shape.vertices) if isinstance(shape, br.Mesh) else len(shape.points)
    origin = shape.origin
    notes = origin.notes if origin else ()
    return {"points": points, "faces": faces, "colored": shape.colors is not None, "up": origin and origin.up, "notes": notes}


def read_all(paths: list[Path], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield the record of each file."""
    with WorkerPool(jobs) as pool:
        for path, result in zip(paths, pool.map(read_file, paths, size=file_size), strict=True):
            yield {"file": str(path)} | ({"error": result.reason} if isinstance(result, Failure) else result)


def summary(records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the report: counts per format, then reasons and notes, most frequent first."""
    total, read = Counter(_format(record) for record in records), Counter(_format(record) for record in records if "error" not in record)
    yield f"{read.total()} of {total.total()} files read"
    yield "  ".join(f"{name} {read[name]}/{count}" for name, count in sorted(total.items()))
    reasons = defaultdict(list)
    for record in records:
        if "error" in record:
            reasons[_DETAIL.sub("*", record["error"])].append(record["file"])
    yield from _most_frequent(reasons)
    noted = defaultdict(list)
    for record in records:
        for note in record.get("notes", ()):
            noted["note: " + _DETAIL.sub("*", note.partition(":")[0])].append(record["file"])
    yield from _most_frequent(noted)


def _most_frequent(found: dict[str, list[str]]) -> Iterator[str]:
    for reason, files in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"\n{len(files)} x {reason}"
        yield from (f"    {file}" for file in files[:_SHOWN])


def _format(record: dict[str, Any]) -> str:
    return Path(record["file"]).suffix.lower().lstrip(".")


def main() -> None:
    """Read the folders and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write one line per file")
    options = parser.parse_args()
    records = list(read_all(find_shapes(options.folders), options.jobs))
    if options.json:
        options.json.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    print("\n".join(summary(records)))


if __name__ == "__main__":
    main()
