"""The checkpoint's own tokenizer.json as a tiktoken Encoding. Never asks the network for anything.

tokenizer.json writes each token's bytes in GPT-2's printable alphabet; a token's id is its rank, and tiktoken
derives the merges from the ranks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import tiktoken

from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.errors import CheckpointError

HARMONY = ("<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>", "<|call|>")
"""The special tokens that conversations are made of."""

O200K_VOCABULARY = 201_088
_O200K_START = 200_006
_LARGEST_FILE = 256 << 20
_WORTH_CACHING = 1 << 20  # bytes of JSON; the released file is 28 MB and takes seconds


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    pattern: str
    ranks: dict[bytes, int]
    specials: dict[str, int]


def load_tokenizer(path: str | Path) -> tiktoken.Encoding:
    """The tokenizer of the checkpoint folder `path`, with as many ids as its config.json has rows.

    Ids that tokenizer.json does not name become `<|reserved_ID|>`. Raises CheckpointError.
    """
    file = Path(path) / "tokenizer.json"
    size = ModelConfig.from_file(Path(path) / "config.json").vocab_size
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise CheckpointError(f"{file}: larger than 256 MB, which no tokenizer is. Fetch it again.")
        content = file.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file. Fetch it from where the weights came from.") from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    vocabulary = _cached(content) if len(content) > _WORTH_CACHING else None
    if vocabulary is None:
        vocabulary = _parse(file, content)
        if len(content) > _WORTH_CACHING:
            _remember(content, vocabulary)
    specials = _complete(file, vocabulary, size)
    try:
        return tiktoken.Encoding(
            name="o200k_harmony" if size == O200K_VOCABULARY else Path(path).name,
            pat_str=vocabulary.pattern,
            mergeable_ranks=vocabulary.ranks,
            special_tokens=specials,
            explicit_n_vocab=size,
        )
    except (ValueError, AssertionError) as error:
        raise _unusable(file, f"tiktoken refuses it ({error})") from None


def _parse(file: Path, content: bytes) -> _Vocabulary:
    try:
        values = json.loads(content)
        model, split = values["model"], values["pre_tokenizer"]["pretokenizers"][0]
        if model["type"] != "BPE" or split["type"] != "Split":
            raise _unusable(file, f"a {model['type']} model after a {split['type']} pre-tokenizer")
        specials = {str(token["content"]): int(token["id"]) for token in values["added_tokens"]}
        byte_of = _byte_alphabet()
        ranks = {
            bytes(byte_of[letter] for letter in text): int(rank)
            for text, rank in model["vocab"].items()
            if text not in specials
        }
        return _Vocabulary(str(split["pattern"]["Regex"]), ranks, specials)
    except (ValueError, RecursionError):
        raise _unusable(file, "not valid JSON") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _unusable(file, "not a byte-level BPE in the form of the released file") from None


def _complete(file: Path, vocabulary: _Vocabulary, size: int) -> dict[str, int]:
    """The special tokens, with every unnamed id below `size` reserved. Raises CheckpointError."""
    ranks, specials = vocabulary.ranks, dict(vocabulary.specials)
    missing = [name for name in HARMONY if name not in specials]
    if missing:
        raise _unusable(file, f"lacks the harmony tokens {', '.join(missing)}")
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise _unusable(file, "lacks some of the 256 single bytes")
    ids = [*ranks.values(), *specials.values()]
    used = set(ids)
    if len(used) < len(ids) or min(used) < 0:
        raise _unusable(file, "gives one id to several tokens, or a negative one")
    if max(used) >= size:
        raise _unusable(file, f"its ids reach {max(used)}, config.json has only {size} rows")
    if size == O200K_VOCABULARY and specials["<|start|>"] != _O200K_START:
        raise _unusable(file, f"<|start|> is id {specials['<|start|>']}, expected {_O200K_START}")
    return specials | {f"<|reserved_{unnamed}|>": unnamed for unnamed in range(size) if unnamed not in used}


def _byte_alphabet() -> Mapping[str, int]:
    """GPT-2's letters for the 256 bytes: printable ones stand for themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _unusable(file: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{file}: {why}.\nFetch the tokenizer.json that belongs to these weights.")


# The cache: a file for each digest of a tokenizer.json. First line: pattern, specials and digest of the rest,
# as JSON; then a line for each token, base64 and rank.


def _cache_file(content: bytes) -> Path:
    folder = platformdirs.user_cache_path("gptoss-chat") / "tokenizers"
    return folder / f"{hashlib.sha256(content).hexdigest()}.ranks"


def _cached(content: bytes) -> _Vocabulary | None:
    """What `_remember` kept, or None if there is nothing or it was damaged."""
    try:
        head, body = _cache_file(content).read_bytes().split(b"\n", 1)
        values: dict[str, Any] = json.loads(head)
        if values["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        lines = (line.split() for line in body.splitlines())
        ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
        return _Vocabulary(values["pattern"], ranks, values["specials"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(content: bytes, vocabulary: _Vocabulary) -> None:
    """Keep the parsed vocabulary, readable by its user only; a folder that cannot be written is no error."""
    file = _cache_file(content)
    body = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in vocabulary.ranks.items())
    head = {
        "pattern": vocabulary.pattern,
        "specials": vocabulary.specials,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    draft = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write(json.dumps(head).encode() + b"\n" + body)
        draft.replace(file)
    except OSError:
        with suppress(OSError):
            draft.unlink()
