"""How well `tiny` names shapes it has never seen, and how fast.

    python benchmarks/tiny.py
    python benchmarks/tiny.py --shapes SHAPES --realistic REALISTIC.npz --clip-text CLIP_TEXT
    python benchmarks/tiny.py --shapes SHAPES --model RUN --seen-class-penalties 0 0.02 0.04

None of these shapes was trained on; all names of the files compete, by the views and pooling of the recipe. Some names have shapes in
the held-out packs only, and a run with `unseen_classes` had no file of some more: those the model never saw in 3D, and they get rows of
their own, all their files. With `--seen-class-penalties`, a row for each value tells what it gives these names and takes from the others.
The held-out packs and creators are those of `basrelief.train.data.HELD_OUT`. Generated shapes use seeds from 100,000 on; training
used seeds below 1,000. Realistic shapes may have several right labels; they are also named over their own labels only.
"""

from __future__ import annotations

import argparse
import bisect
import platform
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import basrelief as br
from basrelief.encoders import load_encoder_folder
from basrelief.models import Model
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.tasks import classify_embeddings
from basrelief.train.data import HELD_OUT, ShapeSet, generated_shapes, merge, read_shapes, split_groups
from basrelief.train.tiny.text import recorded_features
from basrelief.types import PointCloud

POINTS = 4096
UNSEEN = 100_000
_FILES = ("1 file", "2 or 3 files", "4 to 7 files", "8 files or more")
_MOST = (2, 4, 8)

Clouds = Sequence[np.ndarray]
Right = Sequence[frozenset[str]]
Namer = Callable[[Clouds, Sequence[str]], list[tuple[str, ...]]]
Figures = tuple[float, float, float, list[tuple[str, ...]]]


def namer(model: br.Model) -> Namer:
    """Names of clouds, best first, by a model."""
    return lambda clouds, names: [p.labels for p in model.classify([PointCloud(np.asarray(c, dtype=np.float32)) for c in clouds], names)]


def score(name: Namer, clouds: Clouds, right: Right, names: Sequence[str]) -> Figures:
    """Top-1, top-5 and the mean over classes of top-1, with the answers."""
    found = name(clouds, names)
    first = np.array([labels[0] in ok for labels, ok in zip(found, right, strict=True)])
    five = np.array([bool(set(labels[:5]) & ok) for labels, ok in zip(found, right, strict=True)])
    main = np.array([sorted(ok)[0] for ok in right])
    return float(first.mean()), float(five.mean()), float(np.mean([first[main == name].mean() for name in np.unique(main)])), found


def line(title: str, figures: Figures) -> None:
    """Print one row of figures in percent."""
    top1, top5, mean, found = figures
    print(f"{title:<44} n {len(found):>4}   top-1 {top1:6.1%}   top-5 {top5:6.1%}   class mean {mean:6.1%}")


def table(figures: Figures, right: Right) -> None:
    """A line for each class: shapes, top-1, and what the wrong ones were called."""
    main = [min(ok) for ok in right]
    for name in sorted(set(main)):
        called = [labels[0] for labels, own in zip(figures[3], main, strict=True) if own == name]
        wrong = ", ".join(sorted({other for other in called if other != name}))
        print(f"    {name:<24} n {len(called):>3}   top-1 {called.count(name) / len(called):6.1%}   {wrong}")


def shown_or_not(name: Namer, held: tuple[Clouds, Right], figures: Figures, taught: Sequence[str]) -> None:
    """The same answers by whether the model was shown other shapes of that name; where it was not, over those names alone, too."""
    clouds, right = held
    never = {min(ok) for ok in right} - set(taught)
    for title, wanted in (("of them, names it was shown in 3D", False), (f"of them, {len(never)} names it never saw in 3D", True)):
        rows = [i for i, ok in enumerate(right) if (min(ok) in never) == wanted]
        own = [right[i] for i in rows]
        again(title, rows, right, figures)
        if rows and wanted and len(never) > 1:
            line("  the latter, over their own names", score(name, [clouds[i] for i in rows], own, sorted(never)))


def print_unseen(name: Namer, files: ShapeSet, taught: Sequence[str]) -> None:
    """All files of the names that the model was never shown, where some were in the packs to train on, over all names and over theirs."""
    never, theirs = _never_shown(files, taught)
    if _never_shown(split_groups(files, HELD_OUT)[0], taught)[0]:
        clouds, right = labelled(files.select(theirs))
        line(f"all files of {len(never)} names it never saw in 3D", score(name, clouds, right, files.names))
        line("  over their own names", score(name, clouds, right, never))


def seen_class_penalties(model: br.Model, files: ShapeSet, values: Sequence[float]) -> None:
    """Top-1 of held-out shapes with names that were shown, and of all files without, over the files' names and over all it has read."""
    known, held = model.encoder.known, split_groups(files, HELD_OUT)[1]
    seen, new = held.select(~_never_shown(held, known.taught)[1]), files.select(_never_shown(files, known.taught)[1])
    views = [model.embed_views([PointCloud(cloud) for cloud in labelled(shapes)[0]]) for shapes in (seen, new)]
    print(f"top-1 of {len(seen)} held-out shapes of names it was shown, of {len(new)} files of names it was not, and their harmonic mean")
    for names in (files.names, tuple(dict.fromkeys([*files.names, *known.names]))):
        for value in values:
            model.encoder.known = replace(known, seen_class_penalty=value)
            asked, right = model.encode_labels(names), []
            for shapes, seen_from in zip((seen, new), views, strict=True):
                found = classify_embeddings(seen_from, asked, labels=names, pooling=model.recipe.pooling)
                right.append(np.mean([p.label == files.names[i] for p, i in zip(found, shapes.label.tolist(), strict=True)]))
            both = 2 * right[0] * right[1] / max(sum(right), 1e-9)
            print(f"over {len(names):>5} names, penalty {value:<7g} {right[0]:6.1%}   {right[1]:6.1%}   {both:6.1%}")
    model.encoder.known = known


def _never_shown(files: ShapeSet, taught: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names that were not shown, and which files are theirs."""
    name = np.array(files.names)[files.label.numpy()]
    theirs = ~np.isin(name, taught)
    return sorted(set(name[theirs].tolist())), theirs


def again(title: str, rows: Sequence[int], right: Right, figures: Figures) -> None:
    """A line for some of the shapes that were named already."""
    answers = [figures[3][i] for i in rows]
    if rows:
        line(f"  {title}", score(lambda *_: answers, (), [right[i] for i in rows], ()))


def by_files(right: Right, figures: Figures, training: ShapeSet) -> None:
    """The same answers by how many files of their name there were to train on; names with generated shapes by themselves."""
    files = Counter(training.names[i] for i in training.label.tolist())
    kinds = {name: "generated shapes, too" for name in CATEGORIES}
    kinds |= {name: _FILES[bisect.bisect(_MOST, n)] for name, n in files.items() if name not in kinds}
    for kind in dict.fromkeys([*_FILES, *kinds.values()]):
        rows = [i for i, ok in enumerate(right) if kinds.get(min(ok)) == kind]
        again(f"of them, names with {kind}", rows, right, figures)


def labelled(shapes: ShapeSet) -> tuple[Clouds, Right]:
    """Clouds and their one right name."""
    return list(shapes.points.float().numpy()), [frozenset({shapes.names[i]}) for i in shapes.label.tolist()]


def realistic(path: Path) -> tuple[Clouds, Right]:
    """Recorded realistic clouds with all labels that count as right."""
    with np.load(path) as record:
        clouds = list(record["points"][:, :POINTS].astype(np.float32))
        right = [frozenset(filter(None, [str(a), *str(b).split("|")])) for a, b in zip(record["label"], record["alt"], strict=True)]
    return clouds, right


def corrupted() -> dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]:
    """What is done to clouds to see when the answer breaks."""
    return {
        **{f"{n} points": lambda c, r, n=n: c[r.permutation(len(c))[:n]] for n in (256, 512, 1024, 2048, 4096)},
        **{f"noise {s}": lambda c, r, s=s: c + r.normal(0, s, c.shape) for s in (0.01, 0.02, 0.04)},
        "5 % outliers": lambda c, r: np.where(r.random((len(c), 1)) < 0.05, r.uniform(-1, 1, c.shape), c),
        "half scan": lambda c, r: c[c @ _direction(r) > 0],
        "random yaw": lambda c, r: c @ _about(2, r.uniform(0, 2 * np.pi)),
        "tilted 15 degrees": lambda c, r: c @ _about(2, r.uniform(0, 2 * np.pi)) @ _about(0, np.radians(15)),
        "lying on its side": lambda c, r: c @ _about(0, np.pi / 2),
    }


def _direction(r: np.random.Generator) -> np.ndarray:
    angle = r.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def _about(axis: int, angle: float) -> np.ndarray:
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


def text(model: br.Model, folder: Path) -> None:
    """How near the text tower comes to the recorded features it was taught."""
    recorded = recorded_features(folder)
    target = np.stack(list(recorded.values()))
    given = model.embed_text(list(recorded)).numpy()
    right = (given @ target.T).argmax(axis=1) == np.arange(len(target))
    mean = target.mean(axis=0)
    centred = [(x - mean) / np.linalg.norm(x - mean, axis=1, keepdims=True) for x in (given, target)]
    print(
        f"text, {len(recorded)} recorded names: cosine {(given * target).sum(axis=1).mean():.3f}, after taking off the mean "
        f"{(centred[0] * centred[1]).sum(axis=1).mean():.3f}, nearest name right {right.mean():.1%}"
    )


def timing(model: br.Model, repeats: int) -> None:
    """Best and median milliseconds to name one generated chair from its mesh, and from 4096 points."""
    mesh = make_shape("chair", seed=UNSEEN)
    for title, shape in (("mesh", mesh), ("4096 points", br.PointCloud(np.array(mesh.vertices[np.arange(POINTS) % len(mesh.vertices)])))):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            model.classify([shape], ["chair", "table", "lamp"])
            times.append((time.perf_counter() - start) * 1e3)
        print(f"one shape from its {title:<12} best {min(times):6.1f} ms   median {np.median(times):6.1f} ms")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of labelled shapes, its table beside it")
    parser.add_argument("--realistic", type=Path, help="npz of realistic clouds: points, label, alt")
    parser.add_argument("--clip-text", type=Path, help="folder of recorded CLIP text features")
    parser.add_argument("--each", type=int, default=5, help="generated shapes of each category")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--model", type=Path, help="folder of a run of `basrelief train tiny`; the shipped model without it")
    parser.add_argument("--seen-class-penalties", type=float, nargs="+", help="try these on the names it was shown, and print nothing else")
    parser.add_argument("--classes", action="store_true", help="a line for each class of the held-out packs")
    parser.add_argument("--wrong", action="store_true", help="list the realistic shapes that are named wrongly")
    given = parser.parse_args()
    if given.seen_class_penalties and not (given.shapes and given.shapes.is_dir()):
        parser.error("--seen-class-penalties needs --shapes, the folder of labelled shapes")
    return given


def held_out(model: br.Model, files: ShapeSet, *, classes: bool) -> None:
    """The shapes of the held-out packs over all names."""
    training, away = split_groups(files, HELD_OUT)
    held = labelled(away)
    figures = score(namer(model), *held, files.names)
    line(f"held-out packs, {len(files.names)} names", figures)
    if model.encoder.known:
        shown_or_not(namer(model), held, figures, model.encoder.known.taught)
    by_files(held[1], figures, training)
    if model.encoder.known:
        print_unseen(namer(model), files, model.encoder.known.taught)
    if classes:
        table(figures, held[1])


def main() -> None:
    """Print every figure that the data at hand allows."""
    given = arguments()
    torch.set_num_threads(given.threads)
    model = br.load_model("tiny", device="cpu", dtype="float32")
    if given.model is not None:
        model = Model(model.recipe, load_encoder_folder(given.model))
    name = namer(model)
    device = f"{platform.machine()}, {given.threads} threads, torch {torch.__version__}"
    print(f"tiny {model.encoder.fingerprint[:12]} on {device}, {time.strftime('%Y-%m-%d')}")
    generated = generated_shapes(CATEGORIES, given.each, count=POINTS, seed=UNSEEN)
    files = None
    if given.shapes is None or not given.shapes.is_dir():
        print("held-out packs: skipped, the folder of labelled shapes is absent (--shapes)")
        names = list(CATEGORIES)
    else:
        files = merge([read_shapes(given.shapes, count=POINTS), generated.select(np.zeros(len(generated), dtype=bool))])
        names = list(files.names)
        if given.seen_class_penalties:
            seen_class_penalties(model, files, given.seen_class_penalties)
            return
        held_out(model, files, classes=given.classes)
    line(f"generated, unseen seeds, {len(names)} names", score(name, *labelled(generated), names))
    target = labelled(generated)
    if given.realistic is None or not given.realistic.is_file():
        print("realistic shapes: skipped, the file is absent (--realistic)")
    else:
        target = realistic(given.realistic)
        every = [*names, *sorted(set().union(*target[1]) - set(names))]
        line(f"realistic, {len(every)} names", score(name, *target, every))
        line(f"realistic, {len(CATEGORIES)} generated names", score(name, *target, CATEGORIES))
        own = sorted(set().union(*target[1]))
        figures = score(name, *target, own)
        line(f"realistic, its own {len(own)} names", figures)
        if given.wrong:
            for labels, ok in zip(figures[3], target[1], strict=True):
                if labels[0] not in ok:
                    print(f"    {'|'.join(sorted(ok)):<28} named {', '.join(labels[:3])}")
    print("robustness, over the generated names:")
    for title, change in corrupted().items():
        r = np.random.default_rng(0)
        line(f"  {title}", score(name, [change(c, r) for c in target[0]], target[1], CATEGORIES))
    if given.clip_text is None or not given.clip_text.is_dir():
        print("text: skipped, the folder of recorded features is absent (--clip-text)")
    else:
        text(model, given.clip_text)
    timing(model, given.repeats)
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
