"""Figures and tables of a detection evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from basrelief.evaluate.detection.grid import IOUS, SOURCES, ScanResults
from basrelief.evaluate.result import Cell, Metric, Result, Table, accuracy_metric, percent
from basrelief.geometry.box_iou import box_iou
from basrelief.metrics import DetectionScores, confusion_matrix, found_boxes, recall_interval, truth_ranks

LIMITS = (50, 100, 200, 256)
"""Proposals of a scan that recall is measured over."""

CLASS_TABLE = "classes"
GRID_TABLE = "grid of choices"
SOURCE_TABLE = "boxes and labels"

Scores = Mapping[float, DetectionScores]

_MEANS = ("AP25 %", "AP50 %", "AR25 %", "AR50 %", "AP25 % by 3DETR's rule", "AP50 % by 3DETR's rule")
_SHOWN = 5


def detection_result(
    results: ScanResults,
    ids: Sequence[str],
    *,
    catch_all: Sequence[str] = (),
    failures: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Result:
    """Score everything that an evaluation reports.

    Args:
        results: Records of the scans.
        ids: Name of each scan.
        catch_all: Classes to leave out of a second mean.
        failures: Scans that could not be used, and why.
        notes: Remarks for the reader.
    """
    scores = {name: results.score(name) for name in SOURCES if name != "class head" or results.has_class_head}
    truth, chances = results.true_labels()
    known = ~np.isnan(chances).any(axis=1)
    ranks = np.where(known, truth_ranks(chances, truth), len(results.labels))
    answers = np.nan_to_num(chances).argmax(axis=1)
    oracle = [accuracy_metric(f"true_box_top{k}", f"top-{k} of true boxes", ranks < k) for k in (1, 5)]
    sources = tuple((name, *_means(one)) for name, one in scores.items())
    return Result(
        metrics=(*_precision_metrics(scores["proposals"]), *_recall_metrics(results), *oracle),
        tables=(
            Table(SOURCE_TABLE, ("boxes and labels", *_MEANS), sources),
            _grid_table(results),
            _recall_table(results),
            _class_table(scores, ranks[known] == 0, truth[known]),
        ),
        confusion=confusion_matrix(truth[known], answers[known], labels=len(results.labels)),
        answers=tuple(_answers(results, ids, chances, truth)),
        failures=tuple(failures),
        notes=(*notes, *_without(scores["proposals"], catch_all)),
    )


def _precision_metrics(scores: Scores) -> Iterator[Metric]:
    for iou in IOUS:
        one = scores[iou]
        low, high = one.interval()
        scans = len(one.classes[0].truth) if one.classes else 0
        yield Metric(_name("ap", iou), f"mean AP at IoU {iou}", percent(one.mean()), percent(low), percent(high), scans)


def _recall_metrics(results: ScanResults) -> Iterator[Metric]:
    """Recall of all proposals for large things, whatever their class."""
    large = results.large()
    for iou in IOUS:
        found = [hits[counted] for hits, counted in zip(found_boxes(results.overlaps, iou=iou), large, strict=True)]
        share, (low, high) = recall_interval(found)
        title = f"recall at IoU {iou}, larger than {results.protocol.large:g} m"
        yield Metric(_name("recall", iou), title, percent(share), percent(low), percent(high), sum(map(len, found)))


def _means(scores: Scores) -> tuple[Cell, ...]:
    low, high = (scores[iou] for iou in IOUS)
    found = (low.mean(), high.mean(), low.mean_recall(), high.mean_recall(), low.mean(absent_as_zero=True), high.mean(absent_as_zero=True))
    return tuple(map(_cell, found))


def _grid_table(results: ScanResults) -> Table:
    columns = ("classes of a box", "score", "objectness", "temperature", "AP25 %", "AP50 %", "AP25 % by 3DETR's rule")
    rows = tuple(
        (
            row.classes,
            row.score,
            "used" if row.objectness else "1",
            "any" if row.temperature is None else row.temperature,
            *map(_cell, (row.ap25, row.ap50, row.ap25_absent_as_zero)),
        )
        for row in results.grid()
    )
    return Table(GRID_TABLE, columns, rows)


def _recall_table(results: ScanResults) -> Table:
    """Recall of the best proposals and of random boxes, of all true boxes and of the large ones."""
    chance = [box_iou(boxes, record.truth.boxes) for boxes, record in zip(results.random_boxes, results.records, strict=True)]
    large, rows = results.large(), []
    for name, overlaps in (("proposals", results.overlaps), ("random boxes", chance)):
        for limit in LIMITS:
            cells: list[Cell] = []
            for iou in IOUS:
                found = found_boxes(overlaps, iou=iou, limit=limit)
                counted = [hits[mask] for hits, mask in zip(found, large, strict=True)]
                cells += [_share(found), _share(counted)]
            rows.append((name, limit, *cells))
    above = f"larger than {results.protocol.large:g} m"
    columns = ("boxes", "best", "IoU 0.25 %", f"IoU 0.25 %, {above}", "IoU 0.5 %", f"IoU 0.5 %, {above}")
    return Table("recall whatever the class", columns, tuple(rows))


def _class_table(scores: Mapping[str, Scores], right: np.ndarray, truth: np.ndarray) -> Table:
    """Average precision of each class that has true boxes or detections."""
    named = scores["proposals"]
    columns = ("class", "true boxes", "AP25 %", "AP50 %", "AP25 % with true labels", "AP25 % of true boxes", "top-1 % of true boxes")
    rows, shown = [], (named[0.25], named[0.5], scores["true labels"][0.25], scores["true boxes"][0.25])
    for number, label in enumerate(named[0.25].labels):
        if named[0.25].counts[number] == 0:
            continue
        precisions = (one.average_precisions[number] for one in shown)
        mine = right[truth == number]
        rows.append((label, int(named[0.25].counts[number]), *map(_cell, precisions), _cell(mine.mean() if len(mine) else np.nan)))
    return Table(CLASS_TABLE, columns, tuple(rows))


def _without(scores: Scores, catch_all: Sequence[str]) -> Iterator[str]:
    """Second means without classes whose name fits only part of their boxes."""
    kept = np.array([label not in catch_all for label in scores[0.25].labels], dtype=bool)
    if kept.all():
        return
    means = [percent(_mean(scores[iou].average_precisions[kept])) for iou in IOUS]
    yield f"Without {', '.join(catch_all)}: mean AP {means[0]:.1f} at IoU 0.25, {means[1]:.1f} at IoU 0.5."


def _answers(results: ScanResults, ids: Sequence[str], chances: np.ndarray, truth: np.ndarray) -> Iterator[tuple[Cell, ...]]:
    """One row for each true box: scan and number, class, best five classes, probability of the first."""
    names = [f"{scan}/{box}" for scan, record in zip(ids, results.records, strict=True) for box in range(len(record.labels))]
    for name, label, row in zip(names, truth, chances, strict=True):
        known = not np.isnan(row).any()
        best = np.argsort(-row, kind="stable")[:_SHOWN] if known else ()
        yield name, results.labels[label], " | ".join(results.labels[i] for i in best), round(float(row.max()), 4) if known else None


def _name(word: str, iou: float) -> str:
    return f"{word}{100 * iou:.0f}"


def _share(found: Sequence[np.ndarray]) -> Cell:
    together = np.concatenate([np.zeros(0, dtype=bool), *found])
    return _cell(together.mean() if len(together) else np.nan)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else round(percent(float(value)), 2)
