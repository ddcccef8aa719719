"""Every command takes a model that reads points: small random networks from a local hub, by name alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("lancedb")

from basrelief.index import Index
from basrelief.io import save
from basrelief.shapes import make_shape, write_library
from basrelief.types import Mesh
from basrelief.web.service import LibraryService
from support.published_hub import published_hub

from .conftest import Run

MODEL = "tamm-pointbert"  # two features of a cloud, a text tower of its own
CLASSES = ("chair", "mug", "table")


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run) -> Iterator[None]:
    """The model, fetched."""
    monkeypatch.chdir(tmp_path)
    with published_hub(monkeypatch, tmp_path / "machine"):
        assert run("models", "fetch", MODEL, "--yes").code == 0
        yield


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Four shapes of each class."""
    return write_library(tmp_path / "shapes", CLASSES, each=4)


def answer(run: Run, *arguments: object) -> str:
    ended = run(*arguments)
    assert ended.code == 0, (arguments, ended)
    return ended.out


def test_classify(run: Run, files: list[Path], tmp_path: Path) -> None:
    picture = tmp_path / "seen.png"
    out = answer(run, "classify", files[0], "-l", "chair,table", "-m", MODEL, "--json", "--picture", picture, "--pose", "axes")
    record = json.loads(out)
    assert record["model"] == MODEL
    assert [view["view"] for view in record["views"]] == ["text adapter", "image adapter"]
    with Image.open(picture) as evidence:
        assert evidence.width > 400
    exported = tmp_path / "labels.safetensors"
    answer(run, "models", "export-text", MODEL, "-l", "chair,table", "-o", exported)
    again = answer(run, "classify", files[0], "-l", "chair,table", "-m", MODEL, "--json", "--text", exported, "--pose", "axes")
    assert json.loads(again)["scores"] == pytest.approx(record["scores"], abs=1e-4)


def test_index_search_similar_and_tag(run: Run, library: Path, files: list[Path]) -> None:
    assert "12 read" in answer(run, "index", library, "--db", "lib.lance", "-m", MODEL, "--jobs", 1)
    assert len(answer(run, "search", "a red chair", "--db", "lib.lance", "--json", "--top", 3).splitlines()) == 3
    first = next(library.rglob("*.*"))
    nearest = json.loads(answer(run, "search", "--shape", first, "--db", "lib.lance", "--json", "--top", 1))
    assert nearest["path"].endswith(first.name)
    Image.new("RGB", (40, 30), "red").save("photo.png")
    assert answer(run, "search", "--image", "photo.png", "--db", "lib.lance", "--json", "--top", 1)
    assert len(answer(run, "similar", files[0], "--db", "lib.lance", "--json", "--top", 2).splitlines()) == 2
    tagged = answer(run, "tag", "-l", "chair,mug", "--db", "lib.lance", "--json", "--write").splitlines()
    assert {json.loads(line)["label"] for line in tagged} <= {"chair", "mug"}
    assert len(tagged) == 12


def test_the_service_of_the_app(run: Run, library: Path, tmp_path: Path) -> None:
    answer(run, "index", library, "--db", "lib.lance", "-m", MODEL, "--jobs", 1)
    shape = make_shape("mug", seed=3)
    assert isinstance(shape, Mesh)
    save(shape, tmp_path / "upload.glb")
    service = LibraryService(Index.open("lib.lance"), jobs=0)
    try:
        assert len(service.search_results(service.make_query("mug")).paths) == 12
        vector = service.embed_shape(tmp_path / "upload.glb")
        assert service.search(service.make_query("", embeddings=[vector]))
        prediction, picture = service.classify(tmp_path / "upload.glb", "car, mug")
        assert prediction.label in {"car", "mug"}
        with Image.open(picture) as evidence:
            assert evidence.width > 400
        assert len(service.propose_tags("chair, mug")) == 12
    finally:
        service.close()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("zero-shot",), id="zero-shot"),
        pytest.param(("few-shot", "--shots", "1", "--draws", 1, "--head", "probe"), id="probe"),
        pytest.param(("few-shot", "--shots", "1", "--draws", 1, "--head", "cache"), id="cache", marks=pytest.mark.slow),
        pytest.param(("retrieval",), id="retrieval", marks=pytest.mark.slow),
        pytest.param(("calibration",), id="calibration", marks=pytest.mark.slow),
        pytest.param(("robustness", "--limit", 3), id="robustness", marks=pytest.mark.slow),
    ],
)
def test_evaluate(options: tuple[object, ...], run: Run, library: Path, tmp_path: Path) -> None:
    card = json.loads(
        answer(run, "evaluate", MODEL, "auto", "--root", library, "--points", 300, "-o", tmp_path / "out", "--json", "-t", *options)
    )
    assert card["protocol"]["model"]["recipe"] == MODEL
    assert card["metrics"]
    assert not card["failures"]


def test_a_head_is_fitted_and_used(run: Run, library: Path, files: list[Path], tmp_path: Path) -> None:
    answer(run, "train", "adapter", "-m", MODEL, "--root", library, "--shots", 2, "-o", tmp_path / "head.safetensors")
    out = answer(run, "classify", files[0], "--adapter", tmp_path / "head.safetensors", "--json")
    assert json.loads(out)["label"] in CLASSES


def test_doctor(run: Run, library: Path) -> None:
    found = {line["check"]: line for line in map(json.loads, answer(run, "doctor", MODEL, "--json").splitlines())}
    assert "10,000 points" in found["clouds"]["fact"]
    assert "weights" not in found  # all of them are on this machine
    answer(run, "models", "export-text", MODEL, "-l", "chair,mug", "-o", "labels.safetensors")
    ended = run("doctor", library, "--model", MODEL, "--text", "labels.safetensors")
    assert ended.code == 1
    assert "1 of 3 labels of the data were not exported, e.g. 'table'." in ended.out
    answer(run, "doctor", library, "--model", MODEL)
    assert MODEL in answer(run, "models")
    costs = [json.loads(line) for line in answer(run, "models", "--cost", "--json").splitlines()]
    assert next(cost for cost in costs if cost["name"] == MODEL)["encode_ms"] > 0


def test_ensembles(run: Run, library: Path, files: list[Path]) -> None:
    names = f"tiny+{MODEL}"
    record = json.loads(answer(run, "classify", files[0], "-l", "chair,table", "-m", names, "--json"))
    assert [view["view"] for view in record["views"]] == ["tiny", MODEL]
    fitted = json.loads(answer(run, "train", "ensemble", names, "--root", library, "-o", "both.json", "--json"))
    assert fitted["shapes"] == 12
    assert fitted["scales"]["tiny"] > fitted["scales"][MODEL], "the random network knows nothing"
    assert fitted["accuracy"]["ensemble"] >= fitted["accuracy"][MODEL]
    again = json.loads(answer(run, "classify", files[0], "-l", "chair,table", "-m", "both.json", "--json"))
    assert again["model"] == names
    assert again["scores"] != record["scores"]
    assert names in answer(run, "evaluate", "both.json", "auto", "--root", library, "-o", "cards")
    assert "12 read" in answer(run, "index", library, "--db", "both.lance", "-m", names, "--jobs", 1)
    assert len(answer(run, "search", "a chair", "--db", "both.lance", "--json", "--top", 3).splitlines()) == 3


def test_an_ensemble_is_not_fitted_where_figures_are_reported(run: Run, library: Path) -> None:
    ended = run("train", "ensemble", f"tiny+{MODEL}", "--root", library, "--split", "test")
    assert ended.code != 0
    assert "The test split reports figures, so it cannot choose scales" in ended.err
    ended = run("train", "ensemble", "tiny", "--root", library)
    assert "tiny is one model. Join several with +" in ended.err
