"""`basrelief evaluate` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.types import Mesh
from support import dataset_miniatures, scan_miniatures

from .conftest import Run

CLASSES = ("airplane", "chair", "mug")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of two clouds."""
    for name in CLASSES:
        (tmp_path / "mine" / name).mkdir(parents=True)
        for seed in range(2):
            shape = make_shape(name, seed=500 + seed)
            assert isinstance(shape, Mesh)
            save(sample_surface(shape, 512, seed=seed), tmp_path / "mine" / name / f"{seed}.ply")
    return tmp_path / "mine"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))


def card(out: Path) -> dict[str, object]:
    (path,) = out.glob("*/card.json")
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def test_a_card_is_written_and_its_figures_are_printed(run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("tiny on mine all, zero-shot   protocol ")
    assert lines[1].split()[:2] == ["top-1", "accuracy"]
    assert lines[-1].startswith("card: ")
    folder = Path(lines[-1].removeprefix("card: ")).parent
    assert {path.name for path in folder.iterdir()} == {"card.json", "card.html", "card.png", "answers.csv"}


def test_two_runs_give_the_same_card_but_for_the_run(run: Run, root: Path, tmp_path: Path) -> None:
    run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "a")
    run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "b", "--fresh")
    one, other = card(tmp_path / "a"), card(tmp_path / "b")
    for own in ("run", "command"):
        one.pop(own), other.pop(own)
    assert one == other


def test_what_was_embedded_is_not_embedded_again(run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.models import Model

    run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out")

    def forbidden(*_: object, **__: object) -> None:
        raise RuntimeError("embedded again")

    monkeypatch.setattr(Model, "features", forbidden)
    assert run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out").code == 0
    with pytest.raises(RuntimeError, match="embedded again"):
        run("--traceback", "evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "--fresh")


def test_a_limit_takes_every_class_and_the_card_says_so(run: Run, root: Path, tmp_path: Path) -> None:
    run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "--limit", 3)
    protocol = card(tmp_path / "out")["protocol"]
    assert protocol["data"]["shapes"] == 3  # type: ignore[index]
    assert protocol["data"]["labels"] == 3  # type: ignore[index]


def test_a_bad_file_counts_as_wrong_and_ends_with_1(run: Run, root: Path, tmp_path: Path) -> None:
    (root / "mug" / "0.ply").write_bytes(b"ply\njunk")
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out")
    assert ended.code == 1
    assert "basrelief: 1 of 6 shapes could not be used" in ended.err
    written = card(tmp_path / "out")
    ((name, reason),) = written["failures"]  # type: ignore[misc]
    assert name.endswith("mug/0.ply")
    assert reason
    metrics = {metric["name"]: metric for metric in written["metrics"]}  # type: ignore[attr-defined]
    assert metrics["top1"]["count"] == 6
    assert metrics["top1"]["value"] < 100


def test_programs_get_the_card(run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "--json")
    assert json.loads(ended.out) == card(tmp_path / "out")


def test_few_shot_draws_shots_from_the_folder(run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "-t", "few-shot", "--shots", "1", "--draws", 2)
    assert ended.code == 0
    assert "1 shot" in ended.out


def test_calibration_writes_a_file_that_classify_takes(run: Run, root: Path, tmp_path: Path) -> None:
    for i in range(6):
        (root / "chair" / f"more{i}.ply").write_bytes((root / "chair" / f"{i % 2}.ply").read_bytes())
    assert run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "-t", "calibration").code == 0
    (written,) = (tmp_path / "out").glob("*/calibration.json")
    ended = run("classify", root / "mug" / "0.ply", "-l", ",".join(CLASSES), "--calibration", written, "--min-confidence", 0.01)
    assert ended.code == 0


def test_retrieval_in_one_direction(run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "-t", "retrieval", "--queries", "text")
    assert ended.code == 0
    assert "text" in ended.out
    assert "image" not in ended.out.partition("card: ")[0]


def test_settings_that_are_given_are_on_the_card(run: Run, root: Path, tmp_path: Path) -> None:
    run(
        "evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "--points", 100, "--templates", "clip", "--up", "y", "--seed", 3
    )
    protocol = card(tmp_path / "out")["protocol"]
    assert protocol["model"]["points"] == 100  # type: ignore[index]
    assert protocol["model"]["templates"] == "clip"  # type: ignore[index]
    assert protocol["data"]["up axis"] == "y"  # type: ignore[index]
    assert protocol["seed"] == 3  # type: ignore[index]


def test_other_rules_for_views_and_prompts_are_on_the_card(run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", "tiny", "auto", "--root", root, "-o", tmp_path / "out", "--pooling", "entropy:3", "--candidates", "2")
    assert ended.code == 0, ended.err
    settings = card(tmp_path / "out")["protocol"]["model"]  # type: ignore[index]
    assert (settings["pooling"], settings["views kept"], settings["candidates"]) == ("entropy", 3, 2)
    assert settings["detailed prompts"].endswith(", function")


def test_a_wrong_count_ends_with_2_and_partial_accepts_it(run: Run, tmp_path: Path) -> None:
    data = dataset_miniatures.modelnet_off(tmp_path / "data")
    ended = run("evaluate", "tiny", "modelnet40", "--root", data, "-o", tmp_path / "out", "--limit", 2)
    assert ended.code == 2
    assert "40 shapes, 2,468 expected in ModelNet40 test" in ended.err
    accepted = run("evaluate", "tiny", "modelnet40", "--root", data, "-o", tmp_path / "out", "--limit", 2, "--partial")
    assert accepted.code == 0
    assert "40 shapes, 2,468 expected" in accepted.out


def test_the_published_table_stands_beside_our_cards(run: Run, tmp_path: Path) -> None:
    ended = run("evaluate", "--table", 1, "-o", tmp_path / "out")
    assert ended.code == 0
    for word in ("modelnet40", "objaverse-lvis", "OpenDlign", "82.6 / 96.2 / 98.4", "weights not on this machine"):
        assert word in ended.out
    rows = [json.loads(line) for line in run("evaluate", "--table", 1, "-o", tmp_path / "out", "--json").out.splitlines()]
    assert all(row["ours"] == [None, None, None] and row["why"] for row in rows)
    assert len({(row["dataset"], row["method"], row["training"]) for row in rows}) == len(rows)


def test_the_plan_of_a_table_has_every_row(run: Run) -> None:
    rows = [json.loads(line) for line in run("evaluate", "--table", 1, "--plan", "--json").out.splitlines()]
    shown = [json.loads(line) for line in run("evaluate", "--table", 1, "--json").out.splitlines()]
    assert [(row["dataset"], row["training"], row["method"], row["paper"]) for row in rows] == [
        (row["dataset"], row["training"], row["method"], row["paper"]) for row in shown
    ]
    assert all(row["estimate"].startswith("Hours are estimates.") and row["data"]["name"] == row["dataset"] for row in rows)
    printed = run("evaluate", "--table", 1, "--plan", "modelnet40").out
    for row in rows:
        assert all((command in printed) == (row["dataset"] == "modelnet40") for command in row["commands"] if "evaluate" in command)
    for word in (
        "Weights",
        "Known to differ",
        "basrelief models fetch opendlign-h14",
        "4.0 GB",
        "hours, GPU",
        "Weights that nobody publishes",
        "preset=tamm-image-adapter",
    ):
        assert word in printed


def test_a_broken_card_is_named_beside_the_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out" / "bad").mkdir(parents=True)
    (tmp_path / "out" / "bad" / "card.json").write_text("{")
    ended = run("evaluate", "--table", 1, "-o", tmp_path / "out")
    assert ended.code in (0, 1)
    assert "bad" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "evaluate needs MODEL, DATASET and --root DIR"),
        (("tiny", "auto"), "evaluate needs MODEL, DATASET and --root DIR"),
        (("tinny", "auto", "--root", "ROOT"), "Did you mean 'tiny'"),
        (("tiny", "modelnet4", "--root", "ROOT"), "Unknown dataset 'modelnet4'; expected one of"),
        (("tiny", "auto", "--root", "nowhere"), "'nowhere' is not a folder"),
        (("tiny", "auto", "--root", "ROOT", "--task", "zeroshot"), "Did you mean 'zero-shot'"),
        (("tiny", "auto", "--root", "ROOT", "--shots", "1,two", "--task", "few-shot"), "is no list of whole numbers"),
        (("tiny", "auto", "--root", "ROOT", "--split", "tset"), "Did you mean 'test'"),
        (("tiny", "auto", "--root", "ROOT", "--templates", "clipp"), "Unknown template set 'clipp'"),
        (("tiny", "auto", "--root", "ROOT", "--limit", "0"), "limit"),
        (("tiny", "auto", "--root", "ROOT", "--queries", "smell", "--task", "retrieval"), "smell"),
        (("--plan",), "--plan needs a table. Add --table 1."),
        (("--table", "2", "--plan"), "Unknown table '2'; expected one of 1"),
        (("--table", "1", "modelnet4", "--plan"), "Unknown dataset 'modelnet4'; expected one of modelnet40"),
        (("--table", "2"), "Unknown table '2'; expected one of 1, 3"),
        (("--table", "3", "--plan"), "Table 3 has no plan. docs/research/detection.md says what it needs."),
        (("tiny", "rooms", "--seeds", "a-b", "--task", "detection"), "--seeds 'a-b' is no list of whole numbers"),
        (("tiny", "rooms", "--seeds", "3-2", "--task", "detection"), "There is no room to evaluate on"),
        (("tiny", "rooms", "--seeds", "1", "--task", "detection", "--set", "scoring.clases=best"), "clases"),
        (("tiny", "rooms", "--seeds", "1", "--task", "detection", "--set", "proposals=segment"), "Did you mean 'segments'"),
        (("tiny", "auto", "--root", "ROOT", "--task", "detection", "--set", "limit=8"), "Name it in place of 'auto'"),
        (("tiny", "scannet", "--root", "ROOT", "--task", "detection", "--set", "proposals=segments"), "does not look like scannet"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_reason(arguments: tuple[str, ...], message: str, run: Run, root: Path, tmp_path: Path) -> None:
    ended = run("evaluate", *(root if word == "ROOT" else word for word in arguments), "-o", tmp_path / "out")
    assert ended.code == 2, ended
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_scans_are_evaluated_and_a_broken_one_ends_with_1(run: Run, tmp_path: Path) -> None:
    data = scan_miniatures.scannet(tmp_path / "data", names=scan_miniatures.VAL)
    arguments = ("scannet", "--root", data, "-t", "detection", "--set", "proposals=segments", "--set", "limit=8", "-o", tmp_path / "out")
    ended = run("evaluate", "tiny", *arguments)
    assert ended.code == 0
    for words in ("mean AP at IoU 0.25", "grid of choices", "random boxes, true labels", "recall whatever the class"):
        assert words in ended.out
    table = run("evaluate", "--table", 3, "-o", tmp_path / "out")
    assert "ours: true boxes" in table.out
    (data / "scans" / scan_miniatures.VAL[0] / f"{scan_miniatures.VAL[0]}_vh_clean_2.ply").write_bytes(b"ply\n")
    ended = run("evaluate", "tiny", *arguments)
    assert ended.code == 1
    assert "1 of 2 scans could not be used" in ended.err


def test_the_published_table_of_detection(run: Run, tmp_path: Path) -> None:
    ended = run("evaluate", "--table", 3, "-o", tmp_path / "out")
    assert ended.code == 0
    for words in ("50.7", "86.3", "not run: basrelief evaluate pointclip-v2 scannet", "The paper prints 11 of the 18 classes"):
        assert words in ended.out
    rows = [json.loads(line) for line in run("evaluate", "--table", 3, "-o", tmp_path / "out", "--json").out.splitlines()]
    assert {row["iou"] for row in rows} == {0.25, 0.5}
