"""CLIP's byte-pair encoding, from every kind of file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.encoders import Tokenizer
from basrelief.encoders.kinds import TOKENIZER_FILES
from basrelief.encoders.tokenizer import clean, tokenizer_file
from basrelief.errors import WeightsError, WeightsNotFoundError

TEXTS = ["a depth map of a chair", "A Chair &amp; a table", "élan 😀 naïve", "it's 3D!!", "x" * 300]
BYTES = Tokenizer.of_bytes()
MERGES_FILE = TOKENIZER_FILES["clip"][-1]


def test_clips_own_vocabulary(clip_tokenizer: Tokenizer) -> None:
    assert (clip_tokenizer.start, clip_tokenizer.eot, clip_tokenizer.vocab_size) == (49406, 49407, 49408)
    assert clip_tokenizer.encode(["a photo of a cat"], context_length=77).tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407]]


def test_the_kinds_of_files_agree(clip_tokenizer: Tokenizer, merges: Path, tmp_path: Path) -> None:
    saved = clip_tokenizer.save(tmp_path)
    record = json.loads(saved.read_text())
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "merges.txt").write_text(gzip.decompress(merges.read_bytes()).decode())
    alone = Tokenizer.from_folder(plain)
    (plain / "vocab.json").write_text(json.dumps(record["model"]["vocab"]))
    for other in (Tokenizer.from_file(saved), alone, Tokenizer.from_folder(plain)):
        assert torch.equal(other.encode(TEXTS, context_length=77), clip_tokenizer.encode(TEXTS, context_length=77))
        assert other.fingerprint == clip_tokenizer.fingerprint


def test_a_tokenizer_file_with_its_own_padding_and_ends_gives_the_same_ids(clip_tokenizer: Tokenizer, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.processors import TemplateProcessing

    backend = Backend.from_file(str(clip_tokenizer.save(tmp_path)))
    backend.enable_padding(length=77)
    backend.enable_truncation(max_length=3)
    backend.post_processor = TemplateProcessing(single="<|startoftext|> $A <|endoftext|>", special_tokens=[("<|startoftext|>", 49406), ("<|endoftext|>", 49407)])  # fmt: skip
    backend.save(str(tmp_path / "tokenizer.json"))
    other = Tokenizer.from_folder(tmp_path)
    assert torch.equal(other.encode(TEXTS, context_length=77), clip_tokenizer.encode(TEXTS, context_length=77))


def test_a_folder_is_searched_in_order(tmp_path: Path) -> None:
    assert tokenizer_file(tmp_path) is None
    for name in (MERGES_FILE, "merges.txt", "tokenizer.json"):
        (tmp_path / name).touch()
        assert tokenizer_file(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  A  Big\tCHAIR\n", "a big chair"),
        ("salt &amp;amp; pepper", "salt & pepper"),
        ("&lt;b&gt;", "<b>"),
        ("e\u0301lan", "élan"),
        ("bad \udcff byte", "bad ? byte"),
        ("\u3000\u00a0", ""),
    ],
)
def test_text_is_cleaned_as_clip_does(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize("length", [2, 3, 8, 77])
def test_a_long_prompt_still_ends_with_the_end_token(length: int) -> None:
    ids = BYTES.encode(["a very long prompt " * 30, "a"], context_length=length)
    assert ids.shape == (2, length)
    assert ids[:, 0].tolist() == [BYTES.start] * 2
    assert int(ids[0, -1]) == BYTES.eot
    assert int((ids[1] == BYTES.eot).sum()) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(2, 30))
def test_every_row_is_start_words_end_zeros(texts: list[str], length: int) -> None:
    ids = BYTES.encode(texts, context_length=length)
    assert ids.dtype == torch.int64
    assert ids.shape[0] == len(texts)
    assert ids.shape[1] <= length
    ends = (ids == BYTES.eot).int()
    assert ends.sum(1).eq(1).all()
    after = ends.cumsum(1) - ends
    assert ids[after.bool()].eq(0).all()
    assert ids[:, 0].eq(BYTES.start).all()
    assert int(ends.argmax(1).max()) == ids.shape[1] - 1, "no column beyond the longest prompt"


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_rows_do_not_depend_on_their_neighbours(text: str) -> None:
    alone = BYTES.encode([text], context_length=77)
    beside = BYTES.encode(["something much longer than that, for sure", text], context_length=77)
    assert torch.equal(beside[1, : alone.shape[1]], alone[0])


def test_training_is_reproducible_and_shortens_what_it_saw() -> None:
    texts = ["a depth map of a chair", "a depth map of a table", "chair", "airplane"] * 3
    one, same = (Tokenizer.train(texts, vocab_size=600) for _ in range(2))
    assert one.fingerprint == same.fingerprint
    assert one.vocab_size <= 600
    assert (one.start, one.eot) == (one.vocab_size - 2, one.vocab_size - 1)
    assert one.encode(["chair"], context_length=77).shape[1] == 3
    assert one.encode(["zqxj"], context_length=77).shape[1] == BYTES.encode(["zqxj"], context_length=77).shape[1]
    assert Tokenizer.train(["sofa bed"], vocab_size=600).fingerprint != one.fingerprint


@pytest.mark.parametrize("size", [514, 530])
def test_training_keeps_to_its_size(size: int) -> None:
    assert Tokenizer.train(["the quick brown fox jumps over the lazy dog"] * 2, vocab_size=size).vocab_size <= size


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["a chair", "a table"], vocab_size=530)
    assert tokenizer.save(tmp_path) == tmp_path / "tokenizer.json"
    found = Tokenizer.from_folder(str(tmp_path))
    assert (found.start, found.eot, found.vocab_size, found.fingerprint) == (
        tokenizer.start,
        tokenizer.eot,
        tokenizer.vocab_size,
        tokenizer.fingerprint,
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff\xfe"),
        ("tokenizer.json", b""),
        (MERGES_FILE, b"no gzip"),
        (MERGES_FILE, gzip.compress(b"#version\nzz\xc3 qq\n", mtime=0)),
        ("merges.txt", b"\xff\xff"),
        ("merges.txt", b"#version\nnever seen\n"),
    ],
)
def test_broken_files_say_so(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"Cannot read the tokenizer {name}: .*\. Download it again\."):
        Tokenizer.from_folder(tmp_path)


def test_a_folder_without_tokenizer_says_which_names_would_do(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsNotFoundError,
        match=r"has no tokenizer \(tokenizer\.json, merges\.txt, .*\)\. Put it beside the weights",
    ):
        Tokenizer.from_folder(tmp_path)


def test_a_tokenizer_of_another_family_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import BPE

    Backend(BPE(vocab={"a": 0}, merges=[])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(WeightsError, match=r"The tokenizer lacks <\|startoftext\|> or <\|endoftext\|>\. Use the files that belong"):
        Tokenizer.from_folder(tmp_path)
