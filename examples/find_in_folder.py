"""Index a folder of shapes and search it: `python examples/find_in_folder.py FOLDER WORDS`.

The library is stored next to the folder; a second run only reads what changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import basrelief as br


def find(folder: Path, words: str) -> list[str]:
    """Return the files that fit the words best."""
    library = br.Index.open(folder.with_suffix(".lance"))
    report = library.add(folder)
    for path, reason in report.failures:
        print(f"skipped {path}: {reason}")
    hits = library.search(words, top_k=3)
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.metadata['relative_path']}  {hit.metadata['faces']} faces")
    return [hit.metadata["relative_path"] for hit in hits]


if __name__ == "__main__":
    find(Path(sys.argv[1] if sys.argv[1:] else "examples/shapes"), " ".join(sys.argv[2:]) or "a mug")
