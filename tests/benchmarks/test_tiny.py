"""Parts of `benchmarks/tiny.py`: changes of clouds, counting, and messages about missing data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from basrelief.encoders import Tokenizer, load_encoder_folder, save_encoder
from basrelief.encoders.vocabulary import Vocabulary, write_vocabulary
from basrelief.tasks import LabelEmbeddings
from basrelief.tasks.pooling import Pooling
from basrelief.train.data import ShapeSet
from basrelief.train.tiny.towers import new_encoder
from basrelief.types import PointCloud
from support import load_script
from support.tiny_training_data import write_clip_text


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/tiny.py")


def oracle(rankings: dict[int, list[str]]) -> Callable[[Sequence[np.ndarray], Sequence[str]], list[tuple[str, ...]]]:
    """Ranking with a fixed ranking for each shape, told apart by its number of points."""
    return lambda clouds, names: [(*rankings[len(c)], *(n for n in names if n not in rankings[len(c)])) for c in clouds]


def test_a_model_is_asked_for_all_its_names(bench: ModuleType) -> None:
    model = SimpleNamespace(classify=lambda shapes, names: [SimpleNamespace(labels=tuple(names[: len(s.points)])) for s in shapes])
    assert bench.namer(model)([np.zeros((2, 3)), np.zeros((1, 3))], ["a", "b", "c"]) == [("a", "b"), ("a",)]


def test_scores_are_counted(bench: ModuleType) -> None:
    name = oracle({1: ["chair"], 2: ["x1", "x2", "x3", "x4", "chair"], 3: ["x1", "x2", "x3", "x4", "x5", "mug"]})
    clouds = [np.zeros((n, 3)) for n in (1, 2, 3)]
    right = [frozenset({"chair"}), frozenset({"chair", "stool"}), frozenset({"mug"})]
    top1, top5, mean, found = bench.score(name, clouds, right, ["chair", "mug"])
    assert (top1, top5) == pytest.approx((1 / 3, 2 / 3))
    assert mean == pytest.approx(0.25)
    assert len(found) == 3


def test_a_row_is_one_line_of_percent(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    bench.line("title", (0.5, 0.75, 0.25, [(), ()]))
    assert capsys.readouterr().out.split() == "title n 2 top-1 50.0% top-5 75.0% class mean 25.0%".split()


def test_a_table_tells_what_wrong_ones_were_called(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    named = [("chair", "desk"), ("stool", "chair"), ("lamp", "desk"), ("table", "lamp")]
    bench.table((0.0, 0.0, 0.0, named), [frozenset({name}) for name in ("chair", "chair", "table", "lamp")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["chair", "n", "2", "top-1", "50.0%", "stool"],
        ["lamp", "n", "1", "top-1", "0.0%", "table"],
        ["table", "n", "1", "top-1", "0.0%", "lamp"],
    ]


def test_names_never_shown_get_rows_of_their_own(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [("chair",), ("cow", "pig"), ("cow", "horse", "zebra")]
    right = [frozenset({name}) for name in ("chair", "pig", "zebra")]
    asked: list[Sequence[str]] = []

    def name(clouds: Sequence[np.ndarray], names: Sequence[str]) -> list[tuple[str, ...]]:
        asked.append(names)
        return [("pig", "zebra")] * len(clouds)

    clouds = [np.zeros((n, 3)) for n in (1, 2, 3)]
    bench.by_training(name, (clouds, right), (1 / 3, 1.0, 1 / 3, answers), ("chair", "cow", "horse"))
    shown, never, own = (line.split() for line in capsys.readouterr().out.splitlines())
    assert asked == [["pig", "zebra"]]
    assert (shown[-9:-3], never[-9:-6]) == ("n 1 top-1 100.0% top-5 100.0%".split(), "n 2 top-1".split())
    assert never[-6:-3] == "0.0% top-5 100.0%".split()
    assert own[-9:-3] == "n 2 top-1 50.0% top-5 100.0%".split()


def test_realistic_labels_may_be_several(bench: ModuleType, tmp_path: Path) -> None:
    points = np.zeros((2, 5000, 3), dtype=np.float16)
    np.savez(tmp_path / "r.npz", points=points, label=np.array(["desk", "ball"]), alt=np.array(["table|bench", ""]))
    clouds, right = bench.realistic(tmp_path / "r.npz")
    assert right == [{"desk", "table", "bench"}, {"ball"}]
    assert clouds[0].shape == (4096, 3)


@pytest.mark.parametrize("count", [256, 512, 1024, 2048, 4096])
def test_point_counts(bench: ModuleType, count: int) -> None:
    cloud = np.random.default_rng(0).normal(size=(4096, 3))
    fewer = bench.corrupted()[f"{count} points"](cloud, np.random.default_rng(1))
    assert len(fewer) == count
    assert set(map(tuple, fewer)) <= set(map(tuple, cloud))


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.04])
def test_noise_has_its_spread(bench: ModuleType, spread: float) -> None:
    changed = bench.corrupted()[f"noise {spread}"](np.zeros((5000, 3)), np.random.default_rng(0))
    assert changed.std() == pytest.approx(spread, rel=0.05)


def test_half_scans_keep_one_side(bench: ModuleType) -> None:
    cloud = np.random.default_rng(0).normal(size=(2000, 3))
    kept = bench.corrupted()["half scan"](cloud, np.random.default_rng(2))
    assert 800 < len(kept) < 1200
    assert abs(kept[:, 2].mean()) < 0.1 < np.linalg.norm(kept[:, :2].mean(axis=0))


@pytest.mark.parametrize(("name", "height_kept"), [("random yaw", True), ("tilted 15 degrees", False), ("lying on its side", False)])
def test_turns_keep_lengths(bench: ModuleType, name: str, height_kept: bool) -> None:
    cloud = np.random.default_rng(0).normal(size=(50, 3))
    turned = bench.corrupted()[name](cloud, np.random.default_rng(3))
    assert np.allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(cloud, axis=1))
    assert np.allclose(turned[:, 2], cloud[:, 2]) == height_kept


def test_outliers_are_a_twentieth(bench: ModuleType) -> None:
    cloud = np.full((4000, 3), 5.0)
    moved = (bench.corrupted()["5 % outliers"](cloud, np.random.default_rng(0)) != 5).all(axis=1)
    assert moved.mean() == pytest.approx(0.05, abs=0.01)


def test_missing_data_is_reported(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = SimpleNamespace(encoder=SimpleNamespace(fingerprint="0" * 64))
    monkeypatch.setattr(bench.br, "load_model", lambda *_, **__: model)
    monkeypatch.setattr(bench, "CATEGORIES", ("mug",))
    monkeypatch.setattr(bench, "score", lambda *_: (0.0, 0.0, 0.0, []))
    monkeypatch.setattr(bench, "timing", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["tiny.py", "--each", "1", "--threads", "1"])
    bench.main()
    printed = capsys.readouterr().out
    assert "validation shapes: skipped, the folder of labelled shapes is absent (--shapes)" in printed
    assert "realistic shapes: skipped, the file is absent (--realistic)" in printed
    assert "text: skipped, the folder of recorded features is absent (--clip-text)" in printed
    assert "robustness, over the generated names:" in printed


def test_answers_are_counted_by_files(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "CATEGORIES", ("chair",))
    counts = {"chair": 9, "gate": 1, "cow": 2, "cup": 3, "car": 7, "cat": 8}
    names = tuple(counts)
    label = torch.arange(len(names)).repeat_interleave(torch.tensor(list(counts.values())))
    training = ShapeSet(torch.zeros(len(label), 1, 3), label, names, ("a pack",) * len(label))
    right = [frozenset({name}) for name in ("chair", "gate", "cow", "cup", "cup", "car", "cat", "never shown")]
    said = [("chair",), ("gate",), ("cup",), ("cup",), ("cow",), ("car",), ("cow",), ("cow",)]
    bench.by_files(right, (0.0, 0.0, 0.0, said), training)
    rows = [(row[:44].strip(), row[46:].split()[0], row[46:].split()[2]) for row in capsys.readouterr().out.splitlines()]
    assert rows == [
        ("of them, names with 1 file", "1", "100.0%"),
        ("of them, names with 2 or 3 files", "3", "33.3%"),
        ("of them, names with 4 to 7 files", "1", "100.0%"),
        ("of them, names with 8 files or more", "1", "0.0%"),
        ("of them, names with generated shapes, too", "1", "100.0%"),
    ]


def test_the_model_of_a_run_is_evaluated(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = new_encoder(Tokenizer.train(["a chair", "a mug"], vocab_size=560), seed=5)
    save_encoder(encoder, tmp_path)
    write_vocabulary(tmp_path, Vocabulary(("chair", "mug"), ()), source="a test")
    monkeypatch.setattr(bench, "CATEGORIES", ("chair", "mug"))
    monkeypatch.setattr(bench, "corrupted", dict)
    monkeypatch.setattr("sys.argv", ["tiny.py", "--each", "1", "--threads", "1", "--repeats", "1", "--model", str(tmp_path)])
    bench.main()
    printed = capsys.readouterr().out
    assert printed.startswith(f"tiny {load_encoder_folder(tmp_path).fingerprint[:12]} on ")
    assert "generated, validation seeds, 2 names" in printed
    assert " n    2 " in printed
    assert "most memory of this process: " in printed


def test_a_text_tower_that_is_right_scores_in_full(bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip_text = write_clip_text(tmp_path)
    known = {name: torch.from_numpy(row) for name, row in bench.recorded_features(clip_text).items()}
    model = SimpleNamespace(embed_text=lambda names: torch.stack([known[name] for name in names]))
    bench.text(model, clip_text)
    assert "cosine 1.000, after taking off the mean 1.000" in capsys.readouterr().out


class Points:
    """A model that embeds a shape as its first point; a name of the shown ones is one axis, of the others nearly the same."""

    def __init__(self) -> None:
        self.encoder = SimpleNamespace(vocabulary=Vocabulary(("cat", "cup"), ("lion",)))
        self.recipe = SimpleNamespace(pooling=Pooling("mean"))

    def embed_views(self, shapes: Sequence[PointCloud]) -> torch.Tensor:
        return torch.stack([torch.tensor(shape.points[:1]) for shape in shapes])

    def encode_labels(self, labels: Sequence[str]) -> LabelEmbeddings:
        place = {"cat": (1.0, 0.0, 0.0), "cup": (0.0, 1.0, 0.0), "tiger": (0.96, 0.0, 0.28), "lion": (0.0, 0.0, -1.0)}
        return LabelEmbeddings(
            torch.tensor([place[name] for name in labels]), torch.tensor(self.encoder.vocabulary.class_penalties(labels))
        )


def _cats_and_tigers(last: str = "a pack") -> ShapeSet:
    points = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.1]])[:, None]
    away = "street pack / Quaternius"
    groups = ("a pack", away, away, away, last)
    return ShapeSet(points, torch.tensor([0, 0, 1, 2, 2]), ("cat", "cup", "tiger"), groups)


def test_a_seen_class_penalty_gives_to_some_names_and_takes_from_others(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    model = Points()
    bench.seen_class_penalties(model, _cats_and_tigers(), [0.0, 0.02, 0.07])  # times log 2
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("top-1 of 2 validation shapes of names it was shown, of 2 files of names it was not")
    assert all(row.startswith("over     3 names, penalty 0") for row in rows[:3])
    assert all(row.startswith("over     4 names, penalty 0") for row in rows[3:])
    assert [[word for word in row.split() if word[-1] == "%"] for row in rows[:3]] == [
        ["100.0%", "0.0%", "0.0%"],
        ["100.0%", "50.0%", "66.7%"],
        ["50.0%", "100.0%", "66.7%"],
    ]
    assert all(row.endswith("100.0%     0.0%     0.0%") for row in rows[3:])  # as many of the one as of the other: nothing is taken off
    assert model.encoder.vocabulary.seen_class_penalty == 0.0


def test_all_files_of_names_left_out_are_asked_for(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    name = lambda clouds, names: [tuple(names)] * len(clouds)  # noqa: E731
    bench.print_unseen(name, _cats_and_tigers(), ("cup",))
    over_all, own = (line.split() for line in capsys.readouterr().out.splitlines())
    assert " ".join(over_all).startswith("all files of 2 names it never saw in 3D n 4 top-1 50.0%")
    assert " ".join(own).startswith("over their own names n 4 top-1 50.0%")
    bench.print_unseen(name, _cats_and_tigers("street pack / Quaternius"), ("cat", "cup"))
    assert capsys.readouterr().out == ""  # they have their rows among the validation shapes


def test_test_makers_are_named_by_themselves(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "namer", lambda _: lambda clouds, names: [tuple(names)] * len(clouds))
    shapes = replace(_cats_and_tigers(), group=("a pack", "street pack", "KayKit / Kay", "Kator Legaz", "KayKit / Kay"))
    bench.report_test(Points(), shapes, classes=False)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [row.split(" top-1")[0] for row in rows] == [
        "test makers, 3 names n 3",
        "of them, by KayKit n 2",
        "of them, by Kator Legaz n 1",
        "of them, names it was shown in 3D n 1",
        "of them, 1 names it never saw in 3D n 2",
        "names it was shown, over those alone n 1",
    ]
    bench.report_test(Points(), _cats_and_tigers(), classes=False)
    assert capsys.readouterr().out == "test makers: skipped, the folder holds none of their shapes (--shapes)\n"


def test_seen_class_penalties_need_shapes(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["tiny.py", "--seen-class-penalties", "0.01"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "--seen-class-penalties needs --shapes" in capsys.readouterr().err
