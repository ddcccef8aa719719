"""Index a folder of models and look for things in it: `python examples/find_in_folder.py FOLDER WORDS`.

The library is kept beside the folder; a second run reads only what changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import basrelief as br


def find(folder: Path, words: str) -> list[str]:
    """Names of the files that fit the words best."""
    library = br.Index.open(folder.with_suffix(".lance"))
    report = library.add(folder)
    for path, reason in report.failures:
        print(f"left out: {path}: {reason}")
    hits = library.search(words, top_k=3)
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.about['place']}  {hit.about['faces']} faces")
    return [hit.about["place"] for hit in hits]


if __name__ == "__main__":
    find(Path(sys.argv[1] if sys.argv[1:] else "examples/shapes"), " ".join(sys.argv[2:]) or "a mug")
