"""The tokenizer of a checkpoint: byte pairs, and the special tokens of harmony, as a tiktoken Encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tiktoken

HARMONY = ("<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>", "<|call|>")
"""The special tokens of conversations."""

O200K_VOCABULARY = 201_088
_O200K_START = 200_006
_MOST_RESERVED = 1 << 16


@dataclass(frozen=True, slots=True)
class BytePairs:
    """The tokens of a checkpoint: an id is a rank, and tiktoken derives the merges from the ranks.

    `pattern` splits a text into pieces that no merge crosses.
    """

    pattern: str
    ranks: dict[bytes, int]
    specials: dict[str, int]


def build_tokenizer(pairs: BytePairs, size: int, name: str) -> tiktoken.Encoding:
    """The tokenizer called `name` with `size` ids, as many as the network has rows.

    Ids without a token become `<|reserved_ID|>`. Raises ValueError if `pairs` are wrong; the message says
    how.
    """
    specials = _complete(pairs.ranks, pairs.specials, size)
    try:
        return tiktoken.Encoding(
            name="o200k_harmony" if size == O200K_VOCABULARY else name,
            pat_str=pairs.pattern,
            mergeable_ranks=pairs.ranks,
            special_tokens=specials,
            explicit_n_vocab=size,
        )
    except (ValueError, AssertionError) as error:
        raise ValueError(f"tiktoken refuses it ({error})") from None


def _complete(ranks: Mapping[bytes, int], specials: Mapping[str, int], size: int) -> dict[str, int]:
    """The special tokens, with every unnamed id below `size` reserved. Raises ValueError."""
    missing = [name for name in HARMONY if name not in specials]
    if missing:
        raise ValueError(f"lacks the harmony tokens {', '.join(missing)}")
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise ValueError("lacks some of the 256 single bytes")
    ids = [*ranks.values(), *specials.values()]
    used = set(ids)
    if len(used) < len(ids) or min(used) < 0:
        raise ValueError("gives one id to several tokens, or a negative one")
    if max(used) >= size:
        raise ValueError(f"its ids reach {max(used)}, the network has only {size} rows")
    if size == O200K_VOCABULARY and specials["<|start|>"] != _O200K_START:
        raise ValueError(f"<|start|> is id {specials['<|start|>']}, expected {_O200K_START}")
    if size - len(used) > _MOST_RESERVED:
        raise ValueError(f"has {len(used):,} tokens, and the network {size:,} rows")
    unnamed = sorted(set(range(size)) - used)
    return {**specials, **{f"<|reserved_{token}|>": token for token in unnamed}}
