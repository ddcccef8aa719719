"""CLIP's byte-pair encoding tokenizer, read from the files that come with weights."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from basrelief.errors import WeightsError, WeightsNotFoundError
from basrelief.limits import limits
from basrelief.output import write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES_FILE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES_USED = 48894
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """CLIP's tokenizer around a `tokenizers` backend.

    Text is cleaned like in CLIP: HTML entities are unescaped twice, white space is collapsed, letters become lower case, Unicode is
    normalised to NFC. Unlike OpenAI's code, which uses `ftfy`, this does not repair broken encodings; well-formed text gives equal ids.

    Attributes:
        start: Id of the start-of-text token.
        eot: Id of the end-of-text token.
        vocab_size: Highest id plus one.
        fingerprint: SHA-256 of the whole configuration of the tokenizer.

    Raises:
        WeightsError: If the backend has no start or end token.
    """

    def __init__(self, backend: Backend) -> None:
        backend.no_padding()
        backend.no_truncation()
        start, eot = backend.token_to_id(START), backend.token_to_id(END)
        if start is None or eot is None:
            raise WeightsError(f"The tokenizer lacks {START} or {END}. Use the files that belong to the weights.")
        self.start, self.eot = int(start), int(eot)
        self.vocab_size = 1 + max(backend.get_vocab().values())
        self.fingerprint = hashlib.sha256(backend.to_str().encode()).hexdigest()
        self._backend = backend

    @classmethod
    def from_file(cls, path: Path | str) -> Tokenizer:
        """Read a `tokenizer.json`, a `merges.txt` with `vocab.json` beside it, or OpenAI's `bpe_simple_vocab_16e6.txt.gz`.

        Raises:
            WeightsError: If the file is broken or not one of these.
        """
        from tokenizers import Tokenizer as Backend

        path = Path(path)
        try:
            if path.name.endswith(".json"):
                return cls(Backend.from_str(_read_bounded(path).decode()))
            return cls(_backend(*_read_merges(path)))
        except WeightsError:
            raise
        except Exception as error:  # the tokenizers library raises bare Exception
            raise WeightsError(f"Cannot read the tokenizer {path.name}: {error}. Download it again.") from error

    @classmethod
    def from_folder(cls, folder: Path | str) -> Tokenizer:
        """Read the tokenizer in a folder of weights.

        Raises:
            WeightsNotFoundError: If the folder holds none of the known files.
            WeightsError: If the file is broken.
        """
        path = tokenizer_file(folder)
        if path is None:
            names = ", ".join(TOKENIZER_FILES)
            raise WeightsNotFoundError(f"{folder} has no tokenizer ({names}). Put it beside the weights.")
        return cls.from_file(path)

    @classmethod
    def of_bytes(cls) -> Tokenizer:
        """Create a tokenizer without merges: 512 byte tokens, start token 512, end token 513; for tests and untrained towers."""
        return cls(_backend(_vocabulary([]), []))

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

    def encode(self, prompts: Sequence[str], *, context_length: int) -> Int[Tensor, "prompts length"]:
        """Return token ids: each row is start, text, end, padded with 0 to the longest prompt of this call.

        A causal tower gives the same feature at the end token as with padding to the context length.

        Args:
            prompts: At least one text.
            context_length: Maximum length of a row. Longer prompts are truncated and still end with the end token.
        """
        encoded = self._backend.encode_batch([clean(p) for p in prompts], add_special_tokens=False)
        rows = [[self.start, *e.ids[: context_length - 2], self.eot] for e in encoded]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = torch.tensor(values)
        return ids

    def save(self, folder: Path | str) -> Path:
        """Write `tokenizer.json` into a folder and return its path."""
        path = Path(folder) / "tokenizer.json"
        write_text(path, self._backend.to_str())
        return path


TOKENIZER_FILES = ("tokenizer.json", "merges.txt", MERGES_FILE)


def tokenizer_file(folder: Path | str) -> Path | None:
    """Return the first known tokenizer file in a folder, or None."""
    return next((p for p in (Path(folder) / name for name in TOKENIZER_FILES) if p.is_file()), None)


def clean(text: str) -> str:
    """Clean text like CLIP: unescape HTML, normalise to NFC, collapse spaces, lower the case; lone surrogates become `?`."""
    text = text.encode(errors="replace").decode()
    return " ".join(unicodedata.normalize("NFC", html.unescape(html.unescape(text))).split()).lower()


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
