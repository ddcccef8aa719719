"""Doctor on data sets of scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import open_scans
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, diagnose
from basrelief.evaluate.doctor.scans import check_scans
from basrelief.types import Finding
from support import scan_miniatures
from support.scan_miniatures import VAL


def levels(findings: list[Finding], check: str) -> list[str]:
    return [finding.level for finding in findings if finding.check == check]


def facts(findings: list[Finding], check: str) -> str:
    return " ".join(finding.fact for finding in findings if finding.check == check)


@pytest.mark.parametrize("writer", [scan_miniatures.scannet, scan_miniatures.votenet, scan_miniatures.sunrgbd])
def test_a_good_copy_has_nothing_wrong(writer: object, tmp_path: Path) -> None:
    findings = diagnose(str(writer(tmp_path)))  # type: ignore[operator]
    assert findings[0].check == "layout"
    assert [finding for finding in findings if finding.level == "wrong" and finding.check != "scale"] == []
    assert "expected" in facts(findings, "count")


def test_the_val_split_of_a_release_is_counted(tmp_path: Path) -> None:
    findings = diagnose(str(scan_miniatures.scannet(tmp_path)))
    assert facts(findings, "count") == "2 scans of val, 312 expected (ScanNet v2)."
    assert levels(findings, "split") == ["warning"]
    assert facts(findings, "reading") == "2 sampled scans have 6 boxes, 0 of them have none."
    assert "3 of 18 classes occur in the sample" in facts(findings, "classes")
    assert "'garbage bin' also names boxes of other things" in facts(findings, "classes")
    assert "In metres, +Z up" in facts(findings, "scale")
    assert "non-commercial" in facts(findings, "licence")
    train = diagnose(str(tmp_path), data=DataSource(tmp_path, "scannet", split="train"))
    assert facts(train, "count") == "1 scans of train, 1,201 expected (ScanNet v2)."


def test_broken_and_unaligned_scans_are_found(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path)
    (root / "scans" / VAL[0] / f"{VAL[0]}.aggregation.json").write_text("{}")
    (root / "scans" / VAL[1] / f"{VAL[1]}.txt").unlink()
    findings = diagnose(str(root))
    assert levels(findings, "reading") == ["wrong", "ok"]
    assert f"1 of 2 sampled scans cannot be used. Scan {VAL[0]} cannot be used" in facts(findings, "reading")
    assert levels(findings, "alignment") == ["warning", "warning"]
    assert "1 of 1 sampled scans are not aligned with their walls" in facts(findings, "alignment")


def test_scans_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL[:1])
    (root / "scans" / VAL[0] / f"{VAL[0]}.aggregation.json").unlink()
    findings = diagnose(str(root))
    assert levels(findings, "annotations") == levels(findings, "reading") == ["wrong"]
    assert levels(findings, "scale") == []


@pytest.mark.parametrize(("factor", "check"), [((1000, 1000, 1000), "scale"), ((1, 1, 9), "up axis")])
def test_a_wrong_unit_and_axis_are_found(factor: tuple[float, float, float], check: str, tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    for path in root.rglob("*_vert.npy"):
        np.save(path, np.load(path) * np.array([*factor, 1, 1, 1]))
    assert levels(check_scans(open_scans(root)), check) == ["wrong"]


def test_boxes_of_no_class_are_found(tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    for path in root.rglob("*_bbox.npy"):
        np.save(path, np.zeros((0, 7)))
    assert levels(check_scans(open_scans(root)), "classes")[0] == "wrong"


def test_a_data_set_of_shapes_is_none_of_scans(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not look like scannet"):
        diagnose(str(tmp_path), data=DataSource(tmp_path, "scannet"))
