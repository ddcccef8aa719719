"""How well `tiny` names shapes it was never trained on, and how fast.

    python benchmarks/tiny.py
    python benchmarks/tiny.py --shapes SHAPES --realistic REALISTIC.npz --clip-text CLIP_TEXT
    python benchmarks/tiny.py --shapes SHAPES --part test
    python benchmarks/tiny.py --shapes SHAPES --model RUN --seen-class-penalties 0 0.02 0.04

Validation figures come from the packs that chose the settings of `tiny`; test figures (`--part test`) from makers that chose nothing.
`basrelief.datasets.maker_split` says which are which, and which seeds the generated shapes of each part have. The realistic clouds are
validation, too.

All names of the files compete, with the views and pooling of the recipe. Names without a training shape get rows of their own; for a run
with `unseen_classes` those are all files of the classes left out. `--seen-class-penalties` prints a row for each value: what it gives these
names and takes from the others. Realistic shapes may have several right labels; they are also named over their own labels only.
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
from basrelief.datasets import maker_split
from basrelief.encoders import load_encoder_folder
from basrelief.models import Model
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.tasks import score_labels
from basrelief.train.data import ShapeSet, generated_shapes, merge, read_shapes, split_by_maker
from basrelief.train.tiny.text import recorded_features
from basrelief.types import PointCloud

POINTS = 4096
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


def by_training(name: Namer, asked: tuple[Clouds, Right], figures: Figures, taught: Sequence[str]) -> None:
    """Split the same answers by whether the name had training shapes; those without are also named over their own names."""
    clouds, right = asked
    new = {min(ok) for ok in right} - set(taught)
    for title, wanted in (("of them, names it was shown in 3D", False), (f"of them, {len(new)} names it never saw in 3D", True)):
        rows = [i for i, ok in enumerate(right) if (min(ok) in new) == wanted]
        own = [right[i] for i in rows]
        again(title, rows, right, figures)
        if rows and wanted and len(new) > 1:
            line("  the latter, over their own names", score(name, [clouds[i] for i in rows], own, sorted(new)))


def print_unseen(name: Namer, files: ShapeSet, taught: Sequence[str]) -> None:
    """Print rows for the names that have files for training but were left out: all their files, over all names and over their own."""
    new, theirs = without_training(files, taught)
    if without_training(split_by_maker(files)[0], taught)[0]:
        clouds, right = labelled(files.select(theirs))
        line(f"all files of {len(new)} names it never saw in 3D", score(name, clouds, right, files.names))
        line("  over their own names", score(name, clouds, right, new))


def seen_class_penalties(model: br.Model, files: ShapeSet, values: Sequence[float]) -> None:
    """Print top-1 of validation shapes with trained names, and of all files of the other names, for each value."""
    known, held = model.encoder.vocabulary, split_by_maker(files)[1]
    seen, new = held.select(~without_training(held, known.seen)[1]), files.select(without_training(files, known.seen)[1])
    views = [model.embed_views([PointCloud(cloud) for cloud in labelled(shapes)[0]]) for shapes in (seen, new)]
    print(f"top-1 of {len(seen)} validation shapes of names it was shown, of {len(new)} files of names it was not, and their harmonic mean")
    for names in (files.names, tuple(dict.fromkeys([*files.names, *known.names]))):
        for value in values:
            model.encoder.vocabulary = replace(known, seen_class_penalty=value)
            labels, right = model.encode_labels(names), []
            for shapes, seen_from in zip((seen, new), views, strict=True):
                found = score_labels(seen_from, labels, pooling=model.recipe.pooling).predictions(names)
                right.append(np.mean([p.label == files.names[i] for p, i in zip(found, shapes.label.tolist(), strict=True)]))
            both = 2 * right[0] * right[1] / max(sum(right), 1e-9)
            print(f"over {len(names):>5} names, penalty {value:<7g} {right[0]:6.1%}   {right[1]:6.1%}   {both:6.1%}")
    model.encoder.vocabulary = known


def without_training(files: ShapeSet, taught: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the names that had no training shape, and which files are theirs."""
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
    mesh = make_shape("chair", seed=first_seed("validation"))
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
    parser.add_argument("--part", choices=("validation", "test"), default="validation", help="whose shapes are named")
    parser.add_argument("--each", type=int, default=5, help="generated shapes of each category")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--model", type=Path, help="folder of a run of `basrelief train tiny`; the shipped model without it")
    parser.add_argument("--seen-class-penalties", type=float, nargs="+", help="try these on the names it was shown, and print nothing else")
    parser.add_argument("--classes", action="store_true", help="print a line for each class")
    parser.add_argument("--wrong", action="store_true", help="list the realistic shapes that are named wrongly")
    given = parser.parse_args()
    if given.seen_class_penalties and not (given.shapes and given.shapes.is_dir()):
        parser.error("--seen-class-penalties needs --shapes, the folder of labelled shapes")
    return given


def report_validation(model: br.Model, files: ShapeSet, *, classes: bool) -> None:
    """Print the figures of the validation packs over all names; no test shape is read."""
    training, held, _ = split_by_maker(files)
    asked = labelled(held)
    figures = score(namer(model), *asked, files.names)
    line(f"validation packs, {len(files.names)} names", figures)
    if model.encoder.vocabulary:
        by_training(namer(model), asked, figures, model.encoder.vocabulary.seen)
    by_files(asked[1], figures, training)
    if model.encoder.vocabulary:
        print_unseen(namer(model), merge([training, held]), model.encoder.vocabulary.seen)
    if classes:
        table(figures, asked[1])


def report_test(model: br.Model, files: ShapeSet, *, classes: bool) -> None:
    """Print the figures of the test makers over all names, and by maker."""
    test = split_by_maker(files)[2]
    if not len(test):
        print("test makers: skipped, the folder holds none of their shapes (--shapes)")
        return
    clouds, right = labelled(test)
    figures = score(namer(model), clouds, right, files.names)
    line(f"test makers, {len(files.names)} names", figures)
    for maker in maker_split().test:
        again(f"of them, by {maker}", [i for i, group in enumerate(test.group) if maker in group], right, figures)
    if model.encoder.vocabulary:
        taught = model.encoder.vocabulary.seen
        by_training(namer(model), (clouds, right), figures, taught)
        rows = np.flatnonzero(~without_training(test, taught)[1]).tolist()
        line("names it was shown, over those alone", score(namer(model), [clouds[i] for i in rows], [right[i] for i in rows], taught))
    if classes:
        table(figures, right)


def first_seed(part: str) -> int:
    """Return the first seed of the generated shapes of a part."""
    return maker_split().seeds[part][0][0]


def report_realistic(name: Namer, clouds: tuple[Clouds, Right], names: Sequence[str], *, wrong: bool) -> None:
    """Print the figures of the realistic clouds over all names, over the generated ones and over their own."""
    own = sorted(set().union(*clouds[1]))
    every = [*names, *sorted(set(own) - set(names))]
    line(f"realistic, {len(every)} names", score(name, *clouds, every))
    line(f"realistic, {len(CATEGORIES)} generated names", score(name, *clouds, CATEGORIES))
    figures = score(name, *clouds, own)
    line(f"realistic, its own {len(own)} names", figures)
    for labels, ok in zip(figures[3], clouds[1], strict=True) if wrong else ():
        if labels[0] not in ok:
            print(f"    {'|'.join(sorted(ok)):<28} named {', '.join(labels[:3])}")


def report_robustness(name: Namer, clouds: tuple[Clouds, Right]) -> None:
    """Print the figures of clouds that were corrupted, over the generated names."""
    print("robustness, over the generated names:")
    for title, change in corrupted().items():
        r = np.random.default_rng(0)
        line(f"  {title}", score(name, [change(c, r) for c in clouds[0]], clouds[1], CATEGORIES))


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
    generated = generated_shapes(CATEGORIES, given.each, count=POINTS, seed=first_seed(given.part))
    names: Sequence[str] = CATEGORIES
    if given.shapes is None or not given.shapes.is_dir():
        print(f"{given.part} shapes: skipped, the folder of labelled shapes is absent (--shapes)")
    else:
        files = merge([read_shapes(given.shapes, count=POINTS), generated.select(np.zeros(len(generated), dtype=bool))])
        names = files.names
        if given.seen_class_penalties:
            seen_class_penalties(model, merge(split_by_maker(files)[:2]), given.seen_class_penalties)
            return
        (report_test if given.part == "test" else report_validation)(model, files, classes=given.classes)
    line(f"generated, {given.part} seeds, {len(names)} names", score(name, *labelled(generated), names))
    if given.part == "validation":
        report_rest(model, name, labelled(generated), names, given=given)


def report_rest(model: br.Model, name: Namer, clouds: tuple[Clouds, Right], names: Sequence[str], *, given: argparse.Namespace) -> None:
    """Print what no part of the labelled shapes is needed for: realistic clouds, robustness, text, time and memory."""
    if given.realistic is None or not given.realistic.is_file():
        print("realistic shapes: skipped, the file is absent (--realistic)")
    else:
        clouds = realistic(given.realistic)
        report_realistic(name, clouds, names, wrong=given.wrong)
    report_robustness(name, clouds)
    if given.clip_text is None or not given.clip_text.is_dir():
        print("text: skipped, the folder of recorded features is absent (--clip-text)")
    else:
        text(model, given.clip_text)
    timing(model, given.repeats)
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
