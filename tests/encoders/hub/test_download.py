"""Downloads from a local hub: resumed, limited, verified; and responses of an untrusted server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from basrelief.encoders.hub.cache import cached_file, cached_names, hub_folder
from basrelief.encoders.hub.download import download
from basrelief.encoders.hub.repository import list_repository
from basrelief.errors import OutputError, WeightsNotFoundError
from support.hub_server import HubRepository, LocalHub, local_hub

NAME = "someone/clip"
WEIGHTS = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the tries of http_get
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)  # 10 MB, which are lost when a transfer is cut
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with local_hub(
        someone__clip=HubRepository({"model.safetensors": WEIGHTS, "README.md": b"# CLIP\n", "deep/er/a.bin": b"abc"})
    ) as running:
        running.use(monkeypatch, tmp_path / "hub")
        yield running


def fetch(name: str = "model.safetensors") -> Path:
    repository = list_repository(NAME)
    return download(repository, repository.files[name])


def test_a_listing_has_sizes_hashes_and_the_licence(hub: LocalHub) -> None:
    repository = list_repository(NAME)
    assert (repository.licence, repository.gated, repository.page) == ("mit", False, f"{hub.endpoint}/{NAME}")
    file = repository.files["model.safetensors"]
    assert (file.size, file.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert repository.files["README.md"].sha256 == ""
    assert repository.files["README.md"].digest == hashlib.sha1(b"blob 7\0# CLIP\n").hexdigest()
    assert hub.requests[-1].path == f"/api/models/{NAME}"


def test_a_data_set_is_another_repository_of_the_same_name(hub: LocalHub) -> None:
    hub.repositories[f"datasets/{NAME}"] = HubRepository({"deep/model.pt": b"1234"}, card={"license": "cc-by-4.0"})
    repository = list_repository(f"datasets/{NAME}")
    assert (repository.licence, repository.page, list(repository.files)) == (
        "cc-by-4.0",
        f"{hub.endpoint}/datasets/{NAME}",
        ["deep/model.pt"],
    )
    assert hub.requests[-1].path == f"/api/datasets/{NAME}"
    path = download(repository, repository.files["deep/model.pt"])
    assert path.read_bytes() == b"1234"
    assert hub_folder(repository.name).name == "datasets--someone--clip"
    assert cached_file(repository.name, ["deep/model.pt"]) == path
    assert cached_names(NAME) == []
    with pytest.raises(WeightsNotFoundError, match=r"datasets/someone/other is not on http://"):
        list_repository("datasets/someone/other")


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"license": "apache-2.0"}, "apache-2.0"),
        ({}, "none stated"),
        ({"license": "other"}, "other"),
        ({"license": "unknown"}, "unknown"),
        ({"license": "other", "license_name": "apple-amlr", "license_link": "https://x.org/LICENSE"}, "apple-amlr (https://x.org/LICENSE)"),
        ({"license": "other", "license_name": "apple\x1b[31m-amlr\n", "license_link": "LICENSE"}, "apple[31m-amlr"),
        ({"license": ["mit", "cc-by-4.0"]}, "mit cc-by-4.0"),
    ],
)
def test_the_licence_is_what_the_card_states(hub: LocalHub, card: dict[str, object], expected: str) -> None:
    hub.repositories[NAME].card = card
    assert list_repository(NAME).licence == expected


def test_a_file_arrives_in_the_hubs_own_layout(hub: LocalHub) -> None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    path = fetch()
    assert path.read_bytes() == WEIGHTS
    assert path.is_symlink()
    assert try_to_load_from_cache(NAME, "model.safetensors") == str(path)
    assert hf_hub_download(NAME, "model.safetensors") == str(path)
    assert fetch("deep/er/a.bin").read_bytes() == b"abc"
    assert fetch("README.md").read_bytes() == b"# CLIP\n"
    assert cached_names(NAME) == ["README.md", "deep/er/a.bin", "model.safetensors"]
    assert cached_file(NAME, ("open_clip_model.safetensors", "model.safetensors")) == path
    assert cached_file("someone/else", ("model.safetensors",)) is None
    assert not list(hub_folder(NAME).rglob("*.incomplete"))


def test_a_file_that_is_there_is_not_fetched_again(hub: LocalHub) -> None:
    fetch()
    before = len(hub.downloads())
    assert fetch().read_bytes() == WEIGHTS
    assert len(hub.downloads()) == before


def test_the_token_does_not_go_to_the_storage(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories[NAME].gated = True
    fetch()
    tokens = {request.path.startswith("/storage"): request.token for request in hub.requests}
    assert tokens == {False: "Bearer hf_secret", True: ""}


def test_a_short_interruption_is_resumed_at_once(hub: LocalHub) -> None:
    hub.repositories[NAME].cut["model.safetensors"] = [100_000, 200_000]
    assert fetch().read_bytes() == WEIGHTS
    ranges = [request.range for request in hub.downloads("model.safetensors") if request.path.startswith("/storage")]
    assert ranges == ["", "bytes=100000-", "bytes=300000-"]


def test_a_broken_download_is_resumed_by_the_next_run(hub: LocalHub) -> None:
    hub.repositories[NAME].cut["model.safetensors"] = [300_000] + [0] * 6
    with pytest.raises(
        WeightsNotFoundError, match=r"model\.safetensors stopped after [\d,]+ of 1,048,576 bytes; run the same command again"
    ):
        fetch()
    (part,) = hub_folder(NAME).rglob("*.incomplete")
    have = part.stat().st_size
    assert have == 300_000
    assert cached_names(NAME) == []
    del hub.requests[:]
    assert fetch().read_bytes() == WEIGHTS
    assert hub.downloads("model.safetensors")[0].range == f"bytes={have}-"


def test_ctrl_c_leaves_a_part_that_is_resumed(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    transfer = file_download.http_get

    def interrupted(url: str, file: object, **options: object) -> None:
        file.write(WEIGHTS[:1000])  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(file_download, "http_get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch()
    monkeypatch.setattr(file_download, "http_get", transfer)
    assert fetch().read_bytes() == WEIGHTS
    assert hub.downloads("model.safetensors")[-1].range == "bytes=1000-"


def test_a_server_without_ranges_sends_it_all_again(hub: LocalHub) -> None:
    hub.repositories[NAME].ignores_ranges = True
    hub.repositories[NAME].cut["model.safetensors"] = [100_000]
    assert fetch().read_bytes() == WEIGHTS


def test_a_part_of_another_content_is_found_out(hub: LocalHub) -> None:
    repository = list_repository(NAME)
    part = hub_folder(NAME) / "blobs" / f"{repository.files['model.safetensors'].digest}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    with pytest.raises(WeightsNotFoundError, match="arrived with hash .*, but the hub lists .* It was deleted; fetch it again"):
        fetch()
    assert not part.exists()
    part.write_bytes(b"x" * (len(WEIGHTS) + 1))
    assert fetch().read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
def test_other_content_than_listed_is_refused(hub: LocalHub, name: str) -> None:
    content = hub.repositories[NAME].files[name]
    hub.repositories[NAME].served[name] = content[:-1] + b"?"
    with pytest.raises(WeightsNotFoundError, match=r"arrived with hash [0-9a-f]{12}, but the hub lists [0-9a-f]{12}"):
        fetch(name)
    assert cached_names(NAME) == []
    assert not list(hub_folder(NAME).rglob("*.incomplete"))


def test_a_file_never_grows_beyond_its_listed_size(hub: LocalHub) -> None:
    hub.repositories[NAME].served["model.safetensors"] = WEIGHTS * 20
    with pytest.raises(WeightsNotFoundError, match=r"is larger than the 1,048,576 bytes that the hub lists"):
        fetch()
    assert sum(path.stat().st_size for path in hub_folder(NAME).rglob("*") if path.is_file()) == 0


def test_a_file_that_is_too_short_is_not_named(hub: LocalHub) -> None:
    hub.repositories[NAME].served["model.safetensors"] = WEIGHTS[:500]
    with pytest.raises(WeightsNotFoundError, match="stopped after 500 of 1,048,576 bytes"):
        fetch()
    assert cached_names(NAME) == []


def test_a_full_disk_is_noticed_before_anything_is_written(hub: LocalHub) -> None:
    repository = list_repository(NAME)
    huge = replace(repository.files["model.safetensors"], size=1 << 60)
    with pytest.raises(
        OutputError, match=r"1,152,921,504,606,846,976 bytes are needed and [\d,]+ are free\. Free some space or set HF_HUB_CACHE"
    ):
        download(repository, huge)
    assert hub.downloads() == []


@pytest.mark.parametrize(
    "name",
    ["../escape.bin", "a/../../b.bin", "/etc/x.bin", "a//b.bin", "..", ".", "", "a/", "C:\\x.bin", "a\\..\\b", "c:x", "a\n.bin", "a\x00.bin", "x" * 300, "a/. /b", "nul./a", 7, None],
)  # fmt: skip
def test_names_that_leave_the_folder_are_not_listed(hub: LocalHub, name: object) -> None:
    entry = {"rfilename": name, "size": 3, "blobId": "a" * 40}
    hub.repositories[NAME].listed["bad"] = entry
    assert set(list_repository(NAME).files) == {"model.safetensors", "README.md", "deep/er/a.bin"}


@pytest.mark.parametrize(
    "entry",
    [
        {"size": -1},
        {"size": None},
        {"size": "5"},
        {"size": 1e9},
        {"blobId": "../../x"},
        {"blobId": None},
        {"lfs": {"sha256": "../" * 20, "size": 3, "pointerSize": 1}},
        {"lfs": {"sha256": "a" * 64, "size": -3, "pointerSize": 1}},
    ],
)
def test_files_without_size_or_hash_are_not_listed(hub: LocalHub, entry: dict[str, object]) -> None:
    hub.repositories[NAME].listed["bad.bin"] = {"rfilename": "bad.bin", "size": 3, "blobId": "a" * 40} | entry
    assert "bad.bin" not in list_repository(NAME).files


@pytest.mark.parametrize("entry", [{}, {"rfilename": "x", "lfs": {"size": 1}}, {"rfilename": "x", "lfs": 7}, 5])
def test_a_listing_of_another_form_is_an_error(hub: LocalHub, entry: object) -> None:
    hub.repositories[NAME].listed["bad"] = entry  # type: ignore[assignment]
    with pytest.raises(WeightsNotFoundError, match="did not deliver someone/clip"):
        list_repository(NAME)


def test_a_revision_of_another_form_is_an_error(hub: LocalHub) -> None:
    hub.repositories[NAME].commit = "../../main"
    with pytest.raises(WeightsNotFoundError, match=r"names no revision of someone/clip\. Check HF_ENDPOINT"):
        list_repository(NAME)


def test_a_huge_listing_is_refused(hub: LocalHub) -> None:
    hub.repositories[NAME].listed.update(
        {str(i): {"rfilename": f"{i}.bin", "size": 1, "blobId": "a" * 40} for i in range(10_001)}
    )  # fmt: skip
    with pytest.raises(WeightsNotFoundError, match=r"lists 10,004 files, more than 10,000"):
        list_repository(NAME)


def test_a_closed_repository_says_how_to_get_in(hub: LocalHub) -> None:
    hub.repositories[NAME].gated = True
    repository = list_repository(NAME)
    assert repository.gated
    with pytest.raises(
        WeightsNotFoundError, match=r"someone/clip is gated\. Accept its terms at http://.*/someone/clip, then set HF_TOKEN"
    ):
        download(repository, repository.files["model.safetensors"])


def test_a_repository_that_is_not_there(hub: LocalHub) -> None:
    with pytest.raises(
        WeightsNotFoundError, match=r"someone/else is not on http://127\.0\.0\.1:\d+, or it is private\. Check HF_ENDPOINT and HF_TOKEN"
    ):
        list_repository("someone/else")


@pytest.mark.parametrize("status", [500, 429, 403])
def test_a_hub_in_trouble(hub: LocalHub, status: int) -> None:
    hub.repositories[NAME].status = status
    with pytest.raises(WeightsNotFoundError, match=rf"^http://.* answered with status {status} for someone/clip\. Try again later\.$"):
        list_repository(NAME)


def test_two_downloads_at_once_transfer_once(hub: LocalHub) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(lambda _: fetch(), range(2)))
    assert {path.read_bytes() for path in paths} == {WEIGHTS}
    assert len([r for r in hub.downloads("model.safetensors") if r.path.startswith("/storage")]) == 1


def test_offline_is_respected(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFoundError, match=r"^someone/clip cannot be fetched while HF_HUB_OFFLINE is set\.$"):
        list_repository(NAME)
    assert hub.requests == []


def test_an_unreachable_hub(hub: LocalHub) -> None:
    hub.close()
    with pytest.raises(WeightsNotFoundError, match="did not deliver someone/clip: .*Check the network, HF_ENDPOINT and the proxy settings"):
        list_repository(NAME)
