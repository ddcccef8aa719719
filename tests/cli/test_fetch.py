"""`basrelief models fetch`: what is shown, what is asked, and that the next command finds the files."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hub_server import HubRepository, LocalHub
from support.small_hub import CLIP, OPENDLIGN, VOCABULARY, small_hub

from .conftest import Run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with small_hub(monkeypatch, tmp_path) as running:
        yield running


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_open_weights_are_shown_and_fetched_without_a_question(hub: LocalHub, run: Run, files: list[Path]) -> None:
    ended = run("models", "fetch", "clip2point-untuned")
    assert ended.code == 0
    for word in (CLIP, "open_clip_model.safetensors", "tokenizer.json", "KB", "mit", "to download", "clip2point-untuned is ready."):
        assert word in ended.out
    assert run("classify", files[0], "-l", "chair,table", "-m", "clip2point-untuned").code == 0
    before = len(hub.requests)
    assert run("models", "fetch", "clip2point-untuned").out == "clip2point-untuned is ready.\n"
    assert len(hub.requests) == before


def test_a_script_must_accept_a_missing_licence(hub: LocalHub, run: Run, files: list[Path]) -> None:
    refused = run("models", "fetch", "opendlign-b32")
    assert refused.code == 2
    assert (
        f"{OPENDLIGN} has a licence that may restrict use, or none: none stated (tuned block); MIT (CLIP); the hub states none. Read http://"
        in refused.err
    )
    assert refused.err.endswith("accept it with --yes.\n")
    assert hub.downloads() == []
    accepted = run("models", "fetch", "opendlign-b32", "--yes")
    assert accepted.code == 0
    assert "ViT-B-32.pth" in accepted.out
    assert VOCABULARY in accepted.out
    assert run("classify", files[0], "-l", "chair,table", "-m", "opendlign-b32").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked(hub: LocalHub, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = run("models", "fetch", "opendlign-b32")
    assert ended.code == code
    assert "under these terms? [y/N]" in ended.err
    assert bool(hub.downloads()) == (code == 0)
    assert ("nothing was downloaded" in ended.err) == (code == 1)


def test_a_restricted_licence_of_the_hub_is_asked_about(hub: LocalHub, run: Run) -> None:
    hub.repositories[CLIP].card = {"license": "other", "license_name": "apple-amlr", "license_link": "https://example.org/LICENSE"}
    ended = run("models", "fetch", "ViT-B-32/small")
    assert ended.code == 2
    assert "MIT; the hub states apple-amlr (https://example.org/LICENSE)" in ended.err


def test_a_file_for_a_browser_is_named_with_its_place(hub: LocalHub, run: Run, tmp_path: Path, files: list[Path]) -> None:
    place = tmp_path / "basrelief" / "checkpoints" / "clip2point" / "best_eval.pth"
    ended = run("models", "fetch", "clip2point")
    assert ended.code == 1
    assert "best_eval.pth is not on the hub (licence: none stated)." in ended.err
    assert "Download it with a browser: https://drive.google.com/file/d/" in ended.err
    assert f"Put it here: {place}" in ended.err
    record = json.loads(run("models", "fetch", "clip2point", "--json").out.splitlines()[-1])
    assert (record["path"], record["state"]) == (str(place), "by hand")
    place.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "made" / "best_eval.pth", place)
    assert run("models", "fetch", "clip2point").code == 0
    assert run("classify", files[0], "-l", "chair,table", "-m", "clip2point").code == 0


def test_json_has_a_line_for_each_file(hub: LocalHub, run: Run) -> None:
    records = [json.loads(line) for line in run("models", "fetch", "pointclip-b32", "--json").out.splitlines()]
    assert [record["file"] for record in records] == ["open_clip_model.safetensors", "tokenizer.json", "open_clip_config.json"]
    assert {record["state"] for record in records} == {"to download"}
    assert records[0]["bytes"] == len(hub.repositories[CLIP].files["open_clip_model.safetensors"])


def test_an_interruption_says_how_to_go_on(hub: LocalHub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(url: str, file: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", interrupted)
        ended = run("models", "fetch", "clip2point-untuned")
    assert ended.code == 130
    assert "interrupted; run the same command again to resume" in ended.err
    assert run("models", "fetch", "clip2point-untuned").code == 0


def test_a_broken_transfer_is_resumed_by_the_same_command(hub: LocalHub, run: Run) -> None:
    hub.repositories[CLIP].cut["open_clip_model.safetensors"] = [1000] + [0] * 6
    ended = run("models", "fetch", "clip2point-untuned")
    assert ended.code == 2
    assert "bytes; run the same command again to resume." in ended.err
    assert run("models", "fetch", "clip2point-untuned").code == 0


def test_the_list_says_what_is_missing_and_how_to_get_it(hub: LocalHub, run: Run) -> None:
    assert "basrelief models fetch MODEL shows files, sizes and licences" in run("models").out
    assert missing(run) == "the ViT-B-32 file of OpenDlign/OpenDlign-Models (licence: none stated)"
    run("models", "fetch", "opendlign-b32", "--yes")
    assert missing(run) == ""


def test_a_detector_is_fetched(hub: LocalHub, run: Run, tmp_path: Path) -> None:
    hub.repositories["torch-pointcloud/3detr-m.scannet.fair"] = HubRepository(
        {"model.safetensors": b"weights"}, card={"license": "apache-2.0"}
    )
    ended = run("models", "fetch", "3detr-m-scannet")
    assert ended.code == 0
    for word in ("model.safetensors", "Apache-2.0 (trained on ScanNet, whose terms allow", "3detr-m-scannet is ready."):
        assert word in ended.out
    assert run("models", "fetch", "3detr-m-scannet").out == "3detr-m-scannet is ready.\n"
    by_hand = run("models", "fetch", "3detr-m-scannet", "--file", "scannet_masked_ep1080.pth")
    assert by_hand.code == 1
    assert "Download it with a browser: https://dl.fbaipublicfiles.com/3detr/checkpoints/scannet_masked_ep1080.pth" in by_hand.err
    assert f"Put it here: {tmp_path / 'basrelief' / 'checkpoints' / '3detr' / 'scannet_masked_ep1080.pth'}" in by_hand.err
    assert "Did you mean '3detr-m-scannet'?" in run("models", "fetch", "3detr-m-scanet").err


def missing(run: Run) -> str:
    """What `opendlign-b32` still needs."""
    rows = [json.loads(line) for line in run("models", "--json").out.splitlines()]
    return str(next(row["missing"] for row in rows if row["name"] == "opendlign-b32"))


def test_unknown_names_and_commands(hub: LocalHub, run: Run) -> None:
    assert "Did you mean 'opendlign-b32'?" in run("models", "fetch", "opendlign-b23").err
    assert run("models", "fech", "tiny").code == 2


@pytest.mark.slow
def test_another_process_follows_the_variables(hub: LocalHub, tmp_path: Path) -> None:
    """Only the vocabulary of a shipped recipe: its weights are not on this hub."""
    environment = {**os.environ, **hub.environment(tmp_path / "other"), "BASRELIEF_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(
        [sys.executable, "-m", "basrelief", "models", "fetch", "pointclip-b32"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ended.returncode == 2
    assert "timm/vit_base_patch32_clip_224.openai has no file" in ended.stderr or "has no weights" in ended.stderr
