"""Tokenizers that are not CLIP's: Gemma's, against transformers, and XLM-V's."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.encoders import Tokenizer
from basrelief.errors import WeightsError, WeightsNotFoundError
from support.other_tokenizers import gemma_file, gemma_parts, xlm_file

TEXTS = ["a red chair", "A Red  Chair", "t-shirt!", "Stuhl", "ein grüner Stuhl", " a photo of a chair. ", "x " * 200]


def test_gemma_gives_the_ids_of_transformers(tmp_path: Path) -> None:
    from transformers import Siglip2Tokenizer

    vocabulary, merges = gemma_parts()
    theirs = Siglip2Tokenizer(vocab=vocabulary, merges=merges, padding_side="right")
    ours = Tokenizer.from_file(gemma_file(tmp_path), kind="gemma")
    words = [" ".join(text.split()) for text in TEXTS]  # transformers keeps white space as it is
    expected = [ids[:63] + [1] for ids in theirs(words, add_special_tokens=False)["input_ids"]]
    rows = ours.encode(TEXTS, context_length=64, padded=True).tolist()
    assert rows == [ids + [0] * (64 - len(ids)) for ids in expected]
    assert (ours.start, ours.eot, ours.padding) == (None, 1, 0)
    assert rows[0] == rows[1]


def test_padding_is_to_the_longest_prompt_unless_asked(tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(gemma_file(tmp_path).parent, kind="gemma")
    assert ours.encode(["a", "a red chair"], context_length=64).shape == (2, 4)
    assert ours.encode(["a"], context_length=9, padded=True).tolist() == [[ours.encode(["a"], context_length=9)[0, 0], 1, *[0] * 7]]
    clip = Tokenizer.of_bytes()
    assert clip.encode(["a"], context_length=6, padded=True).tolist()[0][3:] == [0, 0, 0]


def test_xlm_keeps_the_case_and_starts_a_text(tmp_path: Path) -> None:
    ours = Tokenizer.from_file(xlm_file(tmp_path), kind="xlm-v")
    assert ours.encode(["red chair", "red Chair"], context_length=77).tolist() == [[0, 7, 5, 2], [0, 7, 6, 2]]
    assert ours.encode(["red", "red chair"], context_length=77).tolist()[0] == [0, 7, 2, 1]
    assert ours.encode(["red chair"], context_length=3).tolist() == [[0, 7, 2]]


def test_a_saved_tokenizer_is_read_as_its_kind(tmp_path: Path) -> None:
    ours = Tokenizer.from_file(gemma_file(tmp_path / "one"), kind="gemma")
    again = Tokenizer.from_file(ours.save(tmp_path / "two"), kind="gemma")
    assert again.fingerprint == ours.fingerprint
    assert (again.encode(TEXTS, context_length=64) == ours.encode(TEXTS, context_length=64)).all()


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"The tokenizer lacks <\|startoftext\|> or <\|endoftext\|>\. Use the files"):
        Tokenizer.from_file(gemma_file(tmp_path))
    with pytest.raises(WeightsError, match=r"The tokenizer lacks <eos> or <pad>\."):
        Tokenizer.from_file(Tokenizer.of_bytes().save(tmp_path), kind="gemma")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "merges.txt").touch()
    with pytest.raises(WeightsNotFoundError, match=r"has no tokenizer \(tokenizer\.json\)"):
        Tokenizer.from_folder(tmp_path / "empty", kind="gemma")
