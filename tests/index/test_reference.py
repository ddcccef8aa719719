"""Search against a slow reference in plain Python that reads every row and computes every filter and score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lancedb")

from basrelief.geometry.descriptor import DESCRIPTOR_SIZE
from basrelief.index.schema import LibraryInfo
from basrelief.index.search import SearchOptions, search
from basrelief.index.table import Tables

VIEWS, DIM, ROWS = 3, 16, 120
FORMATS = ("glb", "obj", "ply")
WORDS = ("chair", "table", "lamp", "mug")


def _rows(seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(ROWS):
        views = rng.normal(size=(VIEWS, DIM)) + rng.normal(size=DIM)
        views /= np.linalg.norm(views, axis=1, keepdims=True)
        pooled = views.mean(axis=0)
        word, kind = WORDS[number % 4], FORMATS[number % 3]
        place = f"{'a' if number % 2 else 'b_c'}/{word}{number}.{kind}"
        rows.append(
            {
                "path": f"/r/{place}",
                "root": "/r",
                "bytes": 100 * number,
                "mtime": 1,
                "content_hash": str(number),
                "relative_path": place,
                "name_words": f"{'a' if number % 2 else 'b c'} {word} {number}",
                "format": kind,
                "kind": "cloud" if kind == "ply" else "mesh",
                "faces": number,
                "points": 2 * number,
                "width": float(rng.uniform(0, 10)),
                "depth": 1.0,
                "height": 1.0,
                "tags": [word] if number % 5 == 0 else [],
                "vector": (pooled / np.linalg.norm(pooled)).astype(np.float32),
                "views": views.ravel().astype(np.float16),
                "form": np.zeros(DESCRIPTOR_SIZE, np.float32),
                "thumbnail": b"",
                "sheet": b"",
            }
        )
    return rows


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, list[dict[str, Any]]]:
    rows = _rows(0)
    tables = Tables.create(str(tmp_path_factory.mktemp("reference") / "lib"), LibraryInfo("tiny", "f", VIEWS, DIM, tuple([0.0] * DIM)))
    tables.upsert(rows)
    tables.compact()
    return tables, rows


HOLDS = {
    "faces<50": lambda row: row["faces"] < 50,
    "bytes>=1.5k": lambda row: row["bytes"] >= 1500,
    "width>4.5": lambda row: row["width"] > 4.5,
    "format:glb,ply": lambda row: row["format"] in ("glb", "ply"),
    "kind:cloud": lambda row: row["kind"] == "cloud",
    "under:b_c": lambda row: row["relative_path"].startswith("b_c/"),
    "not under:a": lambda row: not row["relative_path"].startswith("a/"),
    "tag:chair": lambda row: "chair" in row["tags"],
    "-tag:lamp,mug": lambda row: not {"lamp", "mug"} & set(row["tags"]),
    "name:table": lambda row: "table" in row["name_words"],
}


def _reference(rows: list[dict[str, Any]], vector: np.ndarray, options: SearchOptions) -> list[tuple[str, float, int]]:
    """Path, score and best view of every row that the filters leave, best first."""
    found = []
    for row in rows:
        if not all(HOLDS[text](row) for text in options.where):
            continue
        views = np.asarray(row["views"], np.float64).reshape(VIEWS, DIM)
        each = [float(view @ vector) / float(np.linalg.norm(view)) for view in views]
        mean = views.mean(axis=0)
        score = max(each) if options.pooling == "max" else float(mean @ vector) / float(np.linalg.norm(mean))
        found.append((row["path"], score, int(np.argmax(each))))
    return sorted(found, key=lambda one: -one[1])


def _directions(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    drawn = rng.normal(size=(count, DIM))
    return list((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


@pytest.mark.parametrize("best_view", [False, True])
@pytest.mark.parametrize("vector", _directions(6), ids=range(6))
def test_ranking_matches_the_reference(library: tuple[Tables, list[dict[str, Any]]], vector: np.ndarray, best_view: bool) -> None:
    tables, rows = library
    options = SearchOptions(pooling="max" if best_view else "mean")
    hits, expected = search(tables, vector, options, top_k=10), _reference(rows, vector, options)[:10]
    assert [hit.path for hit in hits] == [path for path, _, _ in expected]
    assert [hit.view for hit in hits] == [view for _, _, view in expected]
    assert np.allclose([hit.score for hit in hits], [score for _, score, _ in expected], atol=1e-3)


@pytest.mark.parametrize("text", HOLDS)
def test_filters_match_the_reference(library: tuple[Tables, list[dict[str, Any]]], text: str) -> None:
    tables, rows = library
    options = SearchOptions(where=(text,))
    hits = search(tables, _directions(1)[0], options, top_k=ROWS)
    expected = _reference(rows, _directions(1)[0], options)
    assert {hit.path for hit in hits} == {path for path, _, _ in expected}
    assert 0 < len(hits) < ROWS


@pytest.mark.parametrize("pair", [("faces<50", "format:glb,ply"), ("under:b_c", "width>4.5"), ("name:table", "-tag:lamp,mug")])
def test_combined_filters_match_the_reference(library: tuple[Tables, list[dict[str, Any]]], pair: tuple[str, str]) -> None:
    tables, rows = library
    options = SearchOptions(where=pair, pooling="max")
    hits, expected = search(tables, _directions(2)[1], options, top_k=ROWS), _reference(rows, _directions(2)[1], options)
    assert [hit.path for hit in hits] == [path for path, _, _ in expected]


def _fused(rows: list[dict[str, Any]], vector: np.ndarray, named: list[str]) -> list[str]:
    """Reciprocal rank fusion of the 50 nearest and the names, row by row."""
    order = [path for path, _, _ in _reference(rows, vector, SearchOptions())]
    near = {path: 1 / (61 + rank) if rank < 50 else 0.0 for rank, path in enumerate(order)}
    return sorted(order, key=lambda path: -near[path] - (1 / (61 + named.index(path)) if path in named else 0.0))


def test_rank_fusion_matches_the_reference(library: tuple[Tables, list[dict[str, Any]]]) -> None:
    tables, rows = library
    for vector in _directions(4):
        named = tables.match_names("mug", limit=50)
        assert named
        assert all("/mug" in path for path in named)
        hits = search(tables, vector, SearchOptions(text="mug"), top_k=5)
        assert {hit.path for hit in hits} == set(_fused(rows, vector, named)[:5])
        assert all(hit.name_match == (hit.path in named) for hit in hits)


def test_reopened_library_gives_the_same_hits(library: tuple[Tables, list[dict[str, Any]]]) -> None:
    tables, _ = library
    again = Tables.open(tables.uri)
    for vector in _directions(3):
        assert [hit.path for hit in search(again, vector, SearchOptions())] == [hit.path for hit in search(tables, vector, SearchOptions())]


def test_excluded_file_is_replaced_by_the_next(library: tuple[Tables, list[dict[str, Any]]], tmp_path: Path) -> None:
    tables, rows = library
    vector = np.asarray(rows[7]["vector"], np.float32)
    expected = [path for path, _, _ in _reference(rows, vector, SearchOptions())]
    assert expected[0] == rows[7]["path"]
    assert [hit.path for hit in search(tables, vector, SearchOptions(), top_k=4, exclude=expected[0])] == expected[1:5]
