"""Small tokenizers of the kinds that are not CLIP's, in the form of the `tokenizer.json` that is published with the weights."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.processors import TemplateProcessing

_WORDS = ("▁chair", "▁a", "t-", "shirt", "▁red", "stuhl")


def gemma_parts() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a small Gemma: special tokens, bytes, letters, and a few words."""
    vocabulary = {token: number for number, token in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))}
    for token in (*(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz.-!,"):
        vocabulary[token] = len(vocabulary)
    merges = []
    for word in _WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    return vocabulary, merges


def gemma_file(folder: Path) -> Path:
    """Write a small Gemma as `tokenizer.json`, with the padding, truncation and template that a published file may hold."""
    vocabulary, merges = gemma_parts()
    backend = Backend(BPE(vocabulary, merges, fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    backend.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    backend.enable_padding(pad_id=0, pad_token="<pad>", length=64)
    backend.enable_truncation(64)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def xlm_file(folder: Path) -> Path:
    """Write a small XLM-V as `tokenizer.json`: pieces with scores, of which the case matters."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁chair", -2.0), ("▁Chair", -2.5), ("▁red", -2.0)]
    pieces += [(letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyzACR"]
    backend = Backend(Unigram(pieces, unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"
