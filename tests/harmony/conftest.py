"""The two oracles: the true vocabulary, and OpenAI's own harmony library, both without a network.

The ranks of o200k come with the package bpe-openai; the library checks their digest itself.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiktoken

PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
SPECIAL = {
    "<|startoftext|>": 199998,
    "<|endoftext|>": 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
}


@pytest.fixture(scope="session")
def ranks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """o200k_base.tiktoken, alone in a folder."""
    package = importlib.util.find_spec("bpe_openai")
    assert package is not None and package.origin is not None
    packed = Path(package.origin).parent / "data" / "o200k_base.tiktoken.gz"
    file = tmp_path_factory.mktemp("ranks") / "o200k_base.tiktoken"
    file.write_bytes(gzip.decompress(packed.read_bytes()))
    return file


@pytest.fixture(scope="session")
def o200k(ranks_file: Path) -> tiktoken.Encoding:
    """The vocabulary of gpt-oss."""
    lines = (line.split() for line in ranks_file.read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding("o200k", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=SPECIAL)


@pytest.fixture(scope="session")
def official(ranks_file: Path) -> Iterator[Any]:
    """openai-harmony's own encoding of gpt-oss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(ranks_file.parent))
        import openai_harmony

        yield openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)
