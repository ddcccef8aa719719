"""How well and how fast a library answers: by words, by pictures, by shapes; up to 100,000 rows.

    python benchmarks/index.py
    python benchmarks/index.py --shapes SHAPES --files 500 --rows 100000
    python benchmarks/index.py --many 10000

Quality is asked on generated shapes that no weight was trained on, each category a class, and on the classes of SHAPES with two files or
more: words are the class names, pictures are drawn in colour from a side that is none of the views, shapes are the files themselves.
Every figure is given for mean and max pooling of the views, and words with and without subtraction of the text mean. `--many` shapes of
about 5,000 faces each are indexed first, for time and memory alone.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from trimesh.remesh import subdivide

import basrelief as br
from basrelief.geometry.descriptor import DESCRIPTOR_SIZE
from basrelief.index import IndexOptions, Query
from basrelief.index.rows import vectors_of
from basrelief.index.schema import LibraryInfo
from basrelief.index.search import SearchOptions, search
from basrelief.index.table import Tables
from basrelief.io import load, save
from basrelief.render import render_thumbnail
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.types import Mesh

UNSEEN = 100_000


def library(root: Path, db: Path, *, jobs: int) -> br.Index:
    """Index a folder, and print how long it took."""
    index = br.Index.open(db)
    start = time.perf_counter()
    report = index.add(root, options=IndexOptions(jobs))
    spent = time.perf_counter() - start
    start = time.perf_counter()
    index.add(root, options=IndexOptions(jobs))
    again = time.perf_counter() - start
    count = max(report.read, 1)
    print(f"{report.read} files in {spent:.1f} s, {1e3 * spent / count:.0f} ms each with {jobs} processes; again, unchanged {again:.2f} s")
    print(f"most memory so far: {memory(resource.RUSAGE_SELF)} MB, the largest of its processes {memory(resource.RUSAGE_CHILDREN)} MB")
    return index


def memory(whose: int) -> int:
    """Most memory that was held at once, MB."""
    return resource.getrusage(whose).ru_maxrss // 2**10


def generated(root: Path, count: int, *, faces: int = 0) -> None:
    """Write shapes of unseen seeds as `CLASS/NUMBER.glb`, their faces cut in four until they have about so many."""
    total = 0
    for number in range(count):
        name = CATEGORIES[number % len(CATEGORIES)]
        shape = make_shape(name, seed=UNSEEN + number // len(CATEGORIES))
        while len(shape.faces) < faces / 2:
            shape = Mesh(*(np.asarray(part) for part in subdivide(shape.vertices, shape.faces)))
        total += len(shape.faces)
        (root / name.replace(" ", "_")).mkdir(parents=True, exist_ok=True)
        save(shape, root / name.replace(" ", "_") / f"{number}.glb")
    print(f"{count} generated shapes of unseen seeds, {total / count:.0f} faces each")


def quality(index: br.Index) -> None:
    """R@1, R@5 and mAP of every way to ask, over the classes that folders name."""
    paths, views = [], []
    for batch in index.tables.batches(["path", "relative_path", "views"]):
        paths += list(zip(batch.column("path").to_pylist(), batch.column("relative_path").to_pylist(), strict=True))
        views.append(vectors_of(batch, "views", index.tables.info.dim))
    each = torch.nn.functional.normalize(torch.from_numpy(np.concatenate(views)), dim=-1)
    label = np.array([relative.split("/")[0].replace("_", " ") for _, relative in paths])
    names = [name for name in sorted(set(label)) if (label == name).sum() > 1]
    text_mean = torch.tensor(index.tables.info.text_mean)
    words = index.model.embed_text(names)
    print(f"{len(paths)} shapes, {len(names)} classes of two or more")
    rows = [("words", words, names), ("words, text mean subtracted", words - text_mean, names)]
    some = [i for i, name in enumerate(label) if name in names][:: max(1, len(paths) // 300)]
    pictures = index.model.embed_images([render_thumbnail(load(paths[i][0]), azimuth=-70.0, elevation=15.0, size=224) for i in some])
    rows += [("images of the shapes", pictures, [label[i] for i in some])]
    whole = torch.nn.functional.normalize(each.mean(dim=1), dim=-1)
    rows += [("shapes, themselves left out", whole[some], [label[i] for i in some])]
    for title, vectors, wanted in rows:
        for pooling in ("mean", "max"):
            scores = (vectors @ whole.T if pooling == "mean" else torch.einsum("qd,svd->qsv", vectors, each).amax(dim=2)).numpy()
            if title.startswith("shapes"):
                scores[np.arange(len(some)), some] = -np.inf
            print(f"  {title:<38} {pooling:<5} " + ranks(scores, [label == name for name in wanted]))


def ranks(scores: np.ndarray, relevant: Sequence[np.ndarray]) -> str:
    """R@1, R@5 and mAP in percent."""
    first, five, precision = [], [], []
    for row, right in zip(scores, relevant, strict=True):
        hit = right[np.argsort(-row, kind="stable")][: np.isfinite(row).sum()]
        first.append(hit[0])
        five.append(hit[:5].any())
        precision.append((np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean())
    return f"R@1 {np.mean(first):6.1%}   R@5 {np.mean(five):6.1%}   mAP {np.mean(precision):6.1%}   n {len(first)}"


def speed(rows: int, home: Path) -> None:
    """How long a search takes in a library of made-up rows in clusters, exactly and by the index, and how often both agree."""
    rng = np.random.default_rng(0)
    tables = Tables.create(str(home / "large.lance"), LibraryInfo("tiny", "0" * 64, 10, 512, tuple([0.0] * 512)))
    centres = rng.normal(size=(500, 512))
    for start in range(0, rows, 5000):
        count = min(5000, rows - start)
        views = centres[rng.integers(500, size=count)][:, None] + 0.6 * rng.normal(size=(count, 10, 512))
        views /= np.linalg.norm(views, axis=2, keepdims=True)
        tables.upsert([made_up(start + i, row) for i, row in enumerate(views)])
    queries = centres[rng.integers(500, size=100)] + 0.6 * rng.normal(size=(100, 512))
    exact = timed(f"{rows:,} rows, one after another", lambda q: tables.nearest(q, ["path"])["path"].to_pylist(), queries)
    start = time.perf_counter()
    tables.compact()
    print(f"  compacted in {time.perf_counter() - start:.1f} s")
    found = timed(f"{rows:,} rows, compacted", lambda q: tables.nearest(q, ["path"])["path"].to_pylist(), queries)
    print(f"  recall@10 {np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]):.3f}")
    searches = {
        "words by vectors": SearchOptions(),
        "words and names": SearchOptions(text="chair 17"),
        "best view": SearchOptions(pooling="max"),
    }
    for title, options in searches.items():
        timed(f"search, {title}", lambda q, options=options: [hit.path for hit in search(tables, q, options)], queries)


def made_up(number: int, views: np.ndarray) -> dict[str, object]:
    """A row of no file."""
    name = f"{number}.glb"
    text = {"path": f"/x/{name}", "root": "/x", "content_hash": str(number), "relative_path": name, "name_words": f"chair {number}"}
    plain = {
        "bytes": 1,
        "mtime": 1,
        "faces": number,
        "points": 1,
        "width": 1.0,
        "depth": 1.0,
        "height": 1.0,
        "format": "glb",
        "kind": "mesh",
    }
    pictures = {"thumbnail": b"", "sheet": b"", "tags": [], "form": np.zeros(DESCRIPTOR_SIZE, np.float32)}
    return {**text, **plain, **pictures, "vector": views.mean(axis=0).astype(np.float32), "views": views.ravel().astype(np.float16)}


def timed(title: str, ask: Callable[[np.ndarray], list[str]], queries: np.ndarray) -> list[list[str]]:
    """Answers, and how long they took."""
    ask(queries[0].astype(np.float32))
    found, spent = [], []
    for query in queries.astype(np.float32):
        start = time.perf_counter()
        found.append(ask(query))
        spent.append(1e3 * (time.perf_counter() - start))
    print(f"  {title:<38} median {np.median(spent):6.1f} ms   p95 {np.quantile(spent, 0.95):6.1f} ms")
    return found


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of class folders of shapes")
    parser.add_argument("--files", type=int, default=303, help="generated shapes")
    parser.add_argument("--many", type=int, default=0, help="further generated shapes, for time and memory alone")
    parser.add_argument("--rows", type=int, default=0, help="made-up rows for the speed of searching")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.many:
            generated(home / "many", given.many, faces=5000)
            library(home / "many", home / "many.lance", jobs=given.jobs)
        generated(home / "generated", given.files)
        quality(library(home / "generated", home / "generated.lance", jobs=given.jobs))
        if given.shapes is not None and given.shapes.is_dir():
            print(given.shapes.name)
            quality(library(given.shapes, home / "shapes.lance", jobs=given.jobs))
        if given.rows:
            speed(given.rows, home)
        query = Query(("chair",), match_names=False)
        index = br.Index.open(home / "generated.lance")
        timed("words to hits, model and all", lambda _: [hit.path for hit in index.search(query)], np.zeros((30, 1)))
    print(f"most memory in all: {memory(resource.RUSAGE_SELF)} MB")


if __name__ == "__main__":
    main()
