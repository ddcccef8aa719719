"""The tokenizers of text towers, CLIP's byte-pair encoding first, read from the files that come with weights."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from basrelief.encoders.kinds import TOKENIZER_FILES, TokenizerKind
from basrelief.errors import WeightsError, WeightsNotFoundError
from basrelief.limits import limits
from basrelief.output import write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

START, END = "<|startoftext|>", "<|endoftext|>"
_MERGES_USED = 48894
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class TokenRules:
    """What stands around the tokens of a text, and whether its letters become lower case.

    Attributes:
        start: Token before the text; empty for none.
        end: Token after the text.
        padding: Token that fills rows up; id 0 if it is empty.
        lower: Whether letters become lower case.
    """

    start: str
    end: str
    padding: str = ""
    lower: bool = True


TOKEN_RULES: Mapping[TokenizerKind, TokenRules] = {
    "clip": TokenRules(START, END),
    "gemma": TokenRules("", "<eos>", "<pad>"),
    "xlm-v": TokenRules("<s>", "</s>", "<pad>", lower=False),
}
"""Gemma's tokenizer as SigLIP 2 was trained with it (`lower|tok(bos="no", eos="sticky")` in google-research/big_vision) and as
transformers runs it; open_clip removes ASCII punctuation as well. XLM-V's (Liang et al. 2023, arXiv:2301.10472) keeps the case."""
_SPECIAL: Mapping[TokenizerKind, list[str]] = {
    "gemma": ["<pad>", "<eos>", "<bos>", "<unk>"],
    "xlm-v": ["<s>", "<pad>", "</s>", "<unk>"],
}


class Tokenizer:
    """A tokenizer around a `tokenizers` backend.

    Text is cleaned like in CLIP: HTML entities are unescaped twice, white space is collapsed, Unicode is normalised to NFC, and letters
    become lower case, unless the kind keeps them. Unlike OpenAI's code, which uses `ftfy`, this does not repair broken encodings;
    well-formed text gives equal ids.

    Attributes:
        kind: Whose it is; `TOKEN_RULES` says how kinds differ.
        start: Id of the start-of-text token, or None.
        eot: Id of the end-of-text token.
        padding: Id that fills rows up.
        vocab_size: Highest id plus one.
        fingerprint: SHA-256 of the whole configuration of the tokenizer.

    Raises:
        WeightsError: If the backend lacks a token of its kind.
    """

    def __init__(self, backend: Backend, *, kind: TokenizerKind = "clip") -> None:
        backend.no_padding()
        backend.no_truncation()
        rules = TOKEN_RULES[kind]
        needed = [token for token in (rules.start, rules.end, rules.padding) if token]
        found = {token: int(number) for token in needed if (number := backend.token_to_id(token)) is not None}
        if len(found) < len(needed):
            raise WeightsError(f"The tokenizer lacks {' or '.join(needed)}. Use the files that belong to the weights.")
        self.kind = kind
        self.start = found.get(rules.start)
        self.eot, self.padding = found[rules.end], found.get(rules.padding, 0)
        self.vocab_size = 1 + max(backend.get_vocab().values())
        named = backend.to_str() if kind == "clip" else f"{kind} {backend.to_str()}"
        self.fingerprint = hashlib.sha256(named.encode()).hexdigest()
        self._backend = backend

    @classmethod
    def from_file(cls, path: Path | str, *, kind: TokenizerKind = "clip") -> Tokenizer:
        """Read a `tokenizer.json`; for CLIP also a `merges.txt` with `vocab.json` beside it, or OpenAI's `bpe_simple_vocab_16e6.txt.gz`.

        Args:
            path: The file.
            kind: Whose tokenizer it is.

        Raises:
            WeightsError: If the file is broken or not one of these.
        """
        from tokenizers import Tokenizer as Backend

        path = Path(path)
        try:
            if path.name.endswith(".json") or kind != "clip":
                return cls(Backend.from_str(_read_bounded(path).decode()), kind=kind)
            return cls(_backend(*_read_merges(path)))
        except WeightsError:
            raise
        except Exception as error:  # the tokenizers library raises bare Exception
            raise WeightsError(f"Cannot read the tokenizer {path.name}: {error}. Download it again.") from error

    @classmethod
    def from_folder(cls, folder: Path | str, *, kind: TokenizerKind = "clip") -> Tokenizer:
        """Read the tokenizer in a folder of weights.

        Args:
            folder: Of the weights.
            kind: Whose tokenizer it is.

        Raises:
            WeightsNotFoundError: If the folder holds none of the known files.
            WeightsError: If the file is broken.
        """
        path = tokenizer_file(folder, kind=kind)
        if path is None:
            names = ", ".join(TOKENIZER_FILES[kind])
            raise WeightsNotFoundError(f"{folder} has no tokenizer ({names}). Put it beside the weights.")
        return cls.from_file(path, kind=kind)

    @classmethod
    def of_bytes(cls, kind: TokenizerKind = "clip") -> Tokenizer:
        """Create a tokenizer without merges, for tests and untrained towers.

        CLIP's has 512 byte tokens, start token 512 and end token 513; the others have their special tokens, then 256 byte tokens.
        """
        if kind == "clip":
            return cls(_backend(_vocabulary([]), []))
        from tokenizers import Tokenizer as Backend
        from tokenizers.models import BPE

        vocabulary = {token: number for number, token in enumerate((*_SPECIAL[kind], *(f"<0x{byte:02X}>" for byte in range(256))))}
        backend = Backend(BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
        backend.add_special_tokens(_SPECIAL[kind])
        return cls(backend, kind=kind)

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int = 2048) -> Tokenizer:
        """Train a small vocabulary on texts. Deterministic.

        Args:
            texts: Training texts.
            vocab_size: Maximum number of ids, including 512 for single bytes and 2 for start and end.
        """
        from tokenizers.trainers import BpeTrainer

        backend = _backend({}, [])
        trainer = BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[START, END],
            initial_alphabet=list(_bytes()),
            end_of_word_suffix="</w>",
            show_progress=False,
        )
        backend.train_from_iterator((clean(text) for text in texts), trainer)
        model = json.loads(backend.to_str())["model"]
        merges = [(left, right) for left, right in model["merges"]][: max(0, vocab_size - 514)]
        return cls(_backend(_vocabulary(merges), merges))

    def encode(self, prompts: Sequence[str], *, context_length: int, padded: bool = False) -> Int[Tensor, "prompts length"]:
        """Return token ids: each row is start (if there is one), text, end, padded to the longest prompt of this call.

        A causal tower gives the same feature at the end token as with padding to the context length.

        Args:
            prompts: At least one text.
            context_length: Maximum length of a row. Longer prompts are truncated and still end with the end token.
            padded: Pad to `context_length` instead, for towers that are not causal.
        """
        lower = TOKEN_RULES[self.kind].lower
        encoded = self._backend.encode_batch([clean(p, lower=lower) for p in prompts], add_special_tokens=False)
        first = [] if self.start is None else [self.start]
        rows = [[*first, *e.ids[: context_length - 1 - len(first)], self.eot] for e in encoded]
        longest = context_length if padded else max(map(len, rows))
        ids = torch.full((len(rows), longest), self.padding, dtype=torch.int64)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = torch.tensor(values)
        return ids

    def save(self, folder: Path | str) -> Path:
        """Write `tokenizer.json` into a folder and return its path."""
        path = Path(folder) / "tokenizer.json"
        write_text(path, self._backend.to_str())
        return path


def tokenizer_file(folder: Path | str, *, kind: TokenizerKind = "clip") -> Path | None:
    """Return the first known tokenizer file in a folder, or None."""
    return next((p for p in (Path(folder) / name for name in TOKENIZER_FILES[kind]) if p.is_file()), None)


def clean(text: str, *, lower: bool = True) -> str:
    """Clean text like CLIP: unescape HTML, normalise to NFC, collapse spaces, lower the case; lone surrogates become `?`."""
    text = text.encode(errors="replace").decode()
    text = " ".join(unicodedata.normalize("NFC", html.unescape(html.unescape(text))).split())
    return text.lower() if lower else text


def _bytes() -> list[str]:
    """Return the printable character that GPT-2 uses for each byte, in the order of CLIP's ids."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = len(set(range(256)) - set(printable))
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(hidden)]


def _vocabulary(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    letters = _bytes()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(m) for m in merges), START, END]
    return {token: number for number, token in enumerate(tokens)}


def _read_merges(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    lines = _read_bounded(path).decode().split("\n")[1 : _MERGES_USED + 1]
    merges = [(parts[0], parts[1]) for parts in (line.split() for line in lines) if len(parts) == 2]
    beside = path.with_name("vocab.json")
    if path.suffix != ".gz" and beside.is_file():
        return {str(k): int(v) for k, v in json.loads(_read_bounded(beside)).items()}, merges
    return _vocabulary(merges), merges


def _read_bounded(path: Path) -> bytes:
    """Read a file, decompressed if its name ends in `.gz`.

    Raises:
        WeightsError: If it is not a regular file, or larger than `Limits.list_bytes` when decompressed.
    """
    if not path.is_file():
        raise WeightsError(f"The tokenizer {path} is not a file. Check the path.")
    most = limits().list_bytes
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        content: bytes = file.read(most + 1)
    if len(content) > most:
        raise WeightsError(f"{path.name} holds more than {most:,} bytes, too many for a vocabulary. Download it again.")
    return content


def _backend(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Backend:
    from tokenizers import AddedToken, Regex
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as Steps

    backend = Backend(BPE(vocab=vocabulary, merges=list(merges), end_of_word_suffix="</w>", fuse_unk=False))
    backend.pre_tokenizer = Steps(
        [Split(Regex(_WORDS), behavior="removed", invert=True), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    if vocabulary:
        backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in (START, END)])
    return backend
