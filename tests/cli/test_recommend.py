"""`basrelief models recommend` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Run


def test_a_folder_and_a_laptop(run: Run, files: list[Path]) -> None:
    ended = run("models", "recommend", files[0].parent, "--memory", "8")
    assert ended.code == 0
    assert ended.out.startswith(f"Files: {len(files)}. Of those read: ")
    assert "Memory: 8.0 GB, of which the networks of a model may take 2.0 GB." in ended.out
    whole, _, exported = ended.out.partition("With labels that a larger machine exports:")
    assert f"     basrelief classify {files[0].parent} --labels LABELS --model tiny\n" in whole
    assert "--text labels.safetensors" in exported
    assert ended.out.endswith("basrelief has not reproduced them.\n")


def test_json_for_this_machine(run: Run) -> None:
    records = [json.loads(line) for line in run("models", "recommend", "--licence", "open", "--json").out.splitlines()]
    assert "tiny" in {record["name"] for record in records}
    assert set(records[0]) >= {"name", "labels", "figure", "memory_gb", "download_gb", "seconds", "licence", "reason", "commands"}


def test_wrong_options_end_with_2(run: Run) -> None:
    assert run("models", "recommend", "--memory", "-1").code == 2
    assert "Unknown licence" in run("models", "recommend", "--memory", "8", "--licence", "gpl").err
