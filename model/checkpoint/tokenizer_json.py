"""tokenizer.json: a vocabulary as the library tokenizers writes it. Reading it never uses the network.

The bytes of each token are written in GPT-2's printable alphabet; a token's id is its rank.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs
import tiktoken

from gptoss_tui.model.checkpoint.files import read_file
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.tokenizer import BytePairs, build_tokenizer

_LARGEST = 256 << 20
_WORTH_CACHING = 1 << 20  # bytes of JSON; the released file is 28 MB and takes seconds


def read_tokenizer(file: Path, size: int) -> tiktoken.Encoding:
    """The tokenizer in `file`, with `size` ids. Raises CheckpointError."""
    content = read_file(file, _LARGEST, "tokenizer")
    pairs = _cached(content) if len(content) > _WORTH_CACHING else None
    if pairs is None:
        pairs = _parse(file, content)
        if len(content) > _WORTH_CACHING:
            _remember(content, pairs)
    try:
        return build_tokenizer(pairs, size, file.parent.name)
    except ValueError as error:
        raise _unusable(file, str(error)) from None


def _parse(file: Path, content: bytes) -> BytePairs:
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
        return BytePairs(str(split["pattern"]["Regex"]), ranks, specials)
    except (ValueError, RecursionError):
        raise _unusable(file, "not valid JSON") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _unusable(file, "not a byte-level BPE in the form of the released file") from None


def _byte_alphabet() -> Mapping[str, int]:
    """GPT-2's letters for the 256 bytes: printable bytes are themselves, the others follow from U+0100 on."""
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


def _cached(content: bytes) -> BytePairs | None:
    """The vocabulary that `_remember` stored, or None if there is none or it is damaged."""
    try:
        head, body = _cache_file(content).read_bytes().split(b"\n", 1)
        values: dict[str, Any] = json.loads(head)
        if values["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        lines = (line.split() for line in body.splitlines())
        ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
        return BytePairs(values["pattern"], ranks, values["specials"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(content: bytes, pairs: BytePairs) -> None:
    """Store the parsed vocabulary, readable by its user only; a folder that cannot be written is no error."""
    file = _cache_file(content)
    body = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in pairs.ranks.items())
    head = {
        "pattern": pairs.pattern,
        "specials": pairs.specials,
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
